package entropic

import (
	"context"

	"kantor/losses"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// Extended returns the potential of x against y that its softmin defines, f(x) = -ε log Σ_j b_j exp((g_j - C(x,y_j))/ε): at the solution it is the
// potential itself, it is defined at points of weight 0 too, and as the gradient of the value in the weights it is one step more accurate.
func Extended(ctx context.Context, cost vec.Cost, epsilon float64, x, y *losses.Cloud, g []float64) ([]float64, error) {
	f, ys := make([]float64, x.N), newSide(y)
	err := softmin(ctx, f, cost, epsilon, side{Cloud: x}, ys, g, make([]float64, y.N))
	return f, err
}

// AddPointGradient adds scale·a_i Σ_j w_ij ∇₁C(x_i,y_j) to dst, [N,D], where w_ij = P_ij/Σ_k P_ik are the rows of the plan of potential g, each scaled to
// sum to 1. By the envelope theorem that is the gradient of the value in the points of x; scaling the rows is the last half-step of the iteration.
func AddPointGradient(ctx context.Context, dst []float64, scale float64, cost vec.Cost, epsilon float64, x, y *losses.Cloud, g []float64) error {
	ys, h := newSide(y), make([]float64, y.N)
	ys.heights(h, g, epsilon)
	return parallel.Rows(ctx, x.N, 2*ys.rowCost(), func(lo, hi int, gate *parallel.Gate) {
		pull := make([]float64, x.D)
		for i := lo; i < hi; i++ {
			point := x.X[i*x.D : (i+1)*x.D]
			sum, ok := logSumRow(gate, cost, point, ys, h, 1/epsilon)
			if !ok {
				return
			}
			clear(pull)
			ok = eachBlock(gate, ys, func(lo, hi int) {
				vec.AddPull(pull, cost, point, y.X[lo*y.D:hi*y.D], h[lo:hi], 1/epsilon, sum)
			})
			if !ok {
				return
			}
			for j, v := range pull {
				dst[i*x.D+j] += scale * x.W[i] * v
			}
		}
	})
}
