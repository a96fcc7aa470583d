package entropic

import "context"

// SolveSelf solves the problem of a cloud against itself, where f = g: the averaged iteration f ← ½(f + λ softmin f) converges in a few steps where the
// cross problem needs hundreds (Feydy et al. 2019, eq. 25). p.B is p.A. The plan of such potentials is symmetric.
func SolveSelf(ctx context.Context, p Problem, o Options) (*Solution, error) {
	path, err := NewPath(ctx, p, o.Tolerance)
	if err != nil {
		return nil, err
	}
	return path.SolveSelf(ctx, o)
}

// SolveSelf goes on from where the path of a self problem stands, at the temperature of the problem; a path that has just begun is annealed first. It is
// [Path.Solve] otherwise.
func (s *Path) SolveSelf(ctx context.Context, o Options) (*Solution, error) {
	if s.iterations == 0 {
		for _, epsilon := range s.schedule() {
			if s.iterations >= o.MaxIterations-1 {
				break
			}
			if _, err := s.average(ctx, epsilon); err != nil {
				return nil, err
			}
			blend(s.f, s.softF, 0.5, s.damping(epsilon))
		}
	}
	for {
		rows, err := s.average(ctx, s.Epsilon)
		if err != nil {
			return nil, err
		}
		if rows <= o.Tolerance || s.iterations >= o.MaxIterations {
			return s.solution(s.f, rows, o), nil
		}
		blend(s.f, s.softF, 0.5, s.damping(s.Epsilon))
	}
}

// average is one iteration but for the averaging itself: it leaves the softmin of f in softF and returns the marginal error of f.
func (s *Path) average(ctx context.Context, epsilon float64) (rows float64, err error) {
	err = s.pairs.softminRows(ctx, s.softF, s.f, epsilon)
	s.iterations++
	return s.marginalError(s.a, s.f, s.softF, epsilon), err
}
