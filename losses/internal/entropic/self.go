package entropic

import "context"

// SolveSelf solves the problem of a cloud against itself, where f = g: the averaged iteration f ← ½(f + softmin f) converges in a few steps where the
// cross problem needs hundreds (Feydy et al. 2019, eq. 25). p.B is p.A. The plan of such potentials is symmetric.
func SolveSelf(ctx context.Context, p Problem, o Options) (*Solution, error) {
	s := NewPath(p)
	average := func(epsilon float64) (rows float64, err error) {
		if err := softmin(ctx, s.softF, s.Cost, epsilon, s.a, s.a, s.f, s.h); err != nil {
			return 0, err
		}
		rows = marginalError(s.a, s.f, s.softF, epsilon)
		s.iterations++
		return rows, nil
	}
	for _, epsilon := range s.schedule() {
		if s.iterations == o.MaxIterations-1 {
			break
		}
		if _, err := average(epsilon); err != nil {
			return nil, err
		}
		blend(s.f, s.softF, 0.5)
	}
	for {
		rows, err := average(s.Epsilon)
		if err != nil {
			return nil, err
		}
		if rows <= o.Tolerance || s.iterations >= o.MaxIterations {
			return &Solution{F: s.f, G: s.f, Iterations: s.iterations, MarginalError: rows, Converged: rows <= o.Tolerance}, nil
		}
		blend(s.f, s.softF, 0.5)
	}
}
