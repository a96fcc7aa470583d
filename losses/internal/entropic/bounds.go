package entropic

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// Bounds contain the exact value of a problem, for the numbers as received: both ends hold with the rounding of binary64 accounted for.
//
// Value is the dual objective at the potentials,
//
//	D(f,g) = <a,f> + <b,g> - ε (ΣP - m²),
//
// which is below the optimum for any f and g, and right to second order in the marginal error.
type Bounds struct {
	Value, Lower, Upper float64
	Valid               bool // false: the temperature is too low for binary64 to bound anything, and Lower and Upper mean nothing
}

// plan is P_ij = a_i b_j exp((f_i + g_j - C_ij)/ε) of a solution, seen through passes over its rows.
type plan struct {
	Problem
	b    side // B, or B with other weights
	f, g []float64
}

// planSums are sums over the whole plan.
type planSums struct {
	rows, columns []float64 // marginals
	mass, cost    float64   // ΣP, <P,C>
	maxCost       float64
}

// unit is half an ulp of 1 in binary64.
const unit = 1.0 / (1 << 53)

// gamma is the relative error of the longest chain of roundings in a bound: a cost of D differences, the exponential, and sums over rows and columns.
func (p plan) gamma() float64 { return Gamma(p.A.D + p.A.N + p.B.N + 64) }

// Gamma is the relative error of a chain of k roundings (Higham 2002, lemma 3.1).
func Gamma(k int) float64 { return float64(k) * unit / (1 - float64(k)*unit) }

// Bound evaluates a solution. The error is the context's.
func Bound(ctx context.Context, p Problem, s *Solution) (Bounds, error) {
	pl := plan{Problem: p, b: side{Cloud: p.B}, f: s.F, g: s.G}
	sums, err := pl.sums(ctx)
	if err != nil {
		return Bounds{}, err
	}
	bounds := pl.lower(sums)
	upper, err := pl.upper(ctx, sums)
	if err != nil {
		return Bounds{}, err
	}
	bounds.Upper = upper
	bounds.Valid = pl.resolves(sums) && isFinite(bounds.Lower) && isFinite(bounds.Upper)
	return bounds, nil
}

// NoInterval says why a term has none.
var NoInterval = losses.Warning{Code: losses.IntervalUnavailable,
	Message: "the temperature is too low, next to the costs, for rounding in binary64 to be bounded"}

