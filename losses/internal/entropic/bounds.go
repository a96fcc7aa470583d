package entropic

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/vec"
)

// Bounds contain the exact value of a problem, for the numbers as received: both ends hold with all rounding accounted for.
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
func Bound(ctx context.Context, s *Solution) (Bounds, error) {
	b, _, err := s.plan.bound(ctx, s.F, s.G)
	return b, err
}

// Measure evaluates potentials, wherever they came from, and their marginal error as in [Solution]; tolerance says how precisely. The solution can be
// differentiated afterwards, and is to be released. The error is the context's.
func Measure(ctx context.Context, p Problem, s *Solution, tolerance float64) (bounds Bounds, marginalError float64, err error) {
	frame := p.frame()
	s.plan = newScaling(p, frame, newKernel(p, frame, tolerance, true))
	copy(s.plan.f, s.F)
	copy(s.plan.g, s.G)
	if err := s.plan.absorb(ctx, p.Epsilon); err != nil {
		return Bounds{}, 0, err
	}
	return s.plan.bound(ctx, s.F, s.G)
}

// Value is the dual objective of a solution alone. The error is the context's.
func Value(ctx context.Context, s *Solution) (Bounds, error) {
	c, err := s.plan.certificate(ctx, s.F, s.G)
	value, _ := c.lower()
	return Bounds{Value: value}, err
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

// certificate is a plan as it was computed: the matrix of P̃_ij = α_i K_ij β_j, a number each, with α = au and β = bv, is one whose marginals are known to
// a relative error, and whose logarithms are (f_i + g_j - C_ij)/ε to an absolute one.
type certificate struct {
	*scaling
	f, g          []float64 // potentials, the scalings included
	alpha, beta   []float64
	rows, columns []float64 // marginals
	mass          float64   // ΣP̃
	sum, log      float64   // these errors
	maxCost       float64   // at least
}

// certificate measures the marginals of the plan, whose potentials are f and g. The error is the context's.
func (s *scaling) certificate(ctx context.Context, f, g []float64) (*certificate, error) {
	c := &certificate{scaling: s, f: f, g: g, alpha: floats.MulTo(make([]float64, s.A.N), s.A.W, s.u), beta: floats.MulTo(make([]float64, s.B.N), s.B.W, s.v)}
	c.log, c.sum = s.kernel.errors()
	ra, rb := largest(s.rx), largest(s.ry)
	c.maxCost = (ra + rb) * (1 + 1e-6)
	if s.Cost == vec.HalfSquared {
		c.maxCost += 2 * math.Sqrt(ra*rb)
	}
	var err error
	c.rows, c.columns, err = s.marginals(ctx, c.alpha, c.beta)
	c.mass = floats.Sum(c.rows)
	return c, err
}

// marginals are those of the matrix left_i K_ij right_j. The error is the context's.
func (s *scaling) marginals(ctx context.Context, left, right []float64) (rows, columns []float64, err error) {
	rows = make([]float64, len(left))
	p := pass{y: right, precise: true, x: func(lo, hi int, sums, x []float64) bool {
		floats.MulTo(rows[lo:hi], left[lo:hi], sums)
		copy(x, left[lo:hi])
		return true
	}}
	if s.kernel.symmetric() {
		_, err = s.kernel.pass(ctx, p)
		return rows, rows, err
	}
	p.columns = make([]float64, len(right))
	_, err = s.kernel.pass(ctx, p)
	return rows, floats.MulTo(p.columns, p.columns, right), err
}

// bound is, of the plan with these potentials, its bounds and what it misses of its marginals. The error is the context's.
func (s *scaling) bound(ctx context.Context, f, g []float64) (bounds Bounds, marginalError float64, err error) {
	c, err := s.certificate(ctx, f, g)
	if err != nil {
		return Bounds{}, 0, err
	}
	bounds.Value, bounds.Lower = c.lower()
	bounds.Upper = c.upperAsItIs()
	if s.balanced() {
		rounded, err := c.upper(ctx)
		if err != nil {
			return Bounds{}, 0, err
		}
		bounds.Upper = min(bounds.Upper, rounded)
	}
	// First-order terms bound the rounding only while it is small.
	bounds.Valid = c.log <= 1./16 && isFinite(bounds.Lower) && isFinite(bounds.Upper)
	return bounds, max(s.missed(s.A, c.f, c.rows), s.missed(s.B, c.g, c.columns)), nil
}

// missed is the L1 distance of a marginal from what it should be, relative to the mass.
func (p Problem) missed(c *losses.Cloud, f, marginal []float64) float64 {
	total := 0.0
	for i, w := range c.W {
		if w > 0 {
			total += math.Abs(marginal[i] - w*p.target(f[i]))
		}
	}
	return total / c.Mass
}

// lower is the dual objective, and that less a bound on its rounding: the exact ΣP is within the errors of the computed one, and of what vanished below the
// smallest normal number; the sums over points are rounded relative to their size.
func (c *certificate) lower() (value, lower float64) {
	mm := c.A.Mass * c.B.Mass
	value = -c.Epsilon * (c.mass - mm)
	size := c.Epsilon * (c.mass + mm)
	for _, s := range []struct{ w, f []float64 }{{c.A.W, c.f}, {c.B.W, c.g}} {
		for i, f := range s.f {
			if s.w[i] == 0 {
				continue
			}
			dual, rounding := c.conjugate(f)
			value += s.w[i] * dual
			size += s.w[i] * rounding
		}
	}
	return value, value - 2*c.Epsilon*(c.log+c.sum)*c.mass - c.vanished() - 2*Gamma(c.A.N+c.B.N+64)*size
}

// vanished is at least what entries that were written as 0 are worth in the dual objective.
func (c *certificate) vanished() float64 {
	return 2 * c.Epsilon * c.kernel.smallest() * floats.Sum(c.alpha) * floats.Sum(c.beta)
}

// conjugate is what a potential adds to the dual objective, per weight, f or -ρ(e^{-f/ρ}-1), and what its rounding is relative to.
func (p Problem) conjugate(f float64) (dual, rounding float64) {
	if p.balanced() {
		return f, math.Abs(f)
	}
	dual = -p.Rho * math.Expm1(-f/p.Rho)
	return dual, math.Abs(dual) + math.Abs(f)*max(1, math.Exp(-f/p.Rho))
}
