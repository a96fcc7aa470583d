// Package sinkhorn computes entropic optimal transport and the Sinkhorn divergence, with bounds that contain the exact value, and their gradients.
package sinkhorn

import (
	"math"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/vec"
)

// Debias says which self terms are subtracted.
type Debias int

const (
	// Self subtracts half of each measure against itself (Feydy et al. 2019, eq. 3).
	Self Debias = iota
	// None subtracts nothing: entropic transport itself.
	None
)

// Defaults of a [Divergence].
const (
	DefaultTolerance     = 1e-3
	DefaultMaxIterations = 10_000
)

// Divergence is S = OT(a,b) - ½OT(a,a) - ½OT(b,b), where OT is the least of <P,C> + ε KL(P|a⊗b) over the plans P between a and b, and
// KL(p|q) = Σ p log(p/q) - p + q (Feydy et al. 2019, eq. 1 and 3).
//
// Gradients hold ε fixed, also where it is the default that the data set. Those in weights are centred, <weights, gradient> = 0: the masses have to stay
// equal, so only differences between their entries mean something.
type Divergence struct {
	Source, Target string // names of the inputs
	Cost           losses.Cost
	Blur           *float64 // ε = blur² for the squared costs, blur for the Euclidean one
	Epsilon        *float64 // ε itself; with neither a fifth of the target's mean cost to its mean
	Debias         Debias
	Tolerance      *float64 // L1 marginal error relative to the mass, of each problem; nil: DefaultTolerance
	MaxIterations  int      // of each problem; 0: DefaultMaxIterations
}

// Kind implements [losses.Loss].
func (Divergence) Kind() string { return "sinkhorn" }

// Uses implements [losses.Loss].
func (d Divergence) Uses() []losses.Use {
	return []losses.Use{{Field: "source", Input: d.Source}, {Field: "target", Input: d.Target}}
}

// Extras implements [losses.Loss].
func (Divergence) Extras() []string { return []string{"potentials"} }

// Bind implements [losses.Loss].
func (d Divergence) Bind(inputs losses.Inputs, seed uint64) (losses.Problem, error) {
	options, err := d.options()
	if err != nil {
		return nil, err
	}
	a, b, err := inputs.Pair(d.Source, d.Target, seed)
	if err != nil {
		return nil, err
	}
	if err := losses.Balance(a, b); err != nil {
		return nil, err
	}
	p := &problem{debias: d.Debias == Self, options: options, scale: 1}
	p.cross = entropic.Problem{A: a, B: b}
	switch d.Cost {
	case losses.SquaredEuclidean:
		// Twice the half squared cost at half the temperature: OT(2c, 2ε) = 2 OT(c, ε).
		p.scale = 2
	case losses.Euclidean:
		p.cross.Cost = vec.Distance
	}
	if err := p.cross.CheckCosts(); err != nil {
		return nil, err
	}
	if err := d.temperature(p); err != nil {
		return nil, err
	}
	return p, nil
}

// options checks the parameters that say when to stop.
func (d Divergence) options() (entropic.Options, error) {
	o := entropic.Options{Tolerance: DefaultTolerance, MaxIterations: DefaultMaxIterations}
	if d.Tolerance != nil {
		o.Tolerance = *d.Tolerance
	}
	if !(o.Tolerance > 0) || math.IsInf(o.Tolerance, 1) {
		return o, losses.Badf("tolerance", "is %v, want a positive number", o.Tolerance)
	}
	if d.MaxIterations < 0 {
		return o, losses.Badf("max_iterations", "is %d, want a positive number, or 0 for %d", d.MaxIterations, DefaultMaxIterations)
	}
	if d.MaxIterations > 0 {
		o.MaxIterations = d.MaxIterations
	}
	return o, nil
}

// temperature sets ε, in units of the solver's cost, from what was given or from the data.
func (d Divergence) temperature(p *problem) error {
	field, given := "epsilon", d.Epsilon
	switch {
	case d.Blur != nil && d.Epsilon != nil:
		return losses.Badf("blur", "is given and epsilon too, want one of them")
	case d.Blur != nil:
		field, given = "blur", d.Blur
	case d.Epsilon == nil:
		p.cross.Epsilon = defaultTemperature(p.cross)
		return nil
	}
	epsilon := *given
	if !(epsilon > 0) || math.IsInf(epsilon, 1) {
		return losses.Badf(field, "is %v, want a positive number", epsilon)
	}
	if field == "blur" && d.Cost != losses.Euclidean {
		epsilon *= epsilon
	}
	if math.IsInf(epsilon, 1) {
		return losses.Badf(field, "is %v, whose square overflows", *given)
	}
	p.cross.Epsilon = epsilon / p.scale
	return p.cross.CheckTemperature(field)
}

// defaultTemperature is a fifth of the target's mean cost to its mean. A target of one point has none; then the source's to the target's mean.
func defaultTemperature(p entropic.Problem) float64 {
	center := entropic.Mean(p.B)
	for _, c := range []*losses.Cloud{p.B, p.A} {
		if cost := entropic.MeanCost(p.Cost, c, center); cost > 0 && cost/5 >= p.Resolution() {
			return cost / 5
		}
	}
	return max(1, p.Resolution())
}
