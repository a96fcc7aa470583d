package entropic

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
)

// Options say when a solve ends.
type Options struct {
	Tolerance     float64 // L1 marginal error relative to the mass
	MaxIterations int     // at least 1
}

// Solution is where a solve ended.
type Solution struct {
	F, G          []float64 // potentials [N], [M], in units of the cost
	Iterations    int       // annealing included; one is a pass over the pairs, or a sweep in the log domain
	MarginalError float64   // |P1 - a|₁ or that of the columns, whichever is larger, relative to the mass; unbalanced: |P1 - a e^{-f/ρ}|₁
	Converged     bool      // MarginalError <= Options.Tolerance
	Strategy      string    // how it was computed, for people

	plan *scaling // nil: the potentials came from elsewhere
}

// Forget leaves the potentials and lets go of what they were computed with.
func (s *Solution) Forget() {
	if s != nil {
		s.plan = nil
	}
}

// Path iterates on the potentials of a problem while its temperature falls.
type Path struct {
	*scaling
	pairs      pairs // the same in the log domain; nil: not needed yet
	iterations int
}

// NewPath starts from the potentials of an infinite temperature, or, unbalanced, from 0. The tolerance is the least that will be asked of a marginal error,
// the temperature of p the lowest.
func NewPath(p Problem, tolerance float64) *Path {
	f := p.frame()
	s := &Path{scaling: newScaling(p, f, newKernel(p, f, tolerance, true))}
	if p.balanced() {
		copy(s.f, f.rx)
		copy(s.g, f.ry)
	}
	return s
}

// Solve runs Sinkhorn's iterations: annealing by halves, then at ε steps of Newton's method, or over-relaxed sweeps, until the measured marginal error is
// within the tolerance. The error is the context's.
func Solve(ctx context.Context, p Problem, o Options) (*Solution, error) {
	path := NewPath(p, o.Tolerance)
	return path.SolveCross(ctx, o)
}

// SolveCross goes on from where the path stands, at the temperature of the problem; a path that has just begun is annealed first.
func (s *Path) SolveCross(ctx context.Context, o Options) (*Solution, error) {
	epsilon := s.Epsilon
	if s.iterations == 0 {
		if err := s.anneal(ctx, epsilon, o); err != nil {
			return nil, err
		}
	}
	return s.Solve(ctx, epsilon, o)
}

// Release gives back what the path and its solutions keep; neither may be used after it.
func (s *Path) Release() { s.kernel.release() }

// Iterations is how many were taken so far.
func (s *Path) Iterations() int { return s.iterations }

const (
	// firstTemperature is where annealing starts, as a part of the mean cost: plans above it are nearly products.
	firstTemperature = 0.25
	// levelTolerance is how far a problem is solved on the way: potentials that lag behind the temperature take long to catch up.
	levelTolerance = 1e-2
)