// Widen returns the interval from lower to upper, less and more by the rounding of the few operations, on numbers no larger than size, that combined
// them, and by as much as it takes to hold the value.
func Widen(lower, upper, size, value float64) *losses.Interval {
	slack := 16 * unit * (math.Abs(lower) + math.Abs(upper) + math.Abs(size))
	return &losses.Interval{Lower: min(lower-slack, value), Upper: max(upper+slack, value)}
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// resolves reports whether exponents are exact enough for the first-order terms of the bounds to hold.
func (p plan) resolves(sums planSums) bool {
	return p.gamma()*(largest(p.f)+largest(p.g)+sums.maxCost)/p.Epsilon <= 0.5
}

func largest(x []float64) float64 { return floats.Norm(x, math.Inf(1)) }

// sums takes a pass over the plan.
func (p plan) sums(ctx context.Context) (planSums, error) {
	rows := make([]vec.RowSums, p.A.N)
	columns, err := p.pass(ctx, func(i int, row vec.Row, lo int, columns []float64) {
		s := row.Plan(columns, 1)
		rows[i].Mass += s.Mass
		rows[i].Cost += s.Cost
		rows[i].MaxCost = max(rows[i].MaxCost, s.MaxCost)
	})
	out := planSums{rows: make([]float64, p.A.N), columns: columns}
	for i, s := range rows {
		out.rows[i] = s.Mass
		out.mass += s.Mass
		out.cost += s.Cost
		out.maxCost = max(out.maxCost, s.MaxCost)
	}
	return out, err
}

// pass calls body for every row, in runs of columns that start at lo, and returns the column sums that it adds up. Groups of rows run at once, each with
// column sums of its own, which are added in the order of the groups.
func (p plan) pass(ctx context.Context, body func(i int, row vec.Row, lo int, columns []float64)) ([]float64, error) {
	partial := make([][]float64, parallel.GroupCount(p.A.N))
	err := parallel.Groups(ctx, p.A.N, func(group, from, to int, gate *parallel.Gate) {
		columns := make([]float64, p.B.N)
		partial[group] = columns
		done := 0
		for i := from; i < to; i++ {
			if done += p.b.rowCost(); done > parallel.TileCost {
				if !gate.Open() {
					return
				}
				done = 0
			}
			d := p.A.D
			row := vec.Row{Cost: p.Cost, Epsilon: p.Epsilon, X: p.A.X[i*d : (i+1)*d], A: p.A.W[i], F: p.f[i]}
			ok := eachBlock(gate, p.b, func(lo, hi int) {
				row.Y, row.B, row.G = p.b.X[lo*d:hi*d], p.b.W[lo:hi], p.g[lo:hi]
				body(i, row, lo, columns[lo:hi])
			})
			if !ok {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	total := make([]float64, p.B.N)
	for _, columns := range partial {
		floats.Add(total, columns)
	}
	return total, nil
}

// TransportCost is an upper bound on min <P,C>, without entropy, from the rounded plan of a solution.
func TransportCost(ctx context.Context, p Problem, s *Solution) (upper, maxCost float64, err error) {
	pl := plan{Problem: p, b: side{Cloud: p.B}, f: s.F, g: s.G}
	sums, err := pl.sums(ctx)
	if err != nil {
		return 0, 0, err
	}
	r, err := pl.round(ctx, sums)
	if err != nil {
		return 0, 0, err
	}
	gamma := pl.gamma()
	return r.cost*(1+2*gamma) + (r.missing+2*gamma*p.A.Mass)*1.5*sums.maxCost + pl.underflow(sums), sums.maxCost, nil
}

// lower is the dual objective less a bound on its rounding: a first-order analysis with every intermediate in absolute value, doubled to cover the
// higher orders.
func (p plan) lower(s planSums) Bounds {
	m2 := p.A.Mass * p.B.Mass
	value := floats.Dot(p.A.W, p.f) + floats.Dot(p.B.W, p.g) - p.Epsilon*(s.mass-m2)
	size := s.cost + p.Epsilon*(s.mass+m2)
	for i, f := range p.f {
		size += (p.A.W[i] + s.rows[i]) * math.Abs(f)
	}
	for j, g := range p.g {
		size += (p.B.W[j] + s.columns[j]) * math.Abs(g)
	}
	return Bounds{Value: value, Lower: value - 2*p.gamma()*size - p.underflow(s)}
}

// underflow is what entries of the plan that vanish below the smallest normal number can be worth.
func (p plan) underflow(s planSums) float64 {
	const smallest = 0x1p-1022
	return float64(p.A.N) * float64(p.B.N) * smallest * (1 + s.maxCost + 1024*p.Epsilon)
}

// upper is the primal objective of a feasible plan: P rounded to the marginals (Altschuler, Weed, Rigollet 2017, algorithm 2). The rounded plan is taken
// as the floating-point matrix G that it is. What G still misses of the marginals, τ in L1, costs at most τ(1.5 max C + ½ε|ln m|), because the optimum is
// convex in the marginals and the potentials vary by no more than the costs do.
func (p plan) upper(ctx context.Context, s planSums) (float64, error) {
	r, err := p.round(ctx, s)
	if err != nil {
		return 0, err
	}
	m := p.A.Mass
	gamma := p.gamma()
	primal := r.cost + p.Epsilon*(r.entropy-r.mass+m*m)
	rounding := 2 * gamma * (r.cost + p.Epsilon*(r.size+m*m))
	missing := (r.missing + 2*gamma*m) * (1.5*s.maxCost + 0.5*p.Epsilon*math.Abs(math.Log(m)))
	return primal + rounding + missing + p.underflow(s), nil
}

// rounded are sums over a plan that has (nearly) the right marginals.
type rounded struct {
	mass, cost, entropy, size float64 // as in [vec.RoundedSums]
	missing                   float64 // L1 distance of the marginals, rows and columns together
}

// round scales down the rows and then the columns that are too heavy, and fills what is missing with a product measure.
func (p plan) round(ctx context.Context, s planSums) (rounded, error) {
	rowScale := shrink(p.A.W, s.rows)
	columns, err := p.pass(ctx, func(i int, row vec.Row, _ int, columns []float64) { row.Plan(columns, rowScale[i]) })
	if err != nil {
		return rounded{}, err
	}
	columnScale := shrink(p.B.W, columns)
	scaled := p
	scaled.b.Cloud = &losses.Cloud{N: p.B.N, D: p.B.D, X: p.B.X, W: floats.MulTo(make([]float64, p.B.N), p.B.W, columnScale)}
	rows := make([]float64, p.A.N)
	columns, err = scaled.pass(ctx, func(i int, row vec.Row, _ int, columns []float64) { rows[i] += row.Plan(columns, rowScale[i]).Mass })
	if err != nil {
		return rounded{}, err
	}
	rowRest, columnRest := rest(p.A.W, rows), rest(p.B.W, columns)
	if total := floats.Sum(rowRest); total > 0 {
		floats.Scale(1/total, columnRest)
	}
	return p.roundedSums(ctx, rowScale, columnScale, rowRest, columnRest)
}

// roundedSums takes a pass over G_ij = rowScale_i columnScale_j P_ij + rowRest_i columnRest_j.
func (p plan) roundedSums(ctx context.Context, rowScale, columnScale, rowRest, columnRest []float64) (rounded, error) {
	rows := make([]vec.RoundedSums, p.A.N)
	columns, err := p.pass(ctx, func(i int, row vec.Row, lo int, columns []float64) {
		hi := lo + len(row.B)
		g := row.Rounded(columns, rowScale[i], columnScale[lo:hi], rowRest[i], columnRest[lo:hi])
		rows[i].Mass += g.Mass
		rows[i].Cost += g.Cost
		rows[i].Entropy += g.Entropy
		rows[i].Size += g.Size
	})
	if err != nil {
		return rounded{}, err
	}
	var out rounded
	for i, g := range rows {
		out.mass += g.Mass
		out.cost += g.Cost
		out.entropy += g.Entropy
		out.size += g.Size
		out.missing += math.Abs(p.A.W[i] - g.Mass)
	}
	for j, c := range columns {
		out.missing += math.Abs(p.B.W[j] - c)
	}
	return out, nil
}

// shrink is min(1, want/have), 1 where nothing is there to scale.
func shrink(want, have []float64) []float64 {
	scale := make([]float64, len(want))
	for i, w := range want {
		scale[i] = 1
		if have[i] > w {
			scale[i] = w / have[i]
		}
	}
	return scale
}

// rest is what is missing, never negative.
func rest(want, have []float64) []float64 {
	out := make([]float64, len(want))
	for i, w := range want {
		out[i] = max(0, w-have[i])
	}
	return out
}
