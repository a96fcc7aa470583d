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
	Iterations    int       // annealing included; one updates both potentials
	MarginalError float64   // L1, of rows or columns, whichever is larger, relative to the mass
	Converged     bool      // MarginalError <= Options.Tolerance
}

// Path iterates on the potentials of a problem while its temperature falls.
type Path struct {
	Problem
	a, b       side
	f, g       []float64
	softF      []float64 // the last softmin over g
	softG      []float64 // the last softmin over f
	h          []float64 // scratch
	iterations int
}

// NewPath starts from potentials that are 0.
func NewPath(p Problem) *Path {
	n, m := p.A.N, p.B.N
	return &Path{Problem: p, a: newSide(p.A), b: newSide(p.B), f: make([]float64, n), g: make([]float64, m),
		softF: make([]float64, n), softG: make([]float64, m), h: make([]float64, max(n, m))}
}

// Solve runs Sinkhorn's iterations in the log domain: annealing by halves from the mean cost down to ε, then over-relaxed Gauss-Seidel sweeps (Thibault,
// Chizat, Dossal, Papadakis 2017) until the measured marginal error is within the tolerance. The columns' marginal is exact at the end, up to rounding.
// The error is the context's.
func Solve(ctx context.Context, p Problem, o Options) (*Solution, error) {
	path := NewPath(p)
	for _, epsilon := range path.schedule() {
		if path.iterations >= o.MaxIterations-1 {
			break
		}
		if err := path.anneal(ctx, epsilon); err != nil {
			return nil, err
		}
	}
	return path.Solve(ctx, p.Epsilon, o)
}

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

// Solve goes on at the given temperature from where the path stands, until the row error, measured while the columns are exact, is within the tolerance. Under over-relaxation neither marginal is
// exact: when both look small enough, or the iterations run out, a plain sweep makes the columns exact and the next measurement decides.
//
// The solution shares the path's potentials. Options.MaxIterations counts from the start of the path.
func (s *Path) Solve(ctx context.Context, epsilon float64, o Options) (*Solution, error) {
	s.Epsilon = epsilon
	relaxation, columns := newRelaxation(), 0.0
	exact := false // the last update of g was a plain one at ε
	for {
		if err := softmin(ctx, s.softF, s.Cost, s.Epsilon, s.a, s.b, s.g, s.h[:s.B.N]); err != nil {
			return nil, err
		}
		rows := marginalError(s.a, s.f, s.softF, s.Epsilon)
		if exact && (rows <= o.Tolerance || s.iterations >= o.MaxIterations) {
			return &Solution{F: s.f, G: s.g, Iterations: s.iterations, MarginalError: rows, Converged: rows <= o.Tolerance}, nil
		}
		omega := relaxation.next(rows)
		if max(rows, columns) <= o.Tolerance || s.iterations >= o.MaxIterations-1 {
			omega = 1
		}
		blend(s.f, s.softF, omega)
		if err := softmin(ctx, s.softG, s.Cost, s.Epsilon, s.b, s.a, s.f, s.h[:s.A.N]); err != nil {
			return nil, err
		}
		columns = marginalError(s.b, s.g, s.softG, s.Epsilon)
		blend(s.g, s.softG, omega)
		exact = omega == 1
		s.iterations++
	}
}

// anneal is one plain sweep at the given temperature.
func (s *Path) anneal(ctx context.Context, epsilon float64) error {
	if err := softmin(ctx, s.f, s.Cost, epsilon, s.a, s.b, s.g, s.h[:s.B.N]); err != nil {
		return err
	}
	s.iterations++
	return softmin(ctx, s.g, s.Cost, epsilon, s.b, s.a, s.f, s.h[:s.A.N])
}

// marginalError is |P1 - a|₁ relative to the mass, from the potential and its softmin: (P1)_i = a_i exp((f_i - softmin_i)/ε).
func marginalError(c side, f, soft []float64, epsilon float64) float64 {
	total := 0.0
	for i, w := range c.W {
		if w > 0 {
			total += w * math.Abs(math.Expm1((f[i]-soft[i])/epsilon))
		}
	}
	return total / c.Mass
}

// blend writes f ← (1-ω) f + ω soft.
func blend(f, soft []float64, omega float64) {
	if omega == 1 {
		copy(f, soft)
		return
	}
	floats.Scale(1-omega, f)
	floats.AddScaled(f, omega, soft)
}
