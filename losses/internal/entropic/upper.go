package entropic

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses/internal/vec"
)

// upper is the primal objective of a feasible plan: Q, the plan shrunk below its marginals, plus E = e e'ᵀ/d, where e and e' are what Q misses of a and b and d
// is the sum of either.
//
// The entropy of that mixture needs no pass over pairs, because the objective F is convex: with θ = 1 - d/m,
//
//	F(Q+E) ≤ θ F(Q/θ) + (1-θ) F(E/(1-θ))
//	θ F(Q/θ) = <q, f + ε log s> + <q', g + ε log t> - ε ΣQ log θ - ε ΣQ + εθm²            (the costs cancel)
//	(1-θ) F(E/(1-θ)) = <E,C> + ε(Σ e log(e/a) + Σ e' log(e'/b) + d log(m/d²) - d) + ε(1-θ)m²
//
// and -ΣQ log θ ≤ d.
//
// Rounding: Q is the matrix of computed entries, so its logarithms are off by c.log, which ΣQ multiplies, and its marginals by c.sum. So a q is off by that much
// of q and an e by at most 2 c.sum a; what depends on e by e log e changes by at most η(1 + |log η|) of a for η = 2 c.sum, the modulus of that function.
func (c *certificate) upper(ctx context.Context) (float64, error) {
	q, err := c.shrink(ctx)
	if err != nil {
		return 0, err
	}
	m, eta := c.A.Mass, c.sum
	e, e1 := missing(c.A.W, q.rows), missing(c.B.W, q.columns)
	d := max(floats.Sum(e), floats.Sum(e1)) + 2*eta*m
	rest, restSlack := c.restCost(c.frame, e, e1, d, eta)
	value, size := rest, 0.0
	for _, s := range []struct{ w, f, scale, q, e []float64 }{{c.A.W, c.f, q.s, q.rows, e}, {c.B.W, c.g, q.t, q.columns, e1}} {
		for i, w := range s.w {
			if w == 0 {
				continue
			}
			log := math.Log(s.scale[i])
			value += s.q[i] * (s.f[i] + c.Epsilon*log)
			size += s.q[i] * (math.Abs(s.f[i]) + c.Epsilon*math.Abs(log))
			if s.e[i] > 0 {
				value += c.Epsilon * s.e[i] * math.Log(s.e[i]/w)
			}
		}
	}
	value += c.Epsilon * (d + d*math.Log(m/(d*d)) - m + m*m)
	logs := 2 + math.Abs(math.Log(2*eta)) + math.Abs(math.Log(m/(d*d)))
	return value + 2*eta*size + restSlack + 2*c.Epsilon*c.log*m + 16*eta*c.Epsilon*(m*logs+m*m) + c.tiny(), nil
}

// tiny is more than sums lose to numbers below the normal ones of binary64.
func (c *certificate) tiny() float64 {
	return float64(c.A.N+c.B.N) * 0x1p-900 * (1 + c.maxCost + 1024*(c.Epsilon+c.Rho))
}

// shrunk is Q = diag(s) P diag(t), the plan with the rows and then the columns that are too heavy scaled down (Altschuler, Weed, Rigollet 2017, algorithm
// 2), by a little more than that, so that its exact marginals, whatever rounding does to the computed ones, are below a and b.
type shrunk struct {
	s, t          []float64 // scales, [N] and [M], positive and at most 1
	rows, columns []float64 // marginals
}

// shrink scales the plan down. The error is the context's.
func (c *certificate) shrink(ctx context.Context) (q shrunk, err error) {
	n, m := c.A.N, c.B.N
	times := func(a, b []float64) []float64 { return floats.MulTo(make([]float64, len(a)), a, b) }
	if c.kernel.symmetric() {
		// Both at once keep the symmetry, and what it saves: Σ_j s_i P_ij s_j ≤ s_i Σ_j P_ij.
		q.s = scales(c.A.W, c.rows, c.sum)
		q.t = q.s
		scaled := times(c.alpha, q.s)
		q.rows, _, err = c.marginals(ctx, scaled, scaled)
		q.columns = q.rows
		return q, err
	}
	q.s = scales(c.A.W, c.rows, c.sum)
	left := times(c.alpha, q.s)
	columns := make([]float64, m)
	_, err = c.kernel.pass(ctx, pass{precise: true, columns: columns, x: func(lo, hi int, _, x []float64) bool {
		copy(x, left[lo:hi])
		return true
	}})
	if err != nil {
		return q, err
	}
	floats.Mul(columns, c.beta)
	q.t = scales(c.B.W, columns, c.sum)
	q.columns = times(columns, q.t)
	q.rows = make([]float64, n)
	_, err = c.kernel.pass(ctx, pass{precise: true, y: times(c.beta, q.t), x: func(lo, hi int, sums, _ []float64) bool {
		floats.MulTo(q.rows[lo:hi], left[lo:hi], sums)
		return true
	}})
	return q, err
}

