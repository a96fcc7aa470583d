package entropic

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/vec"
)

// CTransform writes h(x_i) = min_j C(x_i,y_j) - g_j and the j where it is reached, for the points of x over those of y. For C = |x-y| that h is
// 1-Lipschitz whatever g is, being a minimum of functions that are.
func CTransform(ctx context.Context, h []float64, at []int, cost vec.Cost, x, y *losses.Cloud, g []float64) error {
	costs, err := newCosts[float64](ctx, cost, x, y, nil, false)
	if err != nil {
		return err
	}
	return costs.segments(ctx, func(i, lo int, row []float64) {
		if lo == 0 {
			h[i], at[i] = math.Inf(1), 0
		}
		// The columns beyond y's are padding.
		if least, j := vec.MinRow(row[:min(len(row), y.N-lo)], g[lo:]); least < h[i] {
			h[i], at[i] = least, lo+j
		}
	})
}
