package exact

import (
	"cmp"
	"context"
	"slices"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// solveLine moves mass in the order of the points, which is optimal for every convex cost of the difference (Santambrogio 2015, theorem 2.9): so the value is
// that of the plan on both sides of the interval.
//
// The pairs that the merge of the two orders passes are a path, along which F and G follow from each other; that they are feasible everywhere is Monge's condition,
// C_ij + C_i'j' ≤ C_ij' + C_i'j for i < i', j < j' (Hoffman 1963).
func solveLine(ctx context.Context, p Problem, m *masses) (*Solution, error) {
	var xs, ys []int32
	var err error
	if xs, err = sorted(ctx, p.A); err != nil {
		return nil, err
	}
	if ys, err = sorted(ctx, p.B); err != nil {
		return nil, err
	}
	out := &Solution{F: make([]float64, p.A.N), G: make([]float64, p.B.N), Strategy: "sorted"}
	err = parallel.Do(ctx, func(gate *parallel.Gate) {
		flows, ok := p.merge(out, m, xs, ys, gate)
		if !ok {
			return
		}
		slices.SortFunc(flows, func(x, y flow) int { return cmp.Or(cmp.Compare(x.i, y.i), cmp.Compare(x.j, y.j)) })
		out.setPlan(p, m, flows)
		out.Lower = max(0, out.Value*(1-p.costError()-16*unit)-m.elsewhere(p)-tiny(p))
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// merge walks along both orders, points without mass included, and writes the potentials.
func (p Problem) merge(out *Solution, m *masses, xs, ys []int32, gate *parallel.Gate) (flows []flow, ok bool) {
	flows = make([]flow, 0, len(xs)+len(ys))
	a, b := 0, 0
	i, j := xs[0], ys[0]
	left, right := m.a[i], m.b[j]
	out.G[j] = p.pair(int(i), int(j))
	for step := 0; ; step++ {
		if step%(parallel.TileCost/64) == 0 && !gate.Open() {
			return nil, false
		}
		if moved := min(left, right); moved > 0 {
			flows = append(flows, flow{i, j, moved})
			left -= moved
			right -= moved
		}
		// The point that is used up gives way to the next on its side.
		switch {
		case a+1 < len(xs) && left == 0:
			a++
			i = xs[a]
			left = m.a[i]
			out.F[i] = p.pair(int(i), int(j)) - out.G[j]
		case b+1 < len(ys):
			b++
			j = ys[b]
			right = m.b[j]
			out.G[j] = p.pair(int(i), int(j)) - out.F[i]
		default:
			return flows, true
		}
	}
}

// sorted is the points of a line from left to right: runs of them at once, then merged.
func sorted(ctx context.Context, c *losses.Cloud) ([]int32, error) {
	const run = 1 << 12
	order, other := make([]int32, c.N), make([]int32, c.N)
	for i := range order {
		order[i] = int32(i)
	}
	less := func(i, j int32) int { return cmp.Or(cmp.Compare(c.X[i], c.X[j]), cmp.Compare(i, j)) }
	err := parallel.Rows(ctx, (c.N+run-1)/run, parallel.TileCost, func(lo, hi int, _ *parallel.Gate) {
		slices.SortFunc(order[lo*run:min(c.N, hi*run)], less)
	})
	for width := run; width < c.N && err == nil; width *= 2 {
		pairs := (c.N + 2*width - 1) / (2 * width)
		err = parallel.Rows(ctx, pairs, parallel.TileCost, func(k, _ int, gate *parallel.Gate) {
			lo := 2 * k * width
			mid, hi := min(c.N, lo+width), min(c.N, lo+2*width)
			mergeRuns(other[lo:hi], order[lo:mid], order[mid:hi], less, gate)
		})
		order, other = other, order
	}
	return order, err
}

// mergeRuns merges two sorted runs, unless the gate closes.
func mergeRuns(dst, x, y []int32, less func(i, j int32) int, gate *parallel.Gate) {
	for k := range dst {
		if k%(1<<16) == 1<<16-1 && !gate.Open() {
			return
		}
		if len(y) == 0 || len(x) > 0 && less(x[0], y[0]) < 0 {
			dst[k], x = x[0], x[1:]
		} else {
			dst[k], y = y[0], y[1:]
		}
	}
}
