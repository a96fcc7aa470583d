package entropic

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// shifted is a cross problem of moderate difficulty: n points of N(0.2, 0.49) against n of N(0,1).
func shifted(seed uint64, n, d int, epsilon float64) Problem {
	r := rand.New(rand.NewPCG(seed, 0))
	uniform := func(int) float64 { return 1 / float64(n) }
	return Problem{Cost: vec.HalfSquared, Epsilon: epsilon,
		A: cloud(n, d, func(int) float64 { return 0.7*r.NormFloat64() + 0.2 }, uniform),
		B: cloud(n, d, func(int) float64 { return r.NormFloat64() }, uniform)}
}

func solve(t *testing.T, p Problem, o Options) *Solution {
	t.Helper()
	s, err := Solve(t.Context(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The error that a solution reports is that of its plan, summed entry by entry.
func TestMarginalErrorIsThatOfThePlan(t *testing.T) {
	for _, single := range []bool{false, true} {
		checkMarginalErrors(t, single)
	}
}

func checkMarginalErrors(t *testing.T, single bool) {
	p := shifted(1, 30, 2, 0.05)
	p.A.Single, p.B.Single = single, single
	for _, o := range []Options{{1e-3, 1000}, {1e-8, 1000}, {1e-3, 1}, {1e-3, 7}} {
		s := solve(t, p, o)
		rows, columns := 0.0, 0.0
		for i := range p.A.N {
			sum := 0.0
			for j := range p.B.N {
				sum += p.entry(s, i, j)
			}
			rows += math.Abs(sum - p.A.W[i])
		}
		for j := range p.B.N {
			sum := 0.0
			for i := range p.A.N {
				sum += p.entry(s, i, j)
			}
			columns += math.Abs(sum - p.B.W[j])
		}
		// Exponents of size |f|+|g|+C over ε, here under 400, are right to 400 half-ulps, and so are the entries; a kernel in binary32 has errors of its own.
		rounding := 1e-12
		if single && o.Tolerance >= narrowTolerance {
			rounding = 2e-6
		}
		if math.Abs(max(rows, columns)-s.MarginalError) > rounding || min(rows, columns) > rounding {
			t.Errorf("%+v: rows are off by %v, columns by %v, reported %v", o, rows, columns, s.MarginalError)
		}
		if s.Converged != (s.MarginalError <= o.Tolerance) || s.Iterations > o.MaxIterations {
			t.Errorf("%+v: %d iterations, converged %v at %v", o, s.Iterations, s.Converged, s.MarginalError)
		}
	}
}

func (p Problem) entry(s *Solution, i, j int) float64 {
	d := p.A.D
	c := p.Cost.Of(p.A.X[i*d:(i+1)*d], p.B.X[j*d:(j+1)*d])
	return p.A.W[i] * p.B.W[j] * math.Exp((s.F[i]+s.G[j]-c)/p.Epsilon)
}

// Newton's method has to earn its keep: plain sweeps, at the same annealing, take at least five times as many on problems with slow modes.
func TestNewtonSavesIterations(t *testing.T) {
	for seed := range uint64(3) {
		p := shifted(seed, 120, 2, 0.0025)
		fast := solve(t, p, Options{1e-3, 5000})
		plain := sweeps(t, p, 1e-3, func(*relaxation, float64) float64 { return 1 })
		if !fast.Converged || 5*fast.Iterations > plain {
			t.Errorf("seed %d: %d iterations (converged: %v), plain %d", seed, fast.Iterations, fast.Converged, plain)
		}
	}
}

// So has over-relaxation, which unbalanced problems are left with: at least half of the sweeps.
func TestRelaxationHalvesTheIterations(t *testing.T) {
	for seed := range uint64(3) {
		p := shifted(seed, 120, 2, 0.0025)
		relaxed := sweeps(t, p, 1e-3, func(r *relaxation, rows float64) float64 { return r.next(rows) })
		plain := sweeps(t, p, 1e-3, func(*relaxation, float64) float64 { return 1 })
		if 2*relaxed > plain {
			t.Errorf("seed %d: %d sweeps, plain %d", seed, relaxed, plain)
		}
	}
}

// sweeps counts the sweeps that the rows take to miss no more than the tolerance.
func sweeps(t *testing.T, p Problem, tolerance float64, omega func(*relaxation, float64) float64) int {
	path := NewPath(p, 0)
	r, next := newRelaxation(), 1.0
	for epsilon := 1.6; path.iterations < 5000; {
		epsilon = max(p.Epsilon, epsilon/2)
		if path.Epsilon != epsilon || path.iterations == 0 || path.wide() {
			if err := path.absorb(t.Context(), epsilon); err != nil {
				t.Fatal(err)
			}
		}
		rows, _, ok, err := path.sweep(t.Context(), next)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		path.iterations++
		if epsilon == p.Epsilon {
			if rows <= tolerance {
				break
			}
			next = omega(r, rows)
		}
	}
	return path.iterations
}

func TestSelfTermsConvergeSooner(t *testing.T) {
	p := shifted(4, 100, 2, 0.01)
	cross := solve(t, p, Options{1e-3, 5000})
	p.B = p.A
	self, err := SolveSelf(t.Context(), p, Options{1e-3, 5000})
	if err != nil {
		t.Fatal(err)
	}
	if !self.Converged || 2*self.Iterations > cross.Iterations {
		t.Errorf("self: %d iterations (converged: %v), cross: %d", self.Iterations, self.Converged, cross.Iterations)
	}
}

// A run whose error explodes goes back to plain sweeps and stays there for a while.
func TestGuardFallsBack(t *testing.T) {
	for name, bad := range map[string]float64{"growth": 1e6, "NaN": math.NaN(), "Inf": math.Inf(1)} {
		r := newRelaxation()
		e := 1.0
		for r.omega == 1 {
			e *= 0.9
			r.next(e)
		}
		for range guardSpan + 1 {
			e *= 0.99
			r.next(e)
		}
		if omega := r.next(bad); omega != 1 {
			t.Errorf("%s: ω = %v, want 1", name, omega)
		}
		for range guardSpan {
			e *= 0.99
			if omega := r.next(e); omega != 1 {
				t.Fatalf("%s: ω = %v while it is held, want 1", name, omega)
			}
		}
	}
}

// On errors that shrink by exactly r, ω is Young's.
func TestRelaxationIsYoungs(t *testing.T) {
	for _, rate := range []float64{0.3, 0.9, 0.99} {
		r := newRelaxation()
		e := 1.0
		for i := 0; r.omega == 1 && i < 100; i++ {
			r.next(e)
			e *= rate
		}
		if want := 2 / (1 + math.Sqrt(1-rate)); math.Abs(r.omega-want) > 1e-12 {
			t.Errorf("rate %v: ω = %v, want %v", rate, r.omega, want)
		}
	}
}

// Cancelled in the middle, a solve ends after the tiles that were under way: while costs are computed again for every pass, in any dimension, while they
// are stored, and while a stored kernel is swept.
func TestCancelIsCountedInTiles(t *testing.T) {
	cancelAfter(t, shifted(5, 16384, 8, 1e-4), 50)
	cancelAfter(t, shifted(11, 1024, 4096, 1), 3)
	cancelAfter(t, shifted(10, 1024, 2, 1e-4), 500)
}

// cancelAfter solves to an accuracy that is out of reach and cancels when that many tiles were started.
func cancelAfter(t *testing.T, p Problem, tiles int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start := parallel.Tiles()
	done := make(chan error, 1)
	go func() {
		_, err := Solve(ctx, p, Options{1e-14, 10_000_000})
		done <- err
	}()
	for deadline := time.Now().Add(20 * time.Second); parallel.Tiles() < start+tiles; {
		if time.Now().After(deadline) {
			t.Fatalf("N=%d, D=%d: the solve did not get to its tiles", p.A.N, p.A.D)
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	atCancel := parallel.Tiles()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("N=%d, D=%d: got %v, want context.Canceled", p.A.N, p.A.D, err)
	}
	// Between cancel and the reading of the counter a tile may start, and each worker finishes the one it is in.
	if more := parallel.Tiles() - atCancel; more > int64(runtime.GOMAXPROCS(0))+1 {
		t.Errorf("N=%d, D=%d: %d tiles started after the cancel", p.A.N, p.A.D, more)
	}
}

// Bits do not depend on the number of threads.
func TestThreadsDoNotChangeBits(t *testing.T) {
	p := shifted(6, 600, 3, 0.05)
	run := func(threads int) (*Solution, Bounds, []float64) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
		s := solve(t, p, Options{1e-3, 1000})
		b, err := Bound(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		g := make([]float64, p.A.N*p.A.D)
		if err := AddPointGradient(t.Context(), g, 1, p, s.F, s.G, s, 1e-3); err != nil {
			t.Fatal(err)
		}
		return s, b, g
	}
	s1, b1, g1 := run(1)
	for _, threads := range []int{2, 3, 7} {
		s, b, g := run(threads)
		if b != b1 || s.Iterations != s1.Iterations {
			t.Errorf("%d threads: %+v in %d iterations, want %+v in %d", threads, b, s.Iterations, b1, s1.Iterations)
		}
		for i := range g {
			if g[i] != g1[i] {
				t.Fatalf("%d threads: gradient %d is %v, want %v", threads, i, g[i], g1[i])
			}
		}
	}
}

func TestCheckTemperature(t *testing.T) {
	p := shifted(7, 10, 2, 1)
	if err := p.CheckTemperature("epsilon"); err != nil {
		t.Error(err)
	}
	p.Epsilon = p.Resolution() / 2
	if err := p.CheckTemperature("epsilon"); err == nil {
		t.Error("a temperature below the resolution was accepted")
	}
	p.A.X[0] = 1e160
	if err := p.CheckCosts(); err == nil {
		t.Error("costs that overflow were accepted")
	}
}
