package sliced

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// cloud is a measure as the directions see it: its points dimension by dimension, for products with many directions at once.
type cloud struct {
	*losses.Cloud
	uniform bool
	stride  int       // from one dimension to the next
	xt      []float64 // [D,stride], shifted and scaled, 0 where it pads
}

// frame is what points are shifted and scaled by: a common offset would cost digits, and squares of extreme numbers would leave binary64.
type frame struct {
	centre []float64
	scale  float64 // a power of two
}

// newFrame is around the box of both clouds.
func newFrame(a, b *losses.Cloud) frame {
	lo, hi := append([]float64(nil), a.X[:a.D]...), append([]float64(nil), a.X[:a.D]...)
	a.Box(lo, hi)
	b.Box(lo, hi)
	width := 0.0
	for k := range lo {
		width = max(width, hi[k]/2-lo[k]/2)
		lo[k] = lo[k]/2 + hi[k]/2
	}
	_, exponent := math.Frexp(width)
	return frame{lo, math.Ldexp(1, min(max(exponent, -1000), 1000))}
}

// stride is the length of a row of n points: an odd number of pads, so that the dimensions do not compete for the same lines of the caches.
func stride(n int) int {
	pads := (n + vec.Pad - 1) / vec.Pad
	return (pads | 1) * vec.Pad
}

// newCloud copies the points.
func (f frame) newCloud(ctx context.Context, c *losses.Cloud) (*cloud, error) {
	out := &cloud{Cloud: c, uniform: true, stride: stride(c.N)}
	for _, w := range c.W {
		out.uniform = out.uniform && w == c.W[0]
	}
	out.xt = make([]float64, c.D*out.stride)
	return out, parallel.Rows(ctx, c.N, 4*c.D, func(lo, hi int, _ *parallel.Gate) {
		for i := lo; i < hi; i++ {
			for k, v := range c.X[i*c.D : (i+1)*c.D] {
				// Divided first: the difference of two large numbers of opposite sign would overflow.
				out.xt[k*out.stride+i] = v/f.scale - f.centre[k]/f.scale
			}
		}
	})
}

// project writes the products of the directions theta, [rows,D], with the points into dst, [rows,stride]. It reports whether the gate stayed open.
func (c *cloud) project(gate *parallel.Gate, dst, theta []float64, rows int) bool {
	columns := max(1, parallel.TileCost/(vec.Pad*max(1, rows*c.D/2))) * vec.Pad
	for at := 0; at < c.stride; at += columns {
		if at > 0 && !gate.Open() {
			return false
		}
		vec.Products(dst[at:], c.stride, theta, rows, c.D, c.xt[at:], c.stride, min(columns, c.stride-at))
	}
	return true
}
