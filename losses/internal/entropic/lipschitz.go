package entropic

import (
	"context"

	"kantor/losses"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// CTransform writes h(x_i) = min_j C(x_i,y_j) - g_j and the j where it is reached, for the points of x over those of y. For C = |x-y| that h is
// 1-Lipschitz whatever g is, being a minimum of functions that are.
func CTransform(ctx context.Context, h []float64, at []int, cost vec.Cost, x, y *losses.Cloud, g []float64) error {
	ys := side{Cloud: y}
	return parallel.Rows(ctx, x.N, ys.rowCost(), func(lo, hi int, gate *parallel.Gate) {
		for i := lo; i < hi; i++ {
			point := x.X[i*x.D : (i+1)*x.D]
			first := true
			ok := eachBlock(gate, ys, func(lo, hi int) {
				least, j := vec.MinRow(cost, point, y.X[lo*y.D:hi*y.D], g[lo:hi])
				if first || least < h[i] {
					h[i], at[i], first = least, lo+j, false
				}
			})
			if !ok {
				return
			}
		}
	})
}
