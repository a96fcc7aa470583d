package kantorovich

import (
	"context"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/vec"
)

// potential is h(z) = min_j |z - y_j| - g_j with its values at the points of two clouds, and the cones that are active there.
type potential struct {
	tips *losses.Cloud // y
	g    []float64     // heights of the cones

	hx, hy       []float64 // [N], [M]
	atX, atY     []int     // the cone that is the least at each point
	value        float64   // <a,h> - <b,h>
	lower, upper float64   // on W1
	slack        float64   // what the bounds are apart by rounding alone
}

// of returns h at the points of a cloud, and the first of the cones that are the least there.
func (h *potential) of(ctx context.Context, c *losses.Cloud) (values []float64, active []int, err error) {
	values, active = make([]float64, c.N), make([]int, c.N)
	return values, active, entropic.CTransform(ctx, values, active, vec.Distance, c, h.tips, h.g)
}

// evaluate sets the values at the points of two clouds, and what they come to.
func (h *potential) evaluate(ctx context.Context, a, b *losses.Cloud) (err error) {
	if h.hx, h.atX, err = h.of(ctx, a); err != nil {
		return err
	}
	if h.hy, h.atY, err = h.of(ctx, b); err != nil {
		return err
	}
	h.value = floats.Dot(a.W, h.hx) - floats.Dot(b.W, h.hy)
	return nil
}

// better returns the potential of the larger value with the smaller of both upper bounds.
func (h *potential) better(other *potential) *potential {
	if other == nil {
		return h
	}
	upper := min(h.upper, other.upper) // the slack of either will do
	if other.value > h.value {
		h = other
	}
	h.upper = upper
	return h
}
