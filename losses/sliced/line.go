package sliced

import (
	"math"

	"kantor/losses/internal/order"
	"kantor/losses/internal/parallel"
)

// side is one measure on a line.
type side struct {
	sorted  []order.Item
	weights []float64 // by point
	uniform bool      // all weights are the same
	slopes  []float64 // by point: where the derivative of the cost in its position goes; nil: nobody wants it
}

// cost returns |d|^p and its derivative in d; 0 at 0.
func cost(p int, d float64) (value, slope float64) {
	switch {
	case p == 2:
		return d * d, 2 * d
	case d > 0:
		return d, 1
	case d < 0:
		return -d, -1
	}
	return 0, 0
}

// transport returns the least cost of moving a to b, measures of the same mass, and writes the slopes; anything if the gate closes. The plan takes mass from
// left to right on both sides, so it has at most N+M-1 entries; what rounding leaves of one side at the end is nothing.
func transport(gate *parallel.Gate, p int, a, b side) float64 {
	if a.uniform && b.uniform && len(a.sorted) == len(b.sorted) {
		return pairs(gate, p, a, b)
	}
	total := 0.0
	clear(a.slopes)
	clear(b.slopes)
	i, j, left, right := 0, 0, a.at(0), b.at(0)
	for step := 1; i < len(a.sorted) && j < len(b.sorted); step++ {
		if step%order.Stretch == 0 && !gate.Open() {
			return 0
		}
		x, y := a.sorted[i], b.sorted[j]
		mass := min(left, right)
		c, slope := cost(p, x.At-y.At)
		total += mass * c
		if a.slopes != nil {
			a.slopes[x.Index] += mass * slope
		}
		if b.slopes != nil {
			b.slopes[y.Index] -= mass * slope
		}
		// Both, where they end together.
		if left -= mass; left == 0 {
			i++
			left = a.at(i)
		}
		if right -= mass; right == 0 {
			j++
			right = b.at(j)
		}
	}
	return total
}

// at is the weight of the i-th point from the left; 0 beyond the last.
func (s side) at(i int) float64 {
	if i == len(s.sorted) {
		return 0
	}
	return s.weights[s.sorted[i].Index]
}

// pairs is transport of as many points, all of the same weight.
func pairs(gate *parallel.Gate, p int, a, b side) float64 {
	total, weight := 0.0, a.weights[0]
	order.Stretches(gate, len(a.sorted), func(from, to int) {
		for i, x := range a.sorted[from:to] {
			y := b.sorted[from+i]
			c, slope := cost(p, x.At-y.At)
			total += c
			if a.slopes != nil {
				a.slopes[x.Index] = weight * slope
			}
			if b.slopes != nil {
				b.slopes[y.Index] = -weight * slope
			}
		}
	})
	return weight * total
}

// ties is the mass, relative to all of it, by which two sums of weights may differ and count as the same: what rounding leaves of a few hundred additions.
const ties = 0x1p-44

// addPotentials adds a pair of optimal potentials to f and g, which are by point: f_i + g_j ≤ |x_i - y_j|^p everywhere, with equality where mass moves. They
// follow the staircase of the plan. Where both sides end together it can go on through either corner; each gives optimal potentials, because the cost is
// Monge (Hoffman 1963), and the mean of the two is taken.
func addPotentials(gate *parallel.Gate, p int, a, b side, mass float64, f, g []float64) {
	between := func(i, j int) float64 {
		c, _ := cost(p, a.sorted[i].At-b.sorted[j].At)
		return c
	}
	n, m := len(a.sorted), len(b.sorted)
	u, v := 0.0, between(0, 0) // the potentials here
	f[a.sorted[0].Index] += u
	g[b.sorted[0].Index] += v
	i, j, left, right := 0, 0, a.at(0), b.at(0)
	for step := 1; i+1 < n || j+1 < m; step++ {
		if step%order.Stretch == 0 && !gate.Open() {
			return
		}
		excess := left - right
		switch here := between(i, j); {
		case i+1 < n && j+1 < m && math.Abs(excess) <= ties*mass:
			below, beside, next := between(i+1, j), between(i, j+1), between(i+1, j+1)
			u += 0.5 * (below - here + next - beside)
			v += 0.5 * (beside - here + next - below)
			i, j = i+1, j+1
			left, right = a.at(i)+max(0, excess), b.at(j)+max(0, -excess)
			f[a.sorted[i].Index] += u
			g[b.sorted[j].Index] += v
		case j+1 == m || i+1 < n && excess < 0:
			u += between(i+1, j) - here
			i, left, right = i+1, a.at(i+1), right-left
			f[a.sorted[i].Index] += u
		default:
			v += between(i, j+1) - here
			j, left, right = j+1, left-right, b.at(j+1)
			g[b.sorted[j].Index] += v
		}
	}
}
