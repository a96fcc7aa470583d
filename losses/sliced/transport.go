// Package sliced computes transport along directions: of projections onto lines, where optimal transport is sorting.
package sliced

import (
	"kantor/losses"
)

// Defaults of a [Transport].
const (
	DefaultP             = 2
	DefaultDirections    = 128
	DefaultMaxIterations = 100
)

// Aggregate says what is made of the directions.
type Aggregate int

const (
	// Mean is the mean over them (Rabin, Peyré, Delon, Bernot 2012).
	Mean Aggregate = iota
	// Max is the most that an ascent from the best of them finds (Deshpande et al. 2019): a lower bound of the most over all directions.
	Max
)

// Transport is W_p^p of the projections of two measures of equal mass onto unit vectors θ, in the cost |x-y|^p:
//
//	W_p^p(θ·X, θ·Y) = Σ π_ij |θ·x_i - θ·y_j|^p,
//
// π the plan that pairs the sorted projections (Villani 2003, section 2.2). For measures of mass m it is m times that of their normalisations.
//
// Gradients in points are those of the plans held fixed, which by the envelope theorem are those of the value wherever no two projections coincide; with
// [Max] the direction is held fixed as well. Gradients in weights are the potentials of the lines, centred; where the mass up to a point of the source is
// the mass up to one of the target the potentials are not unique, and the mean of the two extreme ones is taken, so that a measure against itself has none.
//
// Where squares overflow binary64 the value is +Inf, with a warning. With [Max] the warning NOT_CONVERGED says that the ascent was still going on.
type Transport struct {
	Source, Target string // names of the inputs
	P              *float64
	Directions     int // 0: DefaultDirections
	Aggregate      Aggregate
	MaxIterations  int // most steps of the ascent; 0: DefaultMaxIterations
}

// Kind implements [losses.Loss].
func (Transport) Kind() string { return "sliced" }

// Uses implements [losses.Loss].
func (t Transport) Uses() []losses.Use {
	return []losses.Use{{Field: "source", Input: t.Source}, {Field: "target", Input: t.Target}}
}

// Extras implements [losses.Loss]. The directions are [L,D], or [1,D], the one that the ascent found.
func (Transport) Extras() []string { return []string{"directions"} }

// Bind implements [losses.Loss].
func (t Transport) Bind(inputs losses.Inputs, seed losses.Seed) (losses.Problem, error) {
	p := &problem{p: DefaultP, count: t.Directions, aggregate: t.Aggregate, maxIterations: t.MaxIterations, seed: seed}
	if t.P != nil {
		p.p = int(*t.P)
	}
	switch {
	case t.P != nil && *t.P != 1 && *t.P != 2:
		return nil, losses.Badf("p", "is %v, want 1 or 2", *t.P)
	case p.count < 0:
		return nil, losses.Badf("directions", "is %d, want a positive number, or 0 for %d", p.count, DefaultDirections)
	case p.maxIterations < 0:
		return nil, losses.Badf("max_iterations", "is %d, want a positive number, or 0 for %d", p.maxIterations, DefaultMaxIterations)
	}
	if p.count == 0 {
		p.count = DefaultDirections
	}
	if p.maxIterations == 0 {
		p.maxIterations = DefaultMaxIterations
	}
	a, b, err := inputs.Pair(t.Source, t.Target, seed)
	if err != nil {
		return nil, err
	}
	if p.count > losses.MaxElements/a.D {
		return nil, losses.Badf("directions", "is %d of dimension %d, want at most %d numbers", p.count, a.D, losses.MaxElements)
	}
	if err := losses.Balance(a, b); err != nil {
		return nil, err
	}
	p.a, p.b = a, b
	return p, nil
}
