package entropic

import (
	"context"
	"math"

	"kantor/losses"
)

// Bounds contain the exact value of a problem, for the numbers as received: both ends hold with the rounding of binary64 accounted for.
//
// Value is the dual objective at the potentials,
//
//	D(f,g) = <a,f> + <b,g> - ε (ΣP - m²),     unbalanced  -ρ<a, e^{-f/ρ}-1> - ρ<b, e^{-g/ρ}-1> - ε (ΣP - m_a m_b),
//
// which is below the optimum for any f and g, and right to second order in the marginal error.
type Bounds struct {
	Value, Lower, Upper float64
	Valid               bool // false: the temperature is too low for binary64 to bound anything, and Lower and Upper mean nothing
}

// unit is half an ulp of 1 in binary64.
const unit = 1.0 / (1 << 53)

// Gamma is the relative error of a chain of k roundings (Higham 2002, lemma 3.1).
func Gamma(k int) float64 { return float64(k) * unit / (1 - float64(k)*unit) }

// Bound evaluates a solution. The error is the context's.
func Bound(ctx context.Context, p Problem, s *Solution) (Bounds, error) {
	bounds, _, err := Measure(ctx, p, s)
	return bounds, err
}

// Measure evaluates potentials, wherever they came from, and their marginal error as in [Solution]. The error is the context's.
func Measure(ctx context.Context, p Problem, s *Solution) (bounds Bounds, marginalError float64, err error) {
	pl, err := newPlan(ctx, p, s)
	if err != nil {
		return Bounds{}, 0, err
	}
	defer pl.costs.release()
	bounds.Value, bounds.Lower = pl.lower()
	bounds.Upper = pl.upperAsItIs()
	if p.balanced() {
		var rounded float64
		rounded, err = pl.upper(ctx, true)
		bounds.Upper = min(bounds.Upper, rounded)
	}
	// First-order terms bound the rounding only while it is small.
	bounds.Valid = pl.eta <= 1./16 && isFinite(bounds.Lower) && isFinite(bounds.Upper)
	return bounds, max(p.missed(p.A, s.F, pl.rows), p.missed(p.B, s.G, pl.columns)), err
}

// missed is the L1 distance of a marginal from what it should be, relative to the mass.
func (p Problem) missed(c *losses.Cloud, f, marginal []float64) float64 {
	total := 0.0
	for i, w := range c.W {
		total += math.Abs(marginal[i] - w*p.target(f[i]))
	}
	return total / c.Mass
}

// Dual is the value alone. ΣP needs no pass: the last measurement left the softmin, and (P1)_i = a_i exp((f_i - softmin_i)/ε).
func Dual(p Problem, s *Solution) Bounds {
	pl := plan{Problem: p}
	mass, value := 0.0, 0.0
	for i, f := range s.F {
		dual, _ := pl.conjugate(f)
		value += p.A.W[i] * dual
		mass += p.A.W[i] * math.Exp((f-s.softF[i])/p.Epsilon)
	}
	for j, g := range s.G {
		dual, _ := pl.conjugate(g)
		value += p.B.W[j] * dual
	}
	return Bounds{Value: value - p.Epsilon*(mass-p.A.Mass*p.B.Mass)}
}

// TransportCost is an upper bound on min <P,C>, without entropy, from the rounded plan of a solution, and one on the costs.
func TransportCost(ctx context.Context, p Problem, s *Solution) (upper, maxCost float64, err error) {
	pl, err := newPlan(ctx, p, s)
	if err != nil {
		return 0, 0, err
	}
	defer pl.costs.release()
	// Nothing is inferred from potentials here, so the plan is the one of the floating-point entries as they are, whose sums are right to gamma.
	pl.eta = 2 * pl.gamma
	upper, err = pl.upper(ctx, false)
	return upper, pl.maxCost, err
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

// lower is the dual objective, and that less a bound on its rounding: a first-order analysis with every intermediate in absolute value, doubled to cover
// the higher orders.
func (p *plan) lower() (value, lower float64) {
	mm := p.A.Mass * p.B.Mass
	value = -p.Epsilon * (p.mass - mm)
	size := p.cost + p.Epsilon*(p.mass+mm)
	for _, c := range []struct{ w, f, marginal []float64 }{{p.A.W, p.f, p.rows}, {p.B.W, p.g, p.columns}} {
		for i, f := range c.f {
			dual, rounding := p.conjugate(f)
			value += c.w[i] * dual
			size += c.w[i]*rounding + c.marginal[i]*math.Abs(f)
		}
	}
	return value, value - 2*p.gamma*size - p.underflow()
}

// conjugate is what a potential adds to the dual objective, per weight, f or -ρ(e^{-f/ρ}-1), and what its rounding is relative to.
func (p *plan) conjugate(f float64) (dual, rounding float64) {
	if p.balanced() {
		return f, math.Abs(f)
	}
	dual = -p.Rho * math.Expm1(-f/p.Rho)
	return dual, math.Abs(dual) + math.Abs(f)*max(1, math.Exp(-f/p.Rho))
}

// underflow is what entries of the plan that vanish below the smallest normal number can be worth.
func (p *plan) underflow() float64 {
	return float64(p.A.N) * float64(p.B.N) * 0x1p-1000 * (1 + p.maxCost + 1024*(p.Epsilon+p.Rho))
}
