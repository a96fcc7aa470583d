package entropic

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// Extended returns the potential of p.A against p.B that g defines, f(x) = -λε log Σ_j b_j exp((g_j - C(x,y_j))/ε): at the solution it is the potential
// itself, it is defined at points of weight 0 too, and as the gradient of the value in the weights it is one step more accurate.
func Extended(ctx context.Context, p Problem, g []float64) ([]float64, error) {
	f, err := p.softmin(ctx, g)
	floats.Scale(p.damping(p.Epsilon), f)
	return f, err
}

// softmin is the softmin of each point of p.A over those of p.B.
func (p Problem) softmin(ctx context.Context, g []float64) ([]float64, error) {
	c, err := newCosts[float64](ctx, p.Cost, p.A, p.B, Mean(p.B), false)
	if err != nil {
		return nil, err
	}
	c.least = p.Nearest
	f, h := make([]float64, p.A.N), heightsFor[float64](p.B.N)
	setHeights(h, newSide(p.B), g, p.Epsilon)
	return f, softminOf(ctx, c, f, h, make([]logSum, p.A.N), p.Epsilon)
}

// AddPointGradient adds scale·p_i Σ_j w_ij ∇₁C(x_i,y_j) to dst, [N,D], where w_ij = P_ij/Σ_k P_ik are the rows of the plan of potential g, each scaled to
// sum to 1, and p_i is the marginal, a_i or a_i e^{-f_i/ρ}. By the envelope theorem that is the gradient of the value in the points of p.A; scaling the rows
// is the last half-step of the iteration. f is the other potential, roughly. s is the solution that they are of, if its costs are those of p, else nil;
// tolerance says how precise it has to be. The error is the context's.
func AddPointGradient(ctx context.Context, dst []float64, scale float64, p Problem, f, g []float64, s *Solution, tolerance float64) error {
	plan := (*scaling)(nil)
	if s != nil && s.plan != nil && !s.plan.kernel.symmetric() {
		plan = s.plan
	} else {
		var err error
		if plan, err = planOf(ctx, p, f, g, tolerance); err != nil {
			return err
		}
	}
	todo := make([]bool, p.A.N)
	for i, a := range p.A.W {
		todo[i] = a > 0
	}
	err := plan.addGradient(ctx, dst, scale, todo)
	if err != nil || !slices.Contains(todo, true) {
		return err
	}
	// The kernel does not hold the sums of these rows at these potentials: at the one that g defines all of them are 1.
	if f, err = p.softmin(ctx, g); err != nil {
		return err
	}
	if plan, err = planOf(ctx, p, f, g, tolerance); err != nil {
		return err
	}
	return plan.addGradient(ctx, dst, scale, todo)
}

// planOf is the plan of potentials, of which nothing is stored. The error is the context's.
func planOf(ctx context.Context, p Problem, f, g []float64, tolerance float64) (*scaling, error) {
	frame := p.frame()
	plan := newScaling(p, frame, newKernel(p, frame, tolerance, false))
	copy(plan.f, f)
	copy(plan.g, g)
	return plan, plan.absorb(ctx, p.Epsilon)
}

// addGradient adds to dst the gradient in the points that are to do, and takes those off whose row the kernel holds the sum of. The error is the context's.
func (s *scaling) addGradient(ctx context.Context, dst []float64, scale float64, todo []bool) error {
	if s.Cost != vec.HalfSquared {
		return s.addPullGradient(ctx, dst, scale, todo)
	}
	d := s.A.D
	return s.kernel.(imager).images(ctx, s.weighted(), s.B, s.center, func(lo, hi int, images, masses []float64) {
		for i := lo; i < hi; i++ {
			mass := masses[i-lo]
			if !todo[i] || !inRange(mass) {
				continue
			}
			todo[i] = false
			_, marginal := s.marginalOf(i, mass)
			to, x, image := dst[i*d:][:d], s.A.X[i*d:][:d], images[(i-lo)*d:][:d]
			for k, c := range s.center {
				// Rounded before it is added, so that what was there before decides nothing but the sum.
				to[k] += float64(scale * marginal * (x[k] - c - image[k]/mass))
			}
		}
	})
}

// inRange reports whether a sum over a row of a kernel is positive and finite.
func inRange(sum float64) bool { return sum > 0 && sum <= math.MaxFloat64 }

// marginalOf is the softmin over the columns' potential for a row with this sum, and the marginal that belongs to it.
func (s *scaling) marginalOf(i int, sum float64) (soft, marginal float64) {
	soft = s.f[i] - s.Epsilon*math.Log(sum)
	return soft, s.A.W[i] * s.Problem.target(s.damping(s.Epsilon)*soft)
}

func (s *scaling) addPullGradient(ctx context.Context, dst []float64, scale float64, todo []bool) error {
	soft, marginal := make([]float64, s.A.N), make([]float64, s.A.N)
	_, err := s.kernel.pass(ctx, pass{y: s.weighted(), x: func(lo, _ int, sums, _ []float64) bool {
		for i, sum := range sums {
			if at := lo + i; todo[at] && inRange(sum) {
				todo[at] = false
				soft[at], marginal[at] = s.marginalOf(at, sum)
				marginal[at] *= scale
			}
		}
		return true
	}})
	if err != nil {
		return err
	}
	g := slices.Clone(s.g)
	addLogs(g, slices.Clone(s.v), s.Epsilon)
	return s.addPulls(ctx, dst, marginal, soft, g)
}

// addPulls takes the differences of points first: x - T(x) divided by distances loses its digits where two points nearly coincide.
func (p Problem) addPulls(ctx context.Context, dst, marginal, soft, g []float64) error {
	x, y, h := p.A, newSide(p.B), make([]float64, p.B.N)
	for j, v := range g {
		h[j] = v/p.Epsilon + y.logW[j]
	}
	return parallel.Rows(ctx, x.N, y.rowCost(), func(lo, hi int, gate *parallel.Gate) {
		pull := make([]float64, x.D)
		for i := lo; i < hi; i++ {
			if marginal[i] == 0 {
				continue
			}
			clear(pull)
			point := x.X[i*x.D : (i+1)*x.D]
			ok := eachBlock(gate, y, func(lo, hi int) {
				vec.AddPull(pull, p.Cost, point, y.X[lo*y.D:hi*y.D], h[lo:hi], 1/p.Epsilon, -soft[i]/p.Epsilon, p.Nearest)
			})
			if !ok {
				return
			}
			floats.AddScaled(dst[i*x.D:(i+1)*x.D], marginal[i], pull)
		}
	})
}
