package vec

import (
	"math"
	"math/rand/v2"
	"testing"

	"kantor/losses/internal/bigmath"
)

// ulps is what two orders of the same n additions of positive numbers may differ by, with a few roundings in each summand.
func ulps(n int) float64 { return float64(n+16) * 0x1p-52 }

// guarded cuts n numbers out of a buffer of NaN, so that a read beyond either end shows in the result and a write beyond shows in the buffer.
func guarded(n int, fill func(i int) float64) (cut, buffer []float64) {
	const guard = 4
	buffer = make([]float64, n+2*guard)
	for i := range buffer {
		buffer[i] = math.NaN()
	}
	cut = buffer[guard : guard+n : guard+n]
	for i := range cut {
		cut[i] = fill(i)
	}
	return cut, buffer
}

func checkGuards(t *testing.T, buffer []float64) {
	t.Helper()
	for i, v := range buffer {
		if (i < 4 || i >= len(buffer)-4) && !math.IsNaN(v) {
			t.Fatalf("guard %d was overwritten with %v", i, v)
		}
	}
}

func plainDistance(x, y []float64) float64 {
	s := 0.0
	for i := range x {
		s += (x[i] - y[i]) * (x[i] - y[i])
	}
	return math.Sqrt(s)
}

func plainCost(c Cost, x, y []float64) float64 {
	if r := plainDistance(x, y); c == HalfSquared {
		return r * r / 2
	} else {
		return r
	}
}

func TestCostAtEveryDimension(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for d := 0; d <= 200; d++ {
		x, _ := guarded(d, func(int) float64 { return r.NormFloat64() })
		y, _ := guarded(d, func(int) float64 { return r.NormFloat64() })
		for _, c := range []Cost{HalfSquared, Distance} {
			got, want := c.Of(x, y), plainCost(c, x, y)
			if math.Abs(got-want) > ulps(d)*want {
				t.Errorf("cost %d, dimension %d: got %v, want %v", c, d, got, want)
			}
		}
	}
}

// An offset that all points share is gone after the subtraction.
func TestCostKeepsDigitsUnderAnOffset(t *testing.T) {
	x, y := []float64{0.25, 0.5}, []float64{0.75, 0.125}
	near := HalfSquared.Of(x, y)
	for i := range x {
		x[i] += 1e4
		y[i] += 1e4
	}
	if far := HalfSquared.Of(x, y); far != near {
		t.Errorf("at an offset of 1e4: got %v, want %v", far, near)
	}
}

func TestAddPullIsTheBarycentricMap(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	const d, n, scale = 5, 40, 2.0
	x, _ := guarded(d, func(int) float64 { return r.NormFloat64() })
	y, _ := guarded(n*d, func(int) float64 { return r.NormFloat64() })
	h, _ := guarded(n, func(int) float64 { return r.NormFloat64() })
	for _, c := range []Cost{HalfSquared, Distance} {
		sum := 0.0
		for j := range h {
			sum += math.Exp(h[j] - plainCost(c, x, y[j*d:j*d+d])*scale)
		}
		shift := math.Log(sum)
		got, buffer := guarded(d, func(int) float64 { return 0 })
		AddPull(got, c, x, y, h, scale, shift, 0)
		checkGuards(t, buffer)
		total := 0.0
		want := make([]float64, d)
		for j := range h {
			yj := y[j*d : j*d+d]
			w := math.Exp(h[j] - plainCost(c, x, yj)*scale - shift)
			total += w
			if c == Distance {
				w /= plainDistance(x, yj)
			}
			for i := range want {
				want[i] += w * (x[i] - yj[i])
			}
		}
		if math.Abs(total-1) > ulps(n)*4 {
			t.Errorf("cost %d: the weights sum to %v, want 1", c, total)
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 4*ulps(n)*4 {
				t.Errorf("cost %d: got %v, want %v", c, got, want)
			}
		}
	}
}

// Costs below the nearest are taken for it and pull at nothing.
func TestAddPullNearest(t *testing.T) {
	got := make([]float64, 1)
	AddPull(got, Distance, []float64{0}, []float64{0.5, -3}, []float64{0, 0}, 1, 0, 1)
	if want := math.Exp(-3); math.Abs(got[0]-want) > 4*0x1p-53*want {
		t.Errorf("got %v, want the pull of the far point alone, %v", got[0], want)
	}
}

func TestGradientOfDistanceVanishesWherePointsCoincide(t *testing.T) {
	dst := []float64{1, 2}
	Distance.AddGradient(dst, 3, []float64{0.5, 0.5}, []float64{0.5, 0.5})
	if dst[0] != 1 || dst[1] != 2 {
		t.Errorf("got %v, want it unchanged", dst)
	}
}

func TestMinRowTakesTheFirst(t *testing.T) {
	least, at := MinRow([]float64{3, 1, 1, 5}, []float64{0, 0, 0, 4})
	if least != 1 || at != 1 {
		t.Errorf("got %v at %d, want 1 at 1", least, at)
	}
}

// The rounding bounds of package entropic need the exponential within 4 ulps.
func TestExpWithinFourUlps(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	worst := 0.0
	for range 20000 {
		x := 1400*r.Float64() - 700
		if r.IntN(2) == 0 {
			x /= 1000
		}
		got := math.Exp(x)
		exact := bigmath.Exp(bigmath.New(x))
		diff, _ := exact.Sub(exact, bigmath.New(got)).Float64()
		ulp := math.Nextafter(got, math.Inf(1)) - got
		worst = max(worst, math.Abs(diff)/ulp)
	}
	if worst > 4 {
		t.Errorf("the exponential is off by %.2f ulps, want at most 4", worst)
	}
}
