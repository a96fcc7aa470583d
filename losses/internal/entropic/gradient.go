package entropic

import (
	"context"
	"math"

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
	plan, own := (*scaling)(nil), false
	if s != nil && s.plan != nil && !s.plan.kernel.symmetric() {
		plan = s.plan
	}
	if plan == nil {
		own = true
		frame := p.frame()
		plan = newScaling(p, frame, newKernel(p, frame, tolerance, false))
		copy(plan.f, f)
		copy(plan.g, g)
		if err := plan.absorb(ctx, p.Epsilon); err != nil {
			return err
		}
	}
	image, mass := make([]float64, len(dst)), make([]float64, p.A.N)
	soft, err := plan.images(ctx, image, mass)
	if err == nil && own && !inRange(mass, p.A.W) {
		// These potentials do not belong together: f is made from g.
		if f, err = p.softmin(ctx, g); err == nil {
			copy(plan.f, f)
			if err = plan.absorb(ctx, p.Epsilon); err == nil {
				clear(image)
				clear(mass)
				soft, err = plan.images(ctx, image, mass)
			}
		}
	}
	if err != nil {
		return err
	}
	marginal := make([]float64, p.A.N)
	for i, f := range soft {
		if p.A.W[i] > 0 {
			marginal[i] = scale * p.A.W[i] * p.target(p.damping(p.Epsilon)*f)
		}
	}
	if p.Cost != vec.HalfSquared {
		return p.addPulls(ctx, dst, marginal, soft, g)
	}
	for i, w := range marginal {
		if w == 0 {
			continue
		}
		lo, hi := i*p.A.D, (i+1)*p.A.D
		to, x, y := dst[lo:hi], p.A.X[lo:hi], image[lo:hi]
		for k, c := range plan.center {
			to[k] += w * (x[k] - c - y[k]/mass[i])
		}
	}
	return nil
}

// inRange reports whether sums over the rows of a kernel are positive and finite, where there is weight.
func inRange(sums, weights []float64) bool {
	for i, s := range sums {
		if weights[i] > 0 && !(s > 0 && s <= math.MaxFloat64) {
			return false
		}
	}
	return true
}

// images adds Σ_j K_ij b_j v_j (y_j - center) to image, where the cost has a use for it, and the weights to mass, and returns the softmin over the potential of
// the columns. The error is the context's.
func (s *scaling) images(ctx context.Context, image, mass []float64) (soft []float64, err error) {
	if s.Cost == vec.HalfSquared {
		y := make([]float64, len(s.B.X))
		for at := 0; at < len(y); at += s.B.D {
			for k, c := range s.center {
				y[at+k] = s.B.X[at+k] - c
			}
		}
		err = s.kernel.(imager).images(ctx, image, mass, s.weighted(), y)
	} else {
		_, err = s.kernel.pass(ctx, pass{y: s.weighted(), x: func(lo, _ int, sums, _ []float64) bool {
			copy(mass[lo:], sums)
			return true
		}})
	}
	soft = make([]float64, len(mass))
	for i, m := range mass {
		soft[i] = s.f[i] - s.Epsilon*math.Log(m)
	}
	return soft, err
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
