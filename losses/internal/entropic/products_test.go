package entropic

import (
	"fmt"
	"math"
	"testing"

	"kantor/losses/internal/vec"
)

// productSizes are shapes that no width divides, with more than one strip, segment and tile.
var productSizes = [][3]int{{1, 1, 1}, {3, 700, 2}, {601, 37, 5}, {130, 1100, 33}, {64, 64, 1}}

// Each format is right to some roundings of the exponents' size, here up to 100 in units of the temperature.
func TestProductsAreSoftmins(t *testing.T) {
	testProducts[float64](t, 1e-12)
	testProducts[float32](t, 3e-4)
}

func testProducts[T vec.Float](t *testing.T, tolerance float64) {
	for _, size := range productSizes {
		p := uneven(uint64(size[0]), size[0]+1, size[1], size[2], vec.HalfSquared, 0)
		g := potentials(4, p.B.N)
		want, got := plainSoftmin(p, g), make([]float64, p.A.N)
		products := newProducts[T](p.A, p.B)
		logW := newSide(p.B).logW
		if err := products.softmin(t.Context(), got, g, logW, p.Epsilon, make([]logSum, p.A.N)); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%T, %v", T(0), size)
		near(t, name, got, want, tolerance)

		marginal, d := potentials(5, p.A.N), p.A.D
		dst := make([]float64, p.A.N*d)
		if err := products.addBarycentric(t.Context(), dst, marginal, want, g, logW, p.Epsilon); err != nil {
			t.Fatal(err)
		}
		near(t, name+", images", dst, plainImages(p, marginal, want, g), tolerance)
	}
}

// plainImages is marginal_i (x_i - T(x_i)) as it stands.
func plainImages(p Problem, marginal, soft, g []float64) []float64 {
	d, out := p.A.D, make([]float64, p.A.N*p.A.D)
	for i := range p.A.N {
		x := p.A.X[i*d : (i+1)*d]
		for j := range p.B.N {
			y := p.B.X[j*d : (j+1)*d]
			w := p.B.W[j] * math.Exp((soft[i]+g[j]-p.Cost.Of(x, y))/p.Epsilon)
			for k := range d {
				out[i*d+k] += marginal[i] * w * (x[k] - y[k])
			}
		}
	}
	return out
}
