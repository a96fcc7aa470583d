package entropic

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses/internal/vec"
)

// plan is P_ij = a_i b_j exp((f_i + g_j - C_ij)/ε) of a solution, in binary64 and from the points as they came, seen through passes over its rows.
type plan struct {
	Problem
	f, g    []float64
	costs   *costs[float64] // after the first pass, where they are stored, their place is taken by the entries b_j exp((f_i + g_j - C_ij)/ε)
	heights []float64       // (g_j/ε + log b_j) log₂e, padded
	entered bool            // that has happened

	rows, columns []float64 // marginals, [N] and [M]
	cost          float64   // <P,C>
	maxCost       float64   // at least
	gamma         float64   // relative error of the longest chain of roundings in a sum over the plan, exponentials apart
	eta           float64   // relative error of such a sum, with room
}

// newPlan takes the first pass. The error is the context's.
func newPlan(ctx context.Context, p Problem, s *Solution) (*plan, error) {
	b := newSide(p.B)
	pl := &plan{Problem: p, f: s.F, g: s.G, heights: heightsFor[float64](p.B.N), rows: make([]float64, p.A.N)}
	setHeights(pl.heights, b, s.G, p.Epsilon)
	largestLog := 0.0
	for _, l := range b.logW {
		if !math.IsInf(l, -1) {
			largestLog = max(largestLog, math.Abs(l))
		}
	}
	// D differences, sums over rows and columns, the exponential and what surrounds it, and the logarithm of a weight in an exponent.
	pl.gamma = Gamma(p.A.D + p.A.N + p.B.N + 64 + 4*int(math.Ceil(largestLog)))
	var err error
	if pl.costs, err = newCosts[float64](ctx, p.Cost, p.A, p.B, nil, fits[float64](p.A.N, p.B.N)); err != nil {
		return nil, err
	}
	cost, maxCost := make([]float64, p.A.N), make([]float64, p.A.N)
	pl.columns, err = pl.costs.grouped(ctx, p.B.N, func(i, lo int, row, entries, columns []float64) {
		maxCost[i] = max(maxCost[i], vec.MaxOf(row)) // padding repeats a point
		pl.entries(entries, i, row, lo)
		a := p.A.W[i]
		if a > 0 {
			pl.rows[i] += a * vec.Sum(entries)
			cost[i] += a * vec.Dot(entries, row)
			vec.AddScaled(columns, a, entries)
		}
		if pl.costs.stored != nil {
			copy(row, entries)
		}
	})
	pl.entered = pl.costs.stored != nil
	pl.cost, pl.maxCost = floats.Sum(cost), floats.Max(maxCost)
	return pl, err
}

// largest is the largest absolute value.
func largest(x []float64) float64 {
	top := 0.0
	for _, v := range x {
		if size := math.Abs(v); size > top {
			top = size
		}
	}
	return top
}

// entries writes b_j exp((f_i + g_j - C_ij)/ε) for a run of columns from lo on.
func (p *plan) entries(dst []float64, i int, costs []float64, lo int) {
	vec.ExpRow(dst, costs, p.heights[lo:lo+len(costs)], math.Log2E/p.Epsilon, p.f[i]/p.Epsilon*math.Log2E)
}

// pass calls body for the entries of every row, in runs of columns from lo on, with column sums that it returns.
func (p *plan) pass(ctx context.Context, body func(i, lo int, entries, columns []float64)) ([]float64, error) {
	return p.costs.grouped(ctx, p.B.N, func(i, lo int, row, scratch, columns []float64) {
		if p.A.W[i] == 0 {
			return
		}
		if !p.entered {
			p.entries(scratch, i, row, lo)
			row = scratch
		}
		body(i, lo, row, columns)
	})
}

// shrink is that of [certificate].
func (p *plan) shrink(ctx context.Context) (shrunk, error) {
	q := shrunk{s: scales(p.A.W, p.rows, p.eta)}
	columns, err := p.pass(ctx, func(i, _ int, entries, columns []float64) { vec.AddScaled(columns, p.A.W[i]*q.s[i], entries) })
	if err != nil {
		return q, err
	}
	q.t = scales(p.B.W, columns, p.eta)
	q.columns = floats.MulTo(columns, columns, q.t)
	padded := append(append([]float64(nil), q.t...), make([]float64, pad(p.B.N)-p.B.N)...)
	q.rows = make([]float64, p.A.N)
	_, err = p.pass(ctx, func(i, lo int, entries, _ []float64) {
		q.rows[i] += p.A.W[i] * q.s[i] * vec.Dot(entries, padded[lo:lo+len(entries)])
	})
	return q, err
}

// StoredCosts is how many bytes of pairs [TransportCost] stores.
func (p Problem) StoredCosts() int64 {
	if !fits[float64](p.A.N, p.B.N) {
		return 0
	}
	return costBytes[float64](p.A.N, p.B.N)
}

// TransportCost is an upper bound on min <P,C>, without entropy, from the plan of potentials, made feasible, and one on the costs. The error is the context's.
func TransportCost(ctx context.Context, p Problem, s *Solution) (upper, maxCost float64, err error) {
	pl, err := newPlan(ctx, p, s)
	if err != nil {
		return 0, 0, err
	}
	defer pl.costs.release()
	// Nothing is inferred from potentials here, so the plan is the one of the floating-point entries as they are, whose sums are right to gamma.
	pl.eta = 2 * pl.gamma
	q, err := pl.shrink(ctx)
	if err != nil {
		return 0, 0, err
	}
	e, e1 := missing(p.A.W, q.rows), missing(p.B.W, q.columns)
	d := max(floats.Sum(e), floats.Sum(e1)) + 2*pl.eta*p.A.Mass
	rest, slack := p.restCost(p.frame(), e, e1, d, pl.eta)
	return pl.shrunkCost() + rest + slack + pl.underflow(), pl.maxCost, nil
}

// shrunkCost is at least <Q,C>: from above by P's, of which it is a part.
func (p *plan) shrunkCost() float64 { return p.cost * (1 + 2*p.eta) }

// underflow is what entries of the plan that vanish below the smallest normal number can be worth.
func (p *plan) underflow() float64 {
	return float64(p.A.N) * float64(p.B.N) * 0x1p-1000 * (1 + p.maxCost + 1024*p.Epsilon)
}
