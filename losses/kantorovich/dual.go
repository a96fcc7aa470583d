// Package kantorovich computes exact optimal transport ([Transport]), and W1 through its Kantorovich-Rubinstein dual, from a potential that is 1-Lipschitz by
// construction ([Dual]).
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

// Method says how a [Dual] finds its potential.
type Method int

const (
	// Auto is Exact where that takes no longer at the default gap, Entropic otherwise. The numbers of points alone decide, so that the answer to a problem does
	// not depend on anything else.
	Auto Method = iota
	// Exact takes the potentials of exact transport. They meet any gap, and nothing that it does is counted in iterations that MaxIterations could limit.
	Exact
	// Entropic takes those of entropic transport at a falling temperature, until the bounds are within the gap.
	Entropic
)

// Dual is sup E_a h - E_b h over 1-Lipschitz h, which is W1 by the duality of Kantorovich and Rubinstein (Villani 2003, theorem 1.14); for measures of
// mass m it is m·W1 of their normalisations. The value is that of
//
//	h(z) = min_j |z - y_j| - g_j,
//
// which is 1-Lipschitz for every g, so it is a lower bound; the cost of a plan is the upper one. g are potentials of the target: those of exact transport make
// h optimal, those of entropic transport are followed to a temperature where the two bounds are within Gap of each other.
//
// Gradients of the entropic method hold g fixed. In the source points that is the gradient of the frozen potential, a_i ∇h(x_i), what a generator descends; in
// the target points the cones of h move with their tips. Those of the exact method are
//
//	∂/∂x_i = Σ_j P_ij (x_i - y_j)/|x_i - y_j|,     ∂/∂y_j = Σ_i P_ij (y_j - x_i)/|x_i - y_j|,
//
// with 0 where points coincide, of the optimal plan P (envelope theorem), and not of the cone that is least at x_i: cones without mass tie with those that carry
// it. Where the optimal plan is not unique W1 has no gradient, and that is one of its subgradients. Those in weights are centred, <weights, gradient> = 0.
//
// With fresh samples h is fitted to source and target, and evaluated on the fresh ones: h does not depend on them, so the expectation of the value over them
// is not above W1 of the populations they are from, while W1 of source and target is above it in the mean. Gradients are then in the fresh samples, with h
// held fixed.
type Dual struct {
	Source, Target string   // names of the inputs
	Gap            *float64 // between the bounds, relative to the upper; nil: DefaultGap
	MaxIterations  int      // of the entropic method; 0: DefaultMaxIterations
	Method         Method
	// FreshSource and FreshTarget name samples that are independent of source and target, on which h is evaluated; empty, both of them: those themselves.
	FreshSource, FreshTarget string
	At                       string // name of the measure of the extras critic and critic_gradient; empty: there are none
}

// Kind implements [losses.Loss].
func (Dual) Kind() string { return "kantorovich" }

// Uses implements [losses.Loss].
func (d Dual) Uses() []losses.Use {
	return named(losses.Use{Field: "source", Input: d.Source}, losses.Use{Field: "target", Input: d.Target},
		losses.Use{Field: "fresh_source", Input: d.FreshSource}, losses.Use{Field: "fresh_target", Input: d.FreshTarget}, losses.Use{Field: "at", Input: d.At})
}

// named are the uses that name an input.
func named(uses ...losses.Use) []losses.Use {
	var out []losses.Use
	for _, use := range uses {
		if use.Input != "" {
			out = append(out, use)
		}
	}
	return out
}

// Extras implements [losses.Loss].
func (d Dual) Extras() []string {
	if d.At == "" {
		return []string{"potentials"}
	}
	return []string{"potentials", "critic", "critic_gradient"}
}

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
	if err := p.CheckCosts(); err != nil {
		return nil, err
	}
	p.exact = d.Method == Exact || d.Method == Auto && exactIsAsFast(a, b)
	if err := d.bindFresh(p, inputs, seed); err != nil {
		return nil, err
	}
	if d.At != "" {
		if p.at, err = inputs.Cloud("at", d.At); err != nil {
			return nil, err
		}
		return p, p.reaches("at", p.at)
	}
	return p, nil
}

// mostExactPairs is the most pairs of points, in more than one dimension, that [Auto] solves exactly. At 8192 points on each side two processors take three times
// as long for the entropic method at the default gap in 8 dimensions, and six times in 2. Its time grows with the number of pairs, and shrinks with processors;
// that of the simplex grows faster and hardly does.
const mostExactPairs = 1 << 26

// exactIsAsFast reports whether exact transport takes no longer than entropic transport to the default gap. On a line it sorts.
func exactIsAsFast(a, b *losses.Cloud) bool { return a.D == 1 || a.N <= mostExactPairs/b.N }

// bindFresh takes the samples that h is evaluated on.
func (d Dual) bindFresh(p *problem, inputs losses.Inputs, seed losses.Seed) (err error) {
	switch {
	case d.FreshSource == "" && d.FreshTarget == "":
		return nil
	case d.FreshSource == "":
		return losses.Badf("fresh_source", "is not given but fresh_target is, want both or neither")
	case d.FreshTarget == "":
		return losses.Badf("fresh_target", "is not given but fresh_source is, want both or neither")
	}
	for _, fresh := range []losses.Use{{Field: "fresh_source", Input: d.FreshSource}, {Field: "fresh_target", Input: d.FreshTarget}} {
		if fresh.Input == d.Source || fresh.Input == d.Target {
			return losses.Badf(fresh.Field, "input %q is what h is fitted to too, want samples that are independent of it", fresh.Input)
		}
	}
	// A prior takes its size and mass from the other side.
	if _, sampled := inputs[d.FreshSource].(*losses.Prior); sampled {
		if p.freshB, err = inputs.Like("fresh_target", d.FreshTarget, p.B, seed); err == nil {
			p.freshA, err = inputs.Like("fresh_source", d.FreshSource, p.freshB, seed)
		}
	} else if p.freshA, err = inputs.Like("fresh_source", d.FreshSource, p.A, seed); err == nil {
		p.freshB, err = inputs.Like("fresh_target", d.FreshTarget, p.freshA, seed)
	}
	if err != nil {
		return err
	}
	if err := losses.Balance(p.freshA, p.freshB); err != nil {
		return losses.Badf("fresh_target", "%s", err.(*losses.InputError).Reason)
	}
	if err := p.reaches("fresh_source", p.freshA); err != nil {
		return err
	}
	return p.reaches("fresh_target", p.freshB)
}

// reaches reports whether h can be computed at the points of a cloud. The error is about the field that names it.
func (p *problem) reaches(field string, c *losses.Cloud) error {
	if c.D != p.B.D {
		return losses.Badf(field, "input %q has dimension %d, want %d, that of target %q", c.Name, c.D, p.B.D, p.B.Name)
	}
	if err := (entropic.Problem{Cost: p.Cost, A: c, B: p.B}).CheckCosts(); err != nil {
		return losses.Badf(field, "%s", err.(*losses.InputError).Reason)
	}
	return nil
}
