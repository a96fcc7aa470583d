package entropic

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses/internal/parallel"
)

// Options say when a solve ends.
type Options struct {
	Tolerance     float64 // L1 marginal error relative to the mass
	MaxIterations int     // at least 1
}

// Solution is where a solve ended.
type Solution struct {
	F, G          []float64 // potentials [N], [M], in units of the cost
	Iterations    int       // annealing included; one updates both potentials
	MarginalError float64   // |P1 - a|₁ or that of the columns, whichever is larger, relative to the mass; unbalanced: |P1 - a e^{-f/ρ}|₁
	Converged     bool      // MarginalError <= Options.Tolerance

	softF []float64 // the softmin over G
	pairs pairs     // the costs; nil: the potentials came from elsewhere
}

// Path iterates on the potentials of a problem while its temperature falls.
type Path struct {
	Problem
	a, b       side
	pairs      pairs
	f, g       []float64
	softF      []float64 // the last softmin over g
	softG      []float64 // the last softmin over f
	iterations int
}

// NewPath starts from potentials that are 0. The tolerance is the least that will be asked of a marginal error, the temperature of p the lowest. The error
// is the context's.
func NewPath(ctx context.Context, p Problem, tolerance float64) (*Path, error) {
	pairs, err := newPairs(ctx, p, tolerance)
	n, m := p.A.N, p.B.N
	return &Path{Problem: p, a: newSide(p.A), b: newSide(p.B), pairs: pairs, f: make([]float64, n), g: make([]float64, m),
		softF: make([]float64, n), softG: make([]float64, m)}, err
}

// Solve runs Sinkhorn's iterations: annealing by halves from the mean cost down to ε, then over-relaxed Gauss-Seidel sweeps (Thibault, Chizat, Dossal,
// Papadakis 2017) until the measured marginal error is within the tolerance. The columns' marginal is exact at the end, up to rounding. The error is the
// context's.
func Solve(ctx context.Context, p Problem, o Options) (*Solution, error) {
	path, err := NewPath(ctx, p, o.Tolerance)
	if err != nil {
		return nil, err
	}
	return path.SolveCross(ctx, o)
}

// SolveCross goes on from where the path stands, at the temperature of the problem; a path that has just begun is annealed first.
func (s *Path) SolveCross(ctx context.Context, o Options) (*Solution, error) {
	if s.iterations == 0 {
		for _, epsilon := range s.schedule() {
			if s.iterations >= o.MaxIterations-1 {
				break
			}
			if err := s.plainSweep(ctx, epsilon); err != nil {
				return nil, err
			}
		}
	}
	return s.Solve(ctx, s.Epsilon, o)
}

// Release gives back what the path and its solutions keep; neither may be used after it.
func (s *Path) Release() { s.pairs.release() }

// Iterations is how many were taken so far.
func (s *Path) Iterations() int { return s.iterations }

// schedule is the temperatures above ε, by halves from the mean cost: annealing saves the iterations that a cold start spends on carrying mass across
// the cloud (Schmitzer 2019, section 3.2).
func (s *Path) schedule() []float64 {
	var temperatures []float64
	center := Mean(s.B)
	for t := MeanCost(s.Cost, s.A, center) + MeanCost(s.Cost, s.B, center); t > s.Epsilon; t /= 2 {
		temperatures = append(temperatures, t)
	}
	return temperatures
}

// Solve goes on at the given temperature from where the path stands, until the row error, measured while the columns are exact, is within the tolerance.
//
// Where the costs are stored, most sweeps run on a kernel that the potentials were absorbed into, without an exponential. The measurement that decides is
// always that of the potentials in the log domain.
//
// The solution shares the path's potentials. Options.MaxIterations counts from the start of the path.
func (s *Path) Solve(ctx context.Context, epsilon float64, o Options) (*Solution, error) {
	s.Epsilon = epsilon
	relaxation := newRelaxation()
	for {
		if err := s.plainSweep(ctx, epsilon); err != nil {
			return nil, err
		}
		rows, err := s.rowError(ctx)
		if err != nil {
			return nil, err
		}
		if rows <= o.Tolerance || s.iterations >= o.MaxIterations {
			return s.solution(s.g, rows, o), nil
		}
		// The last iteration is a plain sweep, so that the columns are exact.
		limit := Options{o.Tolerance, o.MaxIterations - 1}
		done, err := s.sweepAbsorbed(ctx, relaxation, limit)
		if err == nil && !done {
			err = s.sweepLog(ctx, relaxation, limit)
		}
		if err != nil {
			return nil, err
		}
	}
}