// anneal solves the problem roughly at temperatures that fall by halves to twice ε, from a part of the mean cost: that saves the iterations that a cold
// start spends on carrying mass across the cloud (Schmitzer 2019, section 3.2).
func (s *Path) anneal(ctx context.Context, epsilon float64, o Options) error {
	mean := s.frame.meanCost(s.Problem)
	if !(firstTemperature*mean > epsilon) {
		return nil
	}
	levels := int(math.Ceil(math.Log2(firstTemperature * mean / epsilon)))
	// The last two iterations are for ε itself.
	o = Options{max(levelTolerance, o.Tolerance), o.MaxIterations - 2}
	for level := levels; level > 0 && s.iterations < o.MaxIterations; level-- {
		next, ok := math.Ldexp(epsilon, level), false
		var err error
		if level < levels && !s.kernel.cheap() {
			ok, err = s.halve(ctx)
			s.iterations++
		}
		if !ok && err == nil {
			err = s.start(ctx, next)
		}
		if err == nil && s.balanced() && s.iterations < o.MaxIterations {
			_, _, err = s.climb(ctx, o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// start makes the kernel at a temperature and takes a sweep, in the log domain where the kernel's numbers do not hold the sums of one.
func (s *Path) start(ctx context.Context, epsilon float64) error {
	if err := s.absorb(ctx, epsilon); err != nil {
		return err
	}
	_, _, ok, err := s.sweep(ctx, 1)
	if err == nil && !ok {
		return s.restart(ctx)
	}
	s.iterations++
	return err
}

// logSweep is a plain sweep in the log domain, at the temperature of the kernel, which is then no longer at the potentials.
func (s *Path) logSweep(ctx context.Context) (err error) {
	s.settle()
	if err := s.makePairs(ctx); err != nil {
		return err
	}
	if err := s.pairs.softminRows(ctx, s.f, s.g, s.Epsilon); err != nil {
		return err
	}
	floats.Scale(s.damping(s.Epsilon), s.f)
	s.iterations++
	err = s.pairs.softminColumns(ctx, s.g, s.f, s.Epsilon)
	floats.Scale(s.damping(s.Epsilon), s.g)
	return err
}

// Solve goes on at the given temperature from where the path stands.
//
// The solution shares what the path keeps. Options.MaxIterations counts from the start of the path.
func (s *Path) Solve(ctx context.Context, epsilon float64, o Options) (*Solution, error) {
	if err := s.absorb(ctx, epsilon); err != nil {
		return nil, err
	}
	for try := 0; s.balanced() && try < 2 && s.iterations < o.MaxIterations-1; try++ {
		missed, done, err := s.climb(ctx, o)
		if err != nil {
			return nil, err
		}
		if done || s.iterations >= o.MaxIterations {
			return s.solution(ctx, missed, o)
		}
		if err := s.restart(ctx); err != nil {
			return nil, err
		}
	}
	if s.iterations >= o.MaxIterations {
		missed, err := s.measureRows(ctx)
		if err != nil {
			return nil, err
		}
		return s.solution(ctx, missed, o)
	}
	missed, err := s.relaxed(ctx, o)
	if err != nil {
		return nil, err
	}
	return s.solution(ctx, missed, o)
}

// climb is Newton's method. done is false where it got stuck.
func (s *Path) climb(ctx context.Context, o Options) (missed float64, done bool, err error) {
	n := newNewton(s.scaling)
	n.iterations = s.iterations
	ok, err := n.rowsExact(ctx)
	if ok && err == nil {
		ok, err = n.climb(ctx, o)
	}
	s.iterations = n.iterations
	return n.missed, ok, err
}

// relaxed takes over-relaxed sweeps (Thibault, Chizat, Dossal, Papadakis 2017).
func (s *Path) relaxed(ctx context.Context, o Options) (missed float64, err error) {
	r := newRelaxation()
	omega := 1.0
	for {
		rows, columns, ok, err := s.sweep(ctx, omega)
		if err != nil {
			return 0, err
		}
		if ok {
			s.iterations++
		} else {
			rows = math.Inf(1)
			if err := s.restart(ctx); err != nil {
				return 0, err
			}
			// That may be so in every sweep, as where a point is beyond the reach of all others.
			if missed, err = s.measureRows(ctx); err != nil || missed <= o.Tolerance {
				return missed, err
			}
		}
		// Only after a plain sweep are the columns exact, so that the rows' is all of the error.
		last := s.iterations >= o.MaxIterations
		if omega == 1 && (rows <= o.Tolerance || last) {
			if missed, err = s.measureRows(ctx); err != nil || missed <= o.Tolerance || last {
				return missed, err
			}
		}
		omega = r.next(rows)
		if max(rows, columns) <= o.Tolerance || s.iterations >= o.MaxIterations-1 {
			omega = 1
		}
		if s.wide() {
			if err := s.absorb(ctx, s.Epsilon); err != nil {
				return 0, err
			}
		}
	}
}

// restart takes a sweep in the log domain and makes the kernel anew, where its numbers did not hold the sums of one.
func (s *Path) restart(ctx context.Context) error {
	if err := s.logSweep(ctx); err != nil {
		return err
	}
	return s.absorb(ctx, s.Epsilon)
}

// solution is where the path stands. The error is the context's.
func (s *Path) solution(ctx context.Context, missed float64, o Options) (*Solution, error) {
	f, g, err := s.potentials(ctx)
	return &Solution{F: f, G: g, Iterations: s.iterations, MarginalError: missed, Converged: missed <= o.Tolerance, Strategy: s.kernel.strategy(),
		plan: s.scaling}, err
}

// marginalError is |P1 - a e^{-f/ρ}|₁ relative to the mass, from the potential and its softmin: (P1)_i = a_i exp((f_i - softmin_i)/ε).
func (p Problem) marginalError(c side, f, soft []float64, epsilon float64) float64 {
	total := 0.0
	for i, w := range c.W {
		switch {
		case w == 0:
		case p.balanced():
			total += w * math.Abs(math.Expm1((f[i]-soft[i])/epsilon))
		default:
			total += w * math.Abs(math.Exp((f[i]-soft[i])/epsilon)-p.target(f[i]))
		}
	}
	return total / c.Mass
}

// blend writes f ← (1-ω) f + ωλ soft.
func blend(f, soft []float64, omega, damping float64) {
	floats.Scale(1-omega, f)
	floats.AddScaled(f, omega*damping, soft)
}
