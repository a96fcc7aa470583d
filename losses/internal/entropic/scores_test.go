package entropic

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"kantor/losses/internal/vec"
)

// uneven is a problem of sizes that no kernel's width divides, with weights of its own and one that is 0.
func uneven(seed uint64, n, m, d int, cost vec.Cost, rho float64) Problem {
	r := rand.New(rand.NewPCG(seed, 1))
	a := cloud(n, d, func(int) float64 { return 0.7*r.NormFloat64() + 100 }, func(int) float64 { return (0.5 + r.Float64()) / float64(n) })
	b := cloud(m, d, func(int) float64 { return r.NormFloat64() + 100 }, func(int) float64 { return (0.5 + r.Float64()) / float64(m) })
	a.Mass -= a.W[0]
	a.W[0] = 0
	for j := range b.W {
		b.W[j] *= a.Mass / b.Mass
	}
	b.Mass = a.Mass
	return Problem{Cost: cost, Epsilon: 0.3, Rho: rho, A: a, B: b}
}

func potentials(seed uint64, n int) []float64 {
	r, f := rand.New(rand.NewPCG(seed, 2)), make([]float64, n)
	for i := range f {
		f[i] = r.NormFloat64()
	}
	return f
}

func near(t *testing.T, name string, got, want []float64, tolerance float64) {
	t.Helper()
	for i, w := range want {
		if !(math.Abs(got[i]-w) <= tolerance*(1+math.Abs(w))) {
			t.Fatalf("%s, %d: got %v, want %v", name, i, got[i], w)
		}
	}
}

// plainSoftmin is the formula as it stands.
func plainSoftmin(p Problem, g []float64) []float64 {
	out, d := make([]float64, p.A.N), p.A.D
	for i := range out {
		top, sum := math.Inf(-1), 0.0
		exponent := func(j int) float64 {
			return math.Log(p.B.W[j]) + (g[j]-p.Cost.Of(p.A.X[i*d:(i+1)*d], p.B.X[j*d:(j+1)*d]))/p.Epsilon
		}
		for j := range g {
			top = max(top, exponent(j))
		}
		for j := range g {
			sum += math.Exp(exponent(j) - top)
		}
		out[i] = -p.Epsilon * (top + math.Log(sum))
	}
	return out
}

// Stored or computed again, in either number format, rows and columns are the softmin. Exponents of some 100 are right to 100 roundings of the format.
func TestSoftminsOfEveryStrategy(t *testing.T) {
	for _, size := range [][3]int{{1, 1, 1}, {3, 700, 2}, {601, 37, 5}, {130, 1100, 33}} {
		for _, cost := range []vec.Cost{vec.HalfSquared, vec.Distance} {
			p := uneven(uint64(size[0]), size[0]+1, size[1], size[2], cost, 0)
			back := p
			back.A, back.B = p.B, p.A
			f, g := potentials(3, p.A.N), potentials(4, p.B.N)
			wantF, wantG := plainSoftmin(p, g), plainSoftmin(back, f)
			for _, store := range []bool{false, true} {
				checkSoftmins[float64](t, p, store, f, g, wantF, wantG, 1e-12)
				checkSoftmins[float32](t, p, store, f, g, wantF, wantG, 3e-4)
			}
		}
	}
}

func checkSoftmins[T vec.Float](t *testing.T, p Problem, store bool, f, g, wantF, wantG []float64, tolerance float64) {
	t.Helper()
	s, err := newScores[T](t.Context(), p, store)
	if err != nil {
		t.Fatal(err)
	}
	defer s.release()
	gotF, gotG := make([]float64, p.A.N), make([]float64, p.B.N)
	if err := errors.Join(s.softminRows(t.Context(), gotF, g, p.Epsilon), s.softminColumns(t.Context(), gotG, f, p.Epsilon)); err != nil {
		t.Fatal(err)
	}
	near(t, "rows", gotF, wantF, tolerance)
	near(t, "columns", gotG, wantG, tolerance)
}

// A sweep over a kernel is a sweep in the log domain, relaxed or not, balanced or not, stored or not.
func TestSweepIsALogSweep(t *testing.T) {
	for _, rho := range []float64{0, 0.8} {
		for _, omega := range []float64{1, 1.4, 1.9} {
			for _, store := range []bool{true, false} {
				p := uneven(7, 45, 70, 3, vec.HalfSquared, rho)
				checkSweeps(t, p, omega, newScaling(p, p.frame(), newKernel(p, p.frame(), 0, store)))
			}
		}
	}
}