// solution is where the path stands.
func (s *Path) solution(g []float64, rows float64, o Options) *Solution {
	return &Solution{F: s.f, G: g, Iterations: s.iterations, MarginalError: rows, Converged: rows <= o.Tolerance, softF: s.softF, pairs: s.pairs}
}

// plainSweep is one iteration at the given temperature, ω = 1.
func (s *Path) plainSweep(ctx context.Context, epsilon float64) error {
	if err := s.pairs.softminRows(ctx, s.f, s.g, epsilon); err != nil {
		return err
	}
	floats.Scale(s.damping(epsilon), s.f)
	s.iterations++
	err := s.pairs.softminColumns(ctx, s.g, s.f, epsilon)
	floats.Scale(s.damping(epsilon), s.g)
	return err
}

// rowError leaves the softmin over g in softF.
func (s *Path) rowError(ctx context.Context) (float64, error) {
	err := s.pairs.softminRows(ctx, s.softF, s.g, s.Epsilon)
	return s.marginalError(s.a, s.f, s.softF, s.Epsilon), err
}

// sweepLog iterates in the log domain until both marginal errors look small enough or the iterations run out.
func (s *Path) sweepLog(ctx context.Context, r *relaxation, o Options) error {
	columns := math.Inf(1)
	for s.iterations < o.MaxIterations {
		rows, err := s.rowError(ctx)
		if err != nil || max(rows, columns) <= o.Tolerance {
			return err
		}
		omega := r.next(rows)
		blend(s.f, s.softF, omega, s.damping(s.Epsilon))
		if err := s.pairs.softminColumns(ctx, s.softG, s.f, s.Epsilon); err != nil {
			return err
		}
		columns = s.marginalError(s.b, s.g, s.softG, s.Epsilon)
		blend(s.g, s.softG, omega, s.damping(s.Epsilon))
		s.iterations++
	}
	return nil
}

// sweepAbsorbed does the same on an absorbed kernel, which is made anew where the scalings have moved too far. It reports false where there is no kernel,
// or where it could not hold a sweep: then the log domain goes on from the last sweep that it could.
func (s *Path) sweepAbsorbed(ctx context.Context, r *relaxation, o Options) (done bool, err error) {
	for s.iterations < o.MaxIterations {
		k, err := s.pairs.absorb(ctx, s.f, s.g, s.Epsilon)
		if k == nil || err != nil {
			return false, err
		}
		done, ok := false, true
		err = parallel.Do(ctx, func(gate *parallel.Gate) { done, ok = s.sweepKernel(gate, k, r, o) })
		k.release(s.f, s.g)
		if done || !ok || err != nil {
			return done, err
		}
	}
	return true, nil
}

// sweepKernel iterates on one kernel. Its end is done, or a kernel that is too wide, or not ok.
func (s *Path) sweepKernel(gate *parallel.Gate, k kernel, r *relaxation, o Options) (done, ok bool) {
	omega, plain := 1.0, 0
	for s.iterations < o.MaxIterations {
		rows, columns, ok := k.sweep(gate, omega)
		if !ok {
			return false, false
		}
		s.iterations++
		// Only after a plain sweep are the columns exact, so that rows is all of the error.
		if plain > 0 && rows <= o.Tolerance {
			return true, true
		}
		if omega == 1 {
			plain++
		} else {
			plain = 0
		}
		omega = r.next(rows)
		if max(rows, columns) <= o.Tolerance {
			omega = 1
		}
		if k.wide() {
			return false, true
		}
	}
	return true, true
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