// scales is min(1, want/have) less four relative errors of have.
func scales(want, have []float64, relativeError float64) []float64 {
	scale := make([]float64, len(want))
	for i, w := range want {
		scale[i] = 1 - 4*relativeError
		if have[i] > w && w > 0 {
			scale[i] *= w / have[i]
		}
	}
	return scale
}

// missing is what q lacks of w, never negative.
func missing(w, q []float64) []float64 {
	e := make([]float64, len(w))
	for i, v := range w {
		e[i] = max(0, v-q[i])
	}
	return e
}

// restCost is <E,C>, in O((N+M)D), and a bound on its error. For squared distances it comes from moments around a center, for others from the triangle
// inequality through it.
func (p Problem) restCost(frame *frame, e, e1 []float64, d, eta float64) (cost, slack float64) {
	center, rx, ry := frame.center, frame.rx, frame.ry
	cost = floats.Dot(e, rx) + floats.Dot(e1, ry)
	slack = 4 * eta * p.A.Mass * (floats.Max(rx) + floats.Max(ry))
	if p.Cost != vec.HalfSquared {
		return cost, slack
	}
	// ½|x-y|² = ½|x-c|² + ½|y-c|² - <x-c,y-c>, and the radii are the first two.
	dim := p.A.D
	inX, inY := make([]float64, dim), make([]float64, dim)
	for k := range dim {
		for i, v := range e {
			inX[k] += v * (p.A.X[i*dim+k] - center[k])
		}
		for j, v := range e1 {
			inY[k] += v * (p.B.X[j*dim+k] - center[k])
		}
	}
	// |<X,Y>|/d ≤ |X| max|y-c|, and X is off by at most 2ηm max|x-c|.
	return cost - floats.Dot(inX, inY)/d, slack + 32*eta*p.A.Mass*math.Sqrt(floats.Max(rx)*floats.Max(ry))
}

// upperAsItIs is the primal objective of P itself, where the costs cancel again. Unbalanced that is feasible, at the price of its marginals. Balanced it is
// not: what P misses of them, τ in L1, costs at most τ(1.5 max C + ½ε|log m|), because the optimum is convex in the marginals and the potentials vary by no
// more than the costs do. That is much for an iteration that was stopped early, and less than the rounded plan's own rounding for one that was not.
func (c *certificate) upperAsItIs() float64 {
	mm := c.A.Mass * c.B.Mass
	value, size := -c.Epsilon*(c.mass-mm), c.Epsilon*(c.mass+mm)
	for _, s := range []struct{ w, f, marginal []float64 }{{c.A.W, c.f, c.rows}, {c.B.W, c.g, c.columns}} {
		for i, w := range s.w {
			if w == 0 {
				continue
			}
			value += s.marginal[i] * s.f[i]
			size += s.marginal[i] * math.Abs(s.f[i])
			price, relative := c.marginalPrice(w, s.marginal[i])
			value += price
			size += relative
		}
	}
	return value + 2*c.sum*size + 2*c.Epsilon*c.log*c.mass + c.tiny()
}

// marginalPrice is what a point's marginal adds to the objective of a plan, and what its error is relative to.
func (c *certificate) marginalPrice(w, marginal float64) (price, size float64) {
	if c.balanced() {
		rate := 1.5*c.maxCost + 0.5*c.Epsilon*math.Abs(math.Log(c.A.Mass))
		return math.Abs(w-marginal) * rate, (w + marginal) * rate
	}
	price, size = c.Rho*(w-marginal), c.Rho*(w+marginal)
	if marginal > 0 {
		l := math.Log(marginal / w)
		price += c.Rho * marginal * l
		size += c.Rho * marginal * (math.Abs(l) + 1)
	}
	return price, size
}