func checkSweeps(t *testing.T, p Problem, omega float64, s *scaling) {
	t.Helper()
	copy(s.f, potentials(1, p.A.N))
	copy(s.g, potentials(2, p.B.N))
	f, g := slices.Clone(s.f), slices.Clone(s.g)
	if err := s.absorb(t.Context(), p.Epsilon); err != nil {
		t.Fatal(err)
	}
	for sweep := range 3 {
		rows, columns := logSweep(p, f, g, omega)
		gotRows, gotColumns, ok, err := s.sweep(t.Context(), omega)
		if !ok || err != nil || math.Abs(gotRows-rows) > 1e-11*(1+rows) || math.Abs(gotColumns-columns) > 1e-11*(1+columns) {
			t.Fatalf("%s, ρ %v, ω %v, sweep %d: errors %v and %v (ok: %v, %v), want %v and %v", s.kernel.strategy(), p.Rho, omega, sweep,
				gotRows, gotColumns, ok, err, rows, columns)
		}
	}
	gotF, gotG, err := s.potentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f[0] = gotF[0] // without weight, it takes no part
	near(t, "f", gotF, f, 1e-11)
	near(t, "g", gotG, g, 1e-11)
}

// logSweep updates f and then g, and returns the marginal errors that each found.
func logSweep(p Problem, f, g []float64, omega float64) (rows, columns float64) {
	soft := plainSoftmin(p, g)
	rows = p.marginalError(newSide(p.A), f, soft, p.Epsilon)
	blend(f, soft, omega, p.damping(p.Epsilon))
	p.A, p.B = p.B, p.A
	soft = plainSoftmin(p, f)
	columns = p.marginalError(newSide(p.A), g, soft, p.Epsilon)
	blend(g, soft, omega, p.damping(p.Epsilon))
	return rows, columns
}

// Cold, far below the spread of the points, a kernel underflows in whole rows, and scalings run out of range: the solve gets there all the same.
func TestColdStart(t *testing.T) {
	p := shifted(8, 40, 2, 1e-3)
	path := NewPath(p, 1e-3)
	cold, err := path.Solve(t.Context(), p.Epsilon, Options{1e-3, 100000})
	if err != nil {
		t.Fatal(err)
	}
	warm := solve(t, p, Options{1e-3, 100000})
	a, err := Bound(t.Context(), cold)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Bound(t.Context(), warm)
	if err != nil {
		t.Fatal(err)
	}
	if !cold.Converged || !warm.Converged || a.Lower > b.Upper || b.Lower > a.Upper {
		t.Errorf("cold: %+v, converged %v; annealed: %+v, converged %v", a, cold.Converged, b, warm.Converged)
	}
}

// Binary32 is for clouds that came in it, at tolerances and temperatures that it resolves, and its solution is as good as the tolerance asks.
func TestSingle(t *testing.T) {
	p := shifted(9, 200, 4, 0.4)
	if p.single(p.frame(), 1e-3) {
		t.Error("binary64 clouds are computed in binary32")
	}
	for _, c := range []*[]float64{&p.A.X, &p.B.X} {
		for i, v := range *c {
			(*c)[i] = float64(float32(v))
		}
	}
	p.A.Single, p.B.Single = true, true
	if !p.single(p.frame(), 1e-3) || p.single(p.frame(), 1e-5) {
		t.Errorf("at a tolerance of 1e-3: %v, of 1e-5: %v, want true and false", p.single(p.frame(), 1e-3), p.single(p.frame(), 1e-5))
	}
	cold := p
	cold.Epsilon = 1e-4
	if cold.single(cold.frame(), 1e-3) {
		t.Error("exponents of 1e5 are computed in binary32")
	}
	fast := solve(t, p, Options{1e-3, 1000})
	_, marginalError, err := Measure(t.Context(), p, fast, 0)
	if err != nil {
		t.Fatal(err)
	}
	// What it says of itself, measured again in binary64: exponents of up to 100 carry 100·2^-24 into every entry.
	if !fast.Converged || marginalError > 1e-3+100*0x1p-24 {
		t.Errorf("converged: %v, with a marginal error of %v, in binary64 %v", fast.Converged, fast.MarginalError, marginalError)
	}
}

func TestBuffersAreReused(t *testing.T) {
	for n := 2; n < 1<<20; n += n/3 + 1 {
		if _, size := classOf(n); size < n || size > n+n/8+1 {
			t.Errorf("a buffer for %d numbers holds %d", n, size)
		}
	}
	for _, n := range []int{2, 3, 1024, 1025} {
		b := newBuffer[float32](n)
		if len(b) != n {
			t.Errorf("asked for %d, got %d", n, len(b))
		}
		freeBuffer(b)
		if c := newBuffer[float32](n); len(c) != n {
			t.Errorf("asked for %d again, got %d", n, len(c))
		}
		if d := newBuffer[float64](n); len(d) != n {
			t.Errorf("asked for %d of the other format, got %d", n, len(d))
		}
	}
}
