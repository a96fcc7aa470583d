// Package exact solves optimal transport between two weighted clouds exactly:
//
//	min_P <P,C>  over P ≥ 0 with P1 = a, Pᵀ1 = b,
//
// up to rounding, which is bounded. On a line it sorts. Elsewhere it is the network simplex over few of the pairs, to which all others are held by their
// reduced costs C_ij - F_i - G_j afterwards: none is below 0 when it ends, so that the plan is optimal by duality (Peyré, Cuturi 2019, proposition 3.3), however
// the few were chosen.
package exact

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/vec"
)

// Problem is transport between clouds of equal dimension and mass (see [losses.Balance]).
type Problem struct {
	Cost  vec.Cost
	Power float64 // positive: the cost is |x-y|^Power with a power of at least 1, in one dimension only; 0: it is Cost
	A, B  *losses.Cloud
}

// Entry is what a plan moves from the source point I to the target point J.
type Entry struct {
	I, J int32
	Mass float64 // positive
}

// Solution is an optimal plan with the potentials that prove it.
type Solution struct {
	Plan  []Entry   // at most N+M-1, by I and then by J
	F, G  []float64 // [N], [M]: F_i + G_j ≤ C_ij up to rounding, with equality where the plan moves mass; points without weight have them too
	Value float64   // <P,C>
	// Lower and Upper contain the exact optimum for the numbers as received, b scaled to the exact mass of a.
	Lower, Upper float64
	Pivots       int    // of the simplex
	Rounds       int    // in which all pairs were priced
	Strategy     string // how it was computed, for people
}

// Solve solves a problem whose costs are finite (see [entropic.Problem.CheckCosts]). It waits for the memory that [Problem.Work] names, so its caller holds none of it.
// The error is the context's.
func Solve(ctx context.Context, p Problem) (*Solution, error) {
	m := newMasses(p.A, p.B)
	if p.A.D == 1 {
		return solveLine(ctx, p, m)
	}
	return solveNetwork(ctx, p, m)
}

// Work is the number of pairs and how many bytes beyond O((N+M)D) are stored while the problem is solved.
func (p Problem) Work() (pairs float64, bytes int64) {
	pairs = float64(p.A.N) * float64(p.B.N)
	if p.A.D == 1 {
		return pairs, 0
	}
	m := newMasses(p.A, p.B)
	return pairs, stored(p.Cost, positive(m.a), positive(m.b))
}

// of is the cost between two points.
func (p Problem) of(x, y []float64) float64 {
	if p.Power > 0 {
		return math.Pow(math.Abs(x[0]-y[0]), p.Power)
	}
	return p.Cost.Of(x, y)
}

// pair is the cost of source point i and target point j.
func (p Problem) pair(i, j int) float64 {
	d := p.A.D
	return p.of(p.A.X[i*d:i*d+d], p.B.X[j*d:j*d+d])
}

// largest is at least every cost: that of the diagonal of the clouds' box.
func (p Problem) largest() float64 {
	lo, hi := p.box()
	return p.of(hi, lo) * (1 + 2*p.costError())
}

// box is the corners of the least box that holds both clouds.
func (p Problem) box() (lo, hi []float64) {
	lo, hi = make([]float64, p.A.D), make([]float64, p.A.D)
	for k := range lo {
		lo[k], hi[k] = math.Inf(1), math.Inf(-1)
	}
	p.A.Box(lo, hi)
	p.B.Box(lo, hi)
	return lo, hi
}

// unit is half an ulp of 1.
const unit = 0x1p-53

// costError bounds the relative error of a computed cost. A power multiplies that of the difference, and is itself right to an ulp or two.
func (p Problem) costError() float64 {
	if p.Power > 0 {
		return (p.Power + 8) * unit
	}
	return entropic.Gamma(p.A.D + 4)
}
