// Package entropic solves entropic optimal transport between two point clouds and bounds its value:
//
//	OT = min_P <P,C> + ε KL(P | a⊗b)   over P ≥ 0 with P1 = a, Pᵀ1 = b,   KL(p|q) = Σ p log(p/q) - p + q
//
// or, unbalanced, with ρ KL(P1|a) + ρ KL(Pᵀ1|b) in place of the constraints (Chizat, Peyré, Schmitzer, Vialard 2018). It works in the variables of the
// dual, potentials f and g with P_ij = a_i b_j exp((f_i + g_j - C_ij)/ε).
package entropic

import (
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// Problem is entropic transport between clouds of equal dimension and, if it is balanced, of equal mass.
type Problem struct {
	Cost    vec.Cost
	Epsilon float64 // in units of Cost, positive
	Rho     float64 // strength of the marginals, in units of Cost; 0: infinite, the problem is balanced
	Nearest float64 // costs below are taken for it in a solve, and have no gradient; 0: none are
	A, B    *losses.Cloud
}

// balanced reports whether the marginals are constraints.
func (p Problem) balanced() bool { return p.Rho == 0 }

// damping is λ = 1/(1+ε/ρ): the update of an unbalanced problem is λ times the softmin (Séjourné, Feydy, Vialard, Trouvé, Peyré 2019, section 3).
func (p Problem) damping(epsilon float64) float64 {
	if p.balanced() {
		return 1
	}
	return 1 / (1 + epsilon/p.Rho)
}

// target is what the marginal at a potential should be, relative to the weight: 1, or e^{-f/ρ}.
func (p Problem) target(f float64) float64 {
	if p.balanced() {
		return 1
	}
	return math.Exp(-f / p.Rho)
}

// side is one of the two clouds together with what a softmin over it needs.
type side struct {
	*losses.Cloud
	logW []float64 // log of the weights, -Inf at 0
}

func newSide(c *losses.Cloud) side {
	s := side{Cloud: c, logW: make([]float64, c.N)}
	for i, w := range c.W {
		s.logW[i] = math.Log(w)
	}
	return s
}

// rowCost is the work of one row against this side, in units of [parallel.TileCost].
func (s side) rowCost() int { return s.N * (s.D + 8) }

// columnBlock is the number of columns of this side between two looks at the context.
func (s side) columnBlock() int { return max(1, min(segmentSize, parallel.TileCost/(s.D+8))) }

// eachBlock calls body for runs of columns of y. Between runs that add up to a tile it asks the gate.
func eachBlock(gate *parallel.Gate, y side, body func(lo, hi int)) bool {
	block, done := y.columnBlock(), 0
	for lo := 0; lo < y.N; lo += block {
		hi := min(y.N, lo+block)
		if done += (hi - lo) * (y.D + 8); done > parallel.TileCost {
			if !gate.Open() {
				return false
			}
			done = 0
		}
		body(lo, hi)
	}
	return true
}

// MeanCost is the mean cost from the points of c to a fixed point.
func MeanCost(cost vec.Cost, c *losses.Cloud, point []float64) float64 {
	total := 0.0
	for i := range c.N {
		total += c.W[i] / c.Mass * cost.Of(c.X[i*c.D:(i+1)*c.D], point)
	}
	return total
}

// Mean is the weighted mean of the points.
func Mean(c *losses.Cloud) []float64 {
	mean := make([]float64, c.D)
	for i := range c.N {
		w := c.W[i] / c.Mass
		for j, v := range c.X[i*c.D : (i+1)*c.D] {
			mean[j] += w * v
		}
	}
	return mean
}

// spread is an upper bound on the costs between the clouds, up to rounding: the cost of the diagonal of their bounding box.
func (p Problem) spread() float64 {
	lo, hi := make([]float64, p.A.D), make([]float64, p.A.D)
	for j := range lo {
		lo[j], hi[j] = math.Inf(1), math.Inf(-1)
	}
	p.A.Box(lo, hi)
	p.B.Box(lo, hi)
	return p.Cost.Of(hi, lo)
}

// resolution is the smallest temperature, as a part of the largest cost, at which binary64 still resolves a plan: exponents are then right to 2^-12.
const resolution = 1.0 / (1 << 40)

// Resolution is the lowest temperature that [Problem.Check] accepts.
func (p Problem) Resolution() float64 { return resolution * p.spread() }

// CheckCosts says whether the costs can be computed. The error is relative to a loss.
func (p Problem) CheckCosts() error {
	if !(p.spread() <= math.MaxFloat64/1e8) {
		return losses.Badf("source", "the points of %q and %q are too far apart: the cost overflows binary64", p.A.Name, p.B.Name)
	}
	return nil
}

// CheckTemperature says whether binary64 resolves the plan. The error is relative to a loss; field is the parameter that set the temperature.
func (p Problem) CheckTemperature(field string) error {
	if lowest := p.Resolution(); p.Epsilon < lowest {
		return losses.Badf(field, "gives a temperature of %.3g, want at least %.3g, 2^-40 of the largest cost: below that binary64 does not resolve the plan",
			p.Epsilon, lowest)
	}
	return nil
}
