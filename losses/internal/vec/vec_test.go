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

func TestAddRowEveryLength(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	const d = 3
	x := []float64{0.3, -0.2, 0.9}
	for n := 0; n <= 1000; n++ {
		y, yBuffer := guarded(n*d, func(int) float64 { return r.NormFloat64() })
		h, hBuffer := guarded(n, func(int) float64 { return r.NormFloat64() })
		for _, c := range []Cost{HalfSquared, Distance} {
			const scale = 3.0
			sum := EmptyLogSum()
			for lo := 0; lo < n; lo += Columns {
				hi := min(n, lo+Columns)
				sum = sum.AddRow(c, x, y[lo*d:hi*d], h[lo:hi], scale)
			}
			want := 0.0
			for j := range h {
				want += math.Exp(h[j] - plainCost(c, x, y[j*d:j*d+d])*scale)
			}
			if n == 0 {
				if sum != EmptyLogSum() {
					t.Fatalf("no columns: got %v", sum)
				}
				continue
			}
			if got := sum.Log(); math.Abs(got-math.Log(want)) > ulps(n)*(1+math.Abs(math.Log(want))) {
				t.Fatalf("cost %d, %d columns: got %v, want %v", c, n, got, math.Log(want))
			}
		}
		checkGuards(t, yBuffer)
		checkGuards(t, hBuffer)
	}
}

func TestAddRowExtremes(t *testing.T) {
	inf := math.Inf(1)
	for _, tt := range []struct {
		name string
		h    []float64
		want float64
	}{
		{"a weight of 0 adds nothing", []float64{-inf, 2}, 2},
		{"all weights 0", []float64{-inf, -inf}, -inf},
		{"a log-weight that stands for 0", []float64{-100000, 1}, 1},
		{"exponents beyond the range of exp", []float64{5000, 5000}, 5000 + math.Ln2},
		{"far below it", []float64{-5000, -5000}, -5000 + math.Ln2},
		{"a summand that is nothing", []float64{0, -61}, 0},
	} {
		y := make([]float64, len(tt.h))
		if got := EmptyLogSum().AddRow(HalfSquared, []float64{0}, y, tt.h, 1).Log(); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	if got := EmptyLogSum().AddRow(HalfSquared, []float64{0}, []float64{0}, []float64{math.NaN()}, 1).Log(); got == 0 {
		t.Errorf("NaN became %v", got)
	}
}

func TestAddPullIsTheBarycentricMap(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	const d, n, scale = 5, 40, 2.0
	x, _ := guarded(d, func(int) float64 { return r.NormFloat64() })
	y, _ := guarded(n*d, func(int) float64 { return r.NormFloat64() })
	h, _ := guarded(n, func(int) float64 { return r.NormFloat64() })
	for _, c := range []Cost{HalfSquared, Distance} {
		shift := EmptyLogSum().AddRow(c, x, y, h, scale).Log()
		got, buffer := guarded(d, func(int) float64 { return 0 })
		AddPull(got, c, x, y, h, scale, shift)
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

func TestGradientOfDistanceVanishesWherePointsCoincide(t *testing.T) {
	dst := []float64{1, 2}
	Distance.AddGradient(dst, 3, []float64{0.5, 0.5}, []float64{0.5, 0.5})
	if dst[0] != 1 || dst[1] != 2 {
		t.Errorf("got %v, want it unchanged", dst)
	}
}

func TestPlanRow(t *testing.T) {
	row := Row{Cost: HalfSquared, Epsilon: 0.5, X: []float64{1}, A: 0.25, F: 0.1,
		Y: []float64{0, 2, 4}, B: []float64{0.5, 0.5, 0}, G: []float64{0.2, 0.3, math.Inf(1)}}
	// P_j = a b_j exp((f+g_j-c_j)/ε) with c = ½, ½, 4½; the last has no weight, whatever its potential.
	p0, p1 := 0.125*math.Exp((0.1+0.2-0.5)/0.5), 0.125*math.Exp((0.1+0.3-0.5)/0.5)
	columns := make([]float64, 3)
	got := row.Plan(columns, 2)
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 8*0x1p-52*math.Abs(want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	near("mass", got.Mass, 2*(p0+p1))
	near("cost", got.Cost, p0+p1)
	near("largest cost", got.MaxCost, 4.5)
	near("column 0", columns[0], 2*p0)
	near("column 2", columns[2], 0)

	clear(columns)
	sums := row.Rounded(columns, 0.5, []float64{1, 0.5, 1}, 0.1, []float64{0.2, 0, 1})
	g0, g1 := 0.5*p0+0.02, 0.25*p1
	l0, l1 := math.Log(g0/0.125), math.Log(g1/0.125)
	near("rounded mass", sums.Mass, g0+g1)
	near("rounded cost", sums.Cost, 0.5*(g0+g1))
	near("entropy", sums.Entropy, g0*l0+g1*l1)
	near("size", sums.Size, g0*(math.Abs(l0)+2)+g1*(math.Abs(l1)+2))
	near("rounded column 1", columns[1], g1)
}

func TestMinRowTakesTheFirst(t *testing.T) {
	least, at := MinRow(Distance, []float64{0}, []float64{3, 1, -1, 5}, []float64{0, 0, 0, 4})
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
