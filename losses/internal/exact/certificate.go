package exact

import (
	"cmp"
	"context"
	"math"
	"slices"

	"kantor/losses"
	"kantor/losses/internal/entropic"
)

// flow is a move of some units of mass.
type flow struct {
	i, j  int32
	units int64
}

// setPlan makes the plan of flows, in their order, and the value and the upper bound that it gives.
//
// The plan is one for the multiples that the weights were rounded to. To make it one for the weights themselves, at most m.missed of the mass has to move
// elsewhere, which costs at most the largest cost, and in the other direction as much, so the two optima are that close.
func (s *Solution) setPlan(p Problem, m *masses, flows []flow) {
	s.Plan = make([]Entry, len(flows))
	var value sum
	for k, e := range flows {
		s.Plan[k] = Entry{e.i, e.j, float64(e.units) * m.unit}
		value.addProduct(float64(e.units), p.pair(int(e.i), int(e.j)))
	}
	s.Value = value.value() * m.unit
	s.Upper = s.Value*(1+p.costError()+16*unit) + m.elsewhere(p) + tiny(p)
}

// elsewhere is at most what the rounding of weights is worth.
func (m *masses) elsewhere(p Problem) float64 {
	if m.missed == 0 {
		return 0
	}
	return m.missed * p.largest() * (1 + 8*unit)
}

// tiny is more than is lost to numbers below the smallest normal one.
func tiny(p Problem) float64 {
	return float64(p.A.N+p.B.N) * float64(p.A.D+8) * (1 + p.A.Mass) * 0x1p-1000
}

// plan is the flows in the tree, sorted, in the numbering of the problem.
func (n *network) plan() []flow {
	flows := make([]flow, 0, n.n+n.m)
	t := n.simplex.tree
	for w := range t.nodes {
		at := &t.nodes[w]
		if at.flow == 0 || int32(w) == t.root || at.parent == t.root {
			continue
		}
		row, column := int32(w), at.parent
		if row >= t.rows {
			row, column = column, row
		}
		flows = append(flows, flow{n.rowAt[row], n.columnAt[column-t.rows], at.flow})
	}
	slices.SortFunc(flows, func(x, y flow) int { return cmp.Or(cmp.Compare(x.i, y.i), cmp.Compare(x.j, y.j)) })
	return flows
}

// solution reads the tree, bounds the optimum, and gives potentials to points without mass. The error is the context's.
func (n *network) solution(ctx context.Context, found *prices) (*Solution, error) {
	out := &Solution{Pivots: n.simplex.pivots, Rounds: n.rounds, Strategy: n.strategy()}
	out.setPlan(n.problem, n.masses, n.plan())
	f, g := n.potentials()
	// G less what F + G is above the costs is feasible.
	var dual sum
	size := 0.0
	for i, v := range f {
		dual.addProduct(float64(n.supply[i]), v)
		size += float64(n.supply[i]) * math.Abs(v)
	}
	above := 0.0
	for j, v := range g {
		dual.addProduct(float64(n.demand[j]), v)
		size += float64(n.demand[j]) * math.Abs(v)
		above += float64(n.demand[j]) * found.above[j]
	}
	value, terms := dual.value()*n.masses.unit, float64(n.n+n.m)
	rounding := 8*unit*math.Abs(value) + (n.masses.narrowing()+terms*terms*unit*unit)*size*n.masses.unit
	lower := value - rounding - above*n.masses.unit*(1+2*entropic.Gamma(n.m+8)) - n.masses.elsewhere(n.problem) - tiny(n.problem)
	out.Lower = max(0, min(lower, out.Value))
	return out, n.extend(ctx, out, f, g)
}

// narrowing bounds the relative error of a multiple as a binary64 number.
func (m *masses) narrowing() float64 {
	if m.total < 1<<53 {
		return 0
	}
	return 2 * unit
}

// extend writes the potentials of all points: without mass they are as large as the costs allow.
func (n *network) extend(ctx context.Context, out *Solution, f, g []float64) error {
	p := n.problem
	var err error
	if out.F, err = n.extended(ctx, p.A, n.rowAt, f, n.b, g); err != nil {
		return err
	}
	out.G, err = n.extended(ctx, p.B, n.columnAt, g, p.A, out.F)
	return err
}

// extended is potentials of all points of c, those that are at some indices given, the others min_j C(x,y_j) - g_j over the points of y.
func (n *network) extended(ctx context.Context, c *losses.Cloud, at []int32, f []float64, y *losses.Cloud, g []float64) ([]float64, error) {
	if len(at) == c.N {
		return f, nil
	}
	all, rest, restAt := make([]float64, c.N), &losses.Cloud{D: c.D}, []int(nil)
	next := 0
	for i := range c.N {
		if next < len(at) && int(at[next]) == i {
			all[i] = f[next]
			next++
			continue
		}
		rest.X, restAt = append(rest.X, c.X[i*c.D:(i+1)*c.D]...), append(restAt, i)
	}
	rest.N = len(restAt)
	h, closest := make([]float64, rest.N), make([]int, rest.N)
	err := entropic.CTransform(ctx, h, closest, n.problem.Cost, rest, y, g)
	for k, i := range restAt {
		all[i] = h[k]
	}
	return all, err
}
