// Package kantorovich computes W1 through its Kantorovich-Rubinstein dual, from a potential that is 1-Lipschitz by construction.
package kantorovich

import (
	"math"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/vec"
)

// Defaults of a [Dual].
const (
	DefaultGap           = 1e-2
	DefaultMaxIterations = 10_000
)

// Dual is sup E_a h - E_b h over 1-Lipschitz h, which is W1 by the duality of Kantorovich and Rubinstein (Villani 2003, theorem 1.14); for measures of
// mass m it is m·W1 of their normalisations. The value is that of
//
//	h(z) = min_j |z - y_j| - g_j,
//
// which is 1-Lipschitz for every g, so it is a lower bound; the cost of a plan is the upper one. g comes from entropic transport at a temperature that
// falls until the two are within Gap of each other.
//
// Gradients hold g fixed. In the source points that is the gradient of the frozen potential, a_i ∇h(x_i), what a generator descends; in the target points
// the cones of h move with their tips. Those in weights are centred, <weights, gradient> = 0.
type Dual struct {
	Source, Target string   // names of the inputs
	Gap            *float64 // between the bounds, relative to the upper; nil: DefaultGap
	MaxIterations  int      // 0: DefaultMaxIterations
}

// Kind implements [losses.Loss].
func (Dual) Kind() string { return "kantorovich" }

// Uses implements [losses.Loss].
func (d Dual) Uses() []losses.Use {
	return []losses.Use{{Field: "source", Input: d.Source}, {Field: "target", Input: d.Target}}
}

// Extras implements [losses.Loss].
func (Dual) Extras() []string { return []string{"potentials"} }

// Bind implements [losses.Loss].
func (d Dual) Bind(inputs losses.Inputs, seed losses.Seed) (losses.Problem, error) {
	p := &problem{gap: DefaultGap, maxIterations: DefaultMaxIterations}
	if d.Gap != nil {
		p.gap = *d.Gap
	}
	if !(p.gap > 0) || math.IsInf(p.gap, 1) {
		return nil, losses.Badf("gap", "is %v, want a positive number", p.gap)
	}
	if d.MaxIterations < 0 {
		return nil, losses.Badf("max_iterations", "is %d, want a positive number, or 0 for %d", d.MaxIterations, DefaultMaxIterations)
	}
	if d.MaxIterations > 0 {
		p.maxIterations = d.MaxIterations
	}
	a, b, err := inputs.Pair(d.Source, d.Target, seed)
	if err != nil {
		return nil, err
	}
	if err := losses.Balance(a, b); err != nil {
		return nil, err
	}
	p.Problem = entropic.Problem{Cost: vec.Distance, A: a, B: b}
	return p, p.CheckCosts()
}
