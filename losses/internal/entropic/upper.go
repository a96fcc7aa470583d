package entropic

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses/internal/vec"
)

// upper is the primal objective, with or without its entropy, of a feasible plan: Q, the plan shrunk below its marginals, plus E = e e'ᵀ/d, where e and e'
// are what Q misses of a and b and d is the sum of either.
//
// The entropy of that mixture needs no pass over pairs, because the objective F is convex: with θ = 1 - d/m,
//
//	F(Q+E) ≤ θ F(Q/θ) + (1-θ) F(E/(1-θ))
//	θ F(Q/θ) = <q, f + ε log s> + <q', g + ε log t> - ε ΣQ log θ - ε ΣQ + εθm²            (the costs cancel)
//	(1-θ) F(E/(1-θ)) = <E,C> + ε(Σ e log(e/a) + Σ e' log(e'/b) + d log(m/d²) - d) + ε(1-θ)m²
//
// and -ΣQ log θ ≤ d.
//
// Rounding: the plan is the one of exact arithmetic at these potentials and scales, of which every computed sum is right to η. So a q is off by ηq and an
// e by at most 2ηa; what depends on e by e log e changes by at most 2ηa(1 + |log 2η|), the modulus of that function.
func (p *plan) upper(ctx context.Context, entropy bool) (float64, error) {
	q, err := p.shrink(ctx)
	if err != nil {
		return 0, err
	}
	m, eta := p.A.Mass, p.eta
	e, e1 := missing(p.A.W, q.rows), missing(p.B.W, q.columns)
	d := max(floats.Sum(e), floats.Sum(e1)) + 2*eta*m
	rest, restSlack := p.restCost(e, e1, d)
	if !entropy {
		return p.shrunkCost(q) + rest + restSlack + p.underflow(), nil
	}
	value, size := rest, 0.0
	for _, c := range []struct{ w, f, scale, q, e []float64 }{{p.A.W, p.f, q.s, q.rows, e}, {p.B.W, p.g, q.t, q.columns, e1}} {
		for i, w := range c.w {
			dual := c.f[i] + p.Epsilon*math.Log(c.scale[i])
			value += c.q[i] * dual
			size += c.q[i] * (math.Abs(c.f[i]) + p.Epsilon*math.Abs(math.Log(c.scale[i])))
			if c.e[i] > 0 {
				value += p.Epsilon * c.e[i] * math.Log(c.e[i]/w)
			}
		}
	}
	value += p.Epsilon * (d + d*math.Log(m/(d*d)) - m + m*m)
	logs := 2 + math.Abs(math.Log(2*eta)) + math.Abs(math.Log(m/(d*d)))
	slack := 2*eta*size + restSlack + 16*eta*p.Epsilon*(m*logs+m*m)
	return value + slack + p.underflow(), nil
}

// shrunkCost is at least <Q,C>: from above by P's, of which it is a part.
func (p *plan) shrunkCost(q shrunk) float64 { return p.cost * (1 + 2*p.eta) }

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
func (p *plan) restCost(e, e1 []float64, d float64) (cost, slack float64) {
	center := Mean(p.B)
	rx, ry := radii(p.Problem, p.A, center), radii(p.Problem, p.B, center)
	cost = floats.Dot(e, rx) + floats.Dot(e1, ry)
	slack = 4 * p.eta * p.A.Mass * (floats.Max(rx) + floats.Max(ry))
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
	return cost - floats.Dot(inX, inY)/d, slack + 32*p.eta*p.A.Mass*math.Sqrt(floats.Max(rx)*floats.Max(ry))
}

// upperAsItIs is the primal objective of P itself, where the costs cancel again. Unbalanced that is feasible, at the price of its marginals. Balanced it is
// not: what P misses of them, τ in L1, costs at most τ(1.5 max C + ½ε|log m|), because the optimum is convex in the marginals and the potentials vary by no
// more than the costs do. That is much for an iteration that was stopped early, and less than the rounded plan's own rounding for one that was not.
func (p *plan) upperAsItIs() float64 {
	mm := p.A.Mass * p.B.Mass
	value, size := -p.Epsilon*(p.mass-mm), p.Epsilon*(p.mass+mm)
	for _, c := range []struct{ w, f, marginal []float64 }{{p.A.W, p.f, p.rows}, {p.B.W, p.g, p.columns}} {
		for i, w := range c.w {
			value += c.marginal[i] * c.f[i]
			size += c.marginal[i] * math.Abs(c.f[i])
			price, relative := p.marginalPrice(w, c.marginal[i])
			value += price
			size += relative
		}
	}
	return value + 2*p.eta*size + p.underflow()
}

// marginalPrice is what a point's marginal adds to the objective of a plan, and what its error is relative to.
func (p *plan) marginalPrice(w, marginal float64) (price, size float64) {
	if p.balanced() {
		rate := 1.5*p.maxCost + 0.5*p.Epsilon*math.Abs(math.Log(p.A.Mass))
		return math.Abs(w-marginal) * rate, (w + marginal) * rate
	}
	price, size = p.Rho*(w-marginal), p.Rho*(w+marginal)
	if marginal > 0 {
		l := math.Log(marginal / w)
		price += p.Rho * marginal * l
		size += p.Rho * marginal * (math.Abs(l) + 1)
	}
	return price, size
}
