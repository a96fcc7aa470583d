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
// is the last half-step of the iteration. s is the solution that g is of, if its costs are those of p, else nil.
func AddPointGradient(ctx context.Context, dst []float64, scale float64, p Problem, g []float64, s *Solution) (err error) {
	var soft []float64
	var pairs pairs
	if s != nil && s.pairs != nil {
		soft, pairs = s.softF, s.pairs
	} else if soft, err = p.softmin(ctx, g); err != nil {
		return err
	}
	marginal := make([]float64, p.A.N)
	for i, f := range soft {
		marginal[i] = scale * p.A.W[i] * p.target(p.damping(p.Epsilon)*f)
	}
	if p.Cost != vec.HalfSquared {
		return p.addPulls(ctx, dst, marginal, soft, g)
	}
	if pairs == nil {
		if pairs, err = newRows(ctx, p); err != nil {
			return err
		}
	}
	return pairs.addBarycentric(ctx, dst, marginal, soft, g, p.Epsilon)
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

func (s *scores[T]) addBarycentric(ctx context.Context, dst, marginal, soft, g []float64, epsilon float64) error {
	c, n, d := s.ab, s.a.N, s.a.D
	setHeights(s.hb, s.b, g, epsilon)
	mass, image := make([]float64, n), make([]float64, n*d) // Σ w, Σ w y
	err := c.segmentsWith(ctx, func() func(i, lo int, row []T) {
		scratch := make([]T, min(segmentSize, c.stride))
		return func(i, lo int, row []T) {
			w, hi := scratch[:len(row)], lo+len(row)
			vec.ExpRow(w, row, s.hb[lo:hi], T(math.Log2E/epsilon), T(soft[i]/epsilon*math.Log2E))
			mass[i] += float64(vec.Sum(w))
			for k := range d {
				image[i*d+k] += float64(vec.Dot(w, c.packed[k*c.stride+lo:k*c.stride+hi]))
			}
		}
	})
	if err != nil {
		return err
	}
	for at := range dst {
		i, k := at/d, at%d
		dst[at] += marginal[i] * (s.a.X[at] - c.center[k] - image[at]/mass[i])
	}
	return nil
}
