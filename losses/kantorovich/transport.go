package kantorovich

import (
	"math"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/exact"
	"kantor/losses/internal/split"
	"kantor/losses/internal/vec"
)

// Transport is exact optimal transport,
//
//	min <P,C> over the plans P ≥ 0 with P1 = a and Pᵀ1 = b,
//
// which is W_p^p for the cost |x-y|^p and masses of 1 (Peyré, Cuturi 2019, proposition 2.2), half of W2² for the default cost. Potentials that no pair
// contradicts certify it, so that its interval is as wide as rounding.
//
// Gradients are those of the optimal plan, Σ_j P_ij ∇₁c(x_i,y_j) and Σ_i P_ij ∇₂c(x_i,y_j), with 0 where points coincide, and of its potentials, centred, in
// weights (envelope theorem). Where the optimum is not unique the value has no gradient there, and they are of the one that was found.
//
// With Split it is an estimate between the distributions that source and target are samples of: see [split].
type Transport struct {
	Source, Target string // names of the inputs
	Cost           losses.Cost
	P              *float64 // in place of Cost, |x-y|^P: 1 or 2, in one dimension any number from 1
	Split          bool
	// With Split, the names of second batches, independent of source and target, in the place of halves; empty: source and target are halved.
	SecondSource, SecondTarget string
	Time                       *float64 // of the extra interpolation, 0 to 1; nil: DefaultTime
}

// DefaultTime is half-way.
const DefaultTime = 0.5

// Kind implements [losses.Loss].
func (Transport) Kind() string { return "transport" }

// Uses implements [losses.Loss].
func (t Transport) Uses() []losses.Use {
	uses := []losses.Use{{Field: "source", Input: t.Source}, {Field: "target", Input: t.Target}}
	return append(uses, split.Uses(t.SecondSource, t.SecondTarget)...)
}

// Extras implements [losses.Loss]. Of six problems there is no one plan.
func (t Transport) Extras() []string {
	if t.Split {
		return nil
	}
	return []string{"potentials", "plan", "map", "interpolation"}
}

// Bind implements [losses.Loss].
func (t Transport) Bind(inputs losses.Inputs, seed losses.Seed) (losses.Problem, error) {
	time := DefaultTime
	if t.Time != nil {
		time = *t.Time
	}
	if !(time >= 0 && time <= 1) {
		return nil, losses.Badf("time", "is %v, want 0 to 1", time)
	}
	a, b, err := inputs.Pair(t.Source, t.Target, seed)
	if err != nil {
		return nil, err
	}
	ground, err := t.ground(a.D)
	if err != nil {
		return nil, err
	}
	if t.Split {
		return t.bindSplit(ground, inputs, a, b, seed)
	}
	if uses := split.Uses(t.SecondSource, t.SecondTarget); len(uses) > 0 {
		return nil, losses.Badf(uses[0].Field, "is given without debias split, which alone has one")
	}
	if err := losses.Balance(a, b); err != nil {
		return nil, err
	}
	return &plain{ground: ground, a: a, b: b, time: time}, ground.check("source", a, b)
}

func (t Transport) bindSplit(ground ground, inputs losses.Inputs, a, b *losses.Cloud, seed losses.Seed) (losses.Problem, error) {
	halves, err := split.Of(inputs, a, b, t.SecondSource, t.SecondTarget, seed)
	if err != nil {
		return nil, err
	}
	for _, pair := range split.Pairs {
		if err := ground.check("source", halves[pair.A].Cloud, halves[pair.B].Cloud); err != nil {
			return nil, err
		}
	}
	return &divided{ground: ground, halves: halves}, nil
}

// ground is a ground cost: scale times what the solver takes.
type ground struct {
	cost  vec.Cost
	power float64 // positive: |x-y|^power on a line
	scale float64
}

// ground is the cost in dimension d.
func (t Transport) ground(d int) (ground, error) {
	switch {
	case t.P == nil && t.Cost == losses.Euclidean, t.P != nil && *t.P == 1:
		return ground{cost: vec.Distance, scale: 1}, nil
	case t.P == nil && t.Cost == losses.HalfSquaredEuclidean:
		return ground{cost: vec.HalfSquared, scale: 1}, nil
	case t.P == nil, *t.P == 2:
		return ground{cost: vec.HalfSquared, scale: 2}, nil
	case !(*t.P >= 1) || math.IsInf(*t.P, 1):
		return ground{}, losses.Badf("p", "is %v, want a number from 1", *t.P)
	case d != 1:
		return ground{}, losses.Badf("p", "is %v, want 1 or 2 in dimension %d; other powers are for points on a line", *t.P, d)
	}
	return ground{power: *t.P, scale: 1}, nil
}

// check reports costs that overflow. The error is about a field of the loss.
func (g ground) check(field string, a, b *losses.Cloud) error {
	if g.power == 0 {
		if err := (entropic.Problem{Cost: g.cost, A: a, B: b}).CheckCosts(); err != nil {
			return losses.Badf(field, "%s", err.(*losses.InputError).Reason)
		}
		return nil
	}
	lo, hi := []float64{math.Inf(1)}, []float64{math.Inf(-1)}
	a.Box(lo, hi)
	b.Box(lo, hi)
	if !(g.power*math.Pow(hi[0]-lo[0], g.power) <= math.MaxFloat64/1e8) {
		return losses.Badf("p", "is %v, with which the cost of the points of %q and %q, that are up to %.3g apart, overflows binary64", g.power, a.Name, b.Name,
			hi[0]-lo[0])
	}
	return nil
}

// between is transport between two clouds in the solver's cost.
func (g ground) between(a, b *losses.Cloud) exact.Problem {
	return exact.Problem{Cost: g.cost, Power: g.power, A: a, B: b}
}

// of is the solver's cost between two points.
func (g ground) of(x, y []float64) float64 {
	if g.power > 0 {
		return math.Pow(math.Abs(x[0]-y[0]), g.power)
	}
	return g.cost.Of(x, y)
}

// addGradient adds w times the gradient of the cost in x, in the caller's units.
func (g ground) addGradient(dst []float64, w float64, x, y []float64) {
	if g.power > 0 {
		difference := x[0] - y[0]
		// Here the power is above 1, so that where the points coincide this is 0.
		dst[0] += w * g.power * math.Copysign(math.Pow(math.Abs(difference), g.power-1), difference)
		return
	}
	g.cost.AddGradient(dst, g.scale*w, x, y)
}
