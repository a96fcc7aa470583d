package entropic

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
)

// NewSelfPath is [NewPath] for a cloud against itself, where f = g: p.B is p.A. The kernel is symmetric, and half of it is stored.
func NewSelfPath(p Problem, tolerance float64) *Path {
	f := p.frame()
	return &Path{scaling: newScaling(p, f, newSelfKernel(p, f, tolerance))}
}

// SolveSelf solves the problem of a cloud against itself: the averaged iteration f ← f + ω(λ softmin f - f) converges in a few steps where the cross problem
// needs hundreds (Feydy et al. 2019, eq. 25, with ω = ½). p.B is p.A. The plan of such potentials is symmetric.
func SolveSelf(ctx context.Context, p Problem, o Options) (*Solution, error) {
	path := NewSelfPath(p, o.Tolerance)
	return path.SolveSelf(ctx, o)
}

const (
	// firstAverage is safe from any start, bestAverage the best near the solution: there a step multiplies errors by 1-ω(1+s), where s, an eigenvalue of the
	// kernel scaled to be stochastic, is between 0 and 1 for costs whose Gibbs kernel is positive definite, as that of both costs is.
	firstAverage = 1.0 / 2
	bestAverage  = 2.0 / 3
	nearError    = 0.1
)

// SolveSelf goes on from where the path of a self problem stands, at the temperature of the problem. It needs no annealing: at potentials of 0 the kernel has a
// diagonal of 1 and no larger entry, so that its sums are never out of range, and near the solution the error falls to a third with every step.
func (s *Path) SolveSelf(ctx context.Context, o Options) (*Solution, error) {
	if err := s.absorb(ctx, s.Epsilon); err != nil {
		return nil, err
	}
	omega, before := firstAverage, math.Inf(1)
	for {
		missed, err := s.averageSums(ctx)
		if err != nil {
			return nil, err
		}
		s.iterations++
		if missed <= o.Tolerance || s.iterations >= o.MaxIterations {
			copy(s.v, s.u)
			return s.solution(ctx, missed, o)
		}
		omega = firstAverage
		if missed < nearError && missed < 0.9*before {
			omega = bestAverage
		}
		before = missed
		ok := s.relax(s.u, s.f, 0, omega)
		copy(s.v, s.u)
		if !ok {
			if err := s.logAverage(ctx); err != nil {
				return nil, err
			}
		}
		if !ok || s.wide() {
			if err := s.absorb(ctx, s.Epsilon); err != nil {
				return nil, err
			}
		}
	}
}

// averageSums leaves the ratios of the marginals to the weights in s.ratio, and returns what the rows miss.
func (s *Path) averageSums(ctx context.Context) (missed float64, err error) {
	_, err = s.kernel.pass(ctx, pass{y: floats.MulTo(s.y, s.A.W, s.u), x: func(lo, hi int, sums, _ []float64) bool {
		for i := lo; i < hi; i++ {
			if s.ratio[i] = 1; s.A.W[i] > 0 {
				s.ratio[i] = s.u[i] * sums[i-lo]
			}
		}
		return true
	}})
	for i, a := range s.A.W {
		if a > 0 {
			missed += a * math.Abs(s.ratio[i]-s.target(s.f[i], s.u[i]))
		}
	}
	return missed / s.A.Mass, err
}

// logAverage is a step in the log domain, for weights so small that sums over the kernel vanish. The kernel is then no longer at the potentials.
func (s *Path) logAverage(ctx context.Context) (err error) {
	s.settle()
	if err := s.makePairs(ctx); err != nil {
		return err
	}
	soft := make([]float64, s.A.N)
	err = s.pairs.softminRows(ctx, soft, s.f, s.Epsilon)
	blend(s.f, soft, firstAverage, s.damping(s.Epsilon))
	copy(s.g, s.f)
	return err
}
