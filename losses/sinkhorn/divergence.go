// Package sinkhorn computes entropic optimal transport and the Sinkhorn divergence, with bounds that contain the exact value, and their gradients.
package sinkhorn

import (
	"math"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/split"
	"kantor/losses/internal/vec"
)

// Debias says which self terms are subtracted.
type Debias int

const (
	// Self subtracts half of each measure against itself (Feydy et al. 2019, eq. 3).
	Self Debias = iota
	// None subtracts nothing: entropic transport itself.
	None
	// Split cuts each measure into two halves at random, or takes a second batch of each, and subtracts half of each measure's one half against the other;
	// the cross term is the mean over the four pairs of halves. In expectation over batches that is stationary where the distributions agree, which Self is
	// not: of small batches in many dimensions it is least where the source is too narrow.
	Split
)

// Profile is how a divergence is computed.
type Profile int

const (
	// Accurate iterates until the measured marginal error is within the tolerance.
	Accurate Profile = iota
	// GeomLoss takes the fixed schedule of GeomLoss's SamplesLoss, step for step, and gives its numbers. It measures the marginal error at the end, and
	// says that it did not converge where that is above the tolerance.
	GeomLoss
)

// Defaults of a [Divergence].
const (
	DefaultTolerance     = 3e-4
	DefaultMaxIterations = 10_000
)

// Divergence is S = OT(a,b) - ½OT(a,a) - ½OT(b,b), where OT is the least of <P,C> + ε KL(P|a⊗b) over the plans P between a and b, and
// KL(p|q) = Σ p log(p/q) - p + q (Feydy et al. 2019, eq. 1 and 3).
//
// With Reach or Rho it is unbalanced: P may be any plan, at a price of ρ KL(P1|a) + ρ KL(Pᵀ1|b), so mass that is far from everything is left where it is,
// masses need not be equal, and S has the further summand ½ε(m_a-m_b)² (Séjourné et al. 2019, definition 5).
//
// Of [Split] it is U = ¼ Σ_kl OT(X_k,Y_l) - ½ OT(X₁,X₂) - ½ OT(Y₁,Y₂) with halves of the measures' masses (half the minibatch energy distance of Salimans
// et al. 2018), an estimate that may be slightly negative. What makes it one is that all six problems are alike: source and target have as many points as
// each other, an even number, equal weights and, unbalanced too, equal masses, or they are refused. They have to be independent: rows in pairs are not.
//
// Gradients hold ε and ρ fixed, also where ε is the default that the data set. Balanced, those in weights are centred, <weights, gradient> = 0: the masses
// have to stay equal, so only differences between their entries mean something. Those of Split in weights hold the mass of each half fixed.
type Divergence struct {
	Source, Target string // names of the inputs
	Cost           losses.Cost
	Blur           *float64 // ε = blur² for the squared costs, blur for the Euclidean one
	Epsilon        *float64 // ε itself; with neither a fifth of the target's mean cost to its mean
	Reach          *float64 // ρ = reach² for the squared costs, reach for the Euclidean one: how far mass is carried rather than left
	Rho            *float64 // ρ itself; with neither the problem is balanced
	Debias         Debias
	Profile        Profile
	Scaling        *float64 // of the GeomLoss profile; nil: DefaultScaling
	Diameter       *float64 // that the GeomLoss profile begins at; nil: that of the bounding box
	Tolerance      *float64 // L1 marginal error relative to the mass, of each problem; nil: DefaultTolerance
	Gap            *float64 // width of the interval relative to the value, in place of Tolerance
	MaxIterations  int      // of each problem; 0: DefaultMaxIterations
	// SecondSource and SecondTarget name batches of as many points that take the place of a half each, with [Split]; empty: halves are cut.
	SecondSource, SecondTarget string
	// WithoutInterval leaves the interval out, and the time that it takes.
	WithoutInterval bool
}

// Kind implements [losses.Loss].
func (Divergence) Kind() string { return "sinkhorn" }

// Uses implements [losses.Loss].
func (d Divergence) Uses() []losses.Use {
	uses := []losses.Use{{Field: "source", Input: d.Source}, {Field: "target", Input: d.Target}}
	return append(uses, split.Uses(d.SecondSource, d.SecondTarget)...)
}

// Extras implements [losses.Loss].
func (Divergence) Extras() []string { return []string{"potentials"} }

// Bind implements [losses.Loss].
func (d Divergence) Bind(inputs losses.Inputs, seed losses.Seed) (losses.Problem, error) {
	options, err := d.options()
	if err != nil {
		return nil, err
	}
	a, b, err := inputs.Pair(d.Source, d.Target, seed)
	if err != nil {
		return nil, err
	}
	p := &problem{debias: d.Debias, options: options, scale: 1, withoutInterval: d.WithoutInterval}
	if d.Gap != nil {
		p.gap = *d.Gap
		p.options.Tolerance = lastTolerance // what it may come to
	}
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
	if err := d.marginals(p); err != nil {
		return nil, err
	}
	if err := d.batches(p, inputs, seed); err != nil {
		return nil, err
	}
	return p, d.profile(p)
}

// batches sets what transport is between.
func (d Divergence) batches(p *problem, inputs losses.Inputs, seed losses.Seed) error {
	a, b := p.cross.A, p.cross.B
	if d.Debias != Split {
		for _, use := range split.Uses(d.SecondSource, d.SecondTarget) {
			return losses.Badf(use.Field, "is given without debias split, which alone takes one")
		}
		p.batches, p.pairs = []split.Half{{Cloud: a}, {Cloud: b}}, without
		if d.Debias == Self {
			p.pairs = each
		}
		if p.cross.Rho > 0 {
			return nil
		}
		return losses.Balance(a, b)
	}
	halves, err := split.Of(inputs, a, b, d.SecondSource, d.SecondTarget, seed)
	if err != nil {
		return err
	}
	p.batches, p.pairs = halves[:], split.Pairs[:]
	if d.SecondSource == "" {
		return nil
	}
	for _, s := range p.problems() { // second batches may be far away
		if err := s.CheckCosts(); err != nil {
			return err
		}
		if !p.givenTemperature {
			p.cross.Epsilon = max(p.cross.Epsilon, s.Resolution())
		} else if err := s.CheckTemperature("second_source"); err != nil {
			return err
		}
	}
	return nil
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
	switch {
	case d.Gap == nil:
	case d.Tolerance != nil:
		return o, losses.Badf("gap", "is given and tolerance too, want one of them")
	case !(*d.Gap > 0) || math.IsInf(*d.Gap, 1):
		return o, losses.Badf("gap", "is %v, want a positive number", *d.Gap)
	case d.WithoutInterval:
		return o, losses.Badf("gap", "is given without an interval for it to be of")
	case d.Profile == GeomLoss:
		return o, losses.Badf("gap", "is given with the profile geomloss, whose schedule is fixed")
	}
	if d.MaxIterations < 0 {
		return o, losses.Badf("max_iterations", "is %d, want a positive number, or 0 for %d", d.MaxIterations, DefaultMaxIterations)
	}
	if d.MaxIterations > 0 {
		o.MaxIterations = d.MaxIterations
	}
	return o, nil
}

// profile sets what the GeomLoss profile takes.
func (d Divergence) profile(p *problem) error {
	if d.Profile != GeomLoss {
		if d.Scaling != nil {
			return losses.Badf("scaling", "is given without the profile geomloss, which alone has one")
		}
		if d.Diameter != nil {
			return losses.Badf("diameter", "is given without the profile geomloss, which alone has one")
		}
		return nil
	}
	if d.Debias == Split {
		return losses.Badf("debias", "is split with the profile geomloss, want self or none: SamplesLoss has no other")
	}
	p.geomLoss, p.scaling = true, DefaultScaling
	if d.Scaling != nil {
		p.scaling = *d.Scaling
	}
	if !(p.scaling > 0 && p.scaling < 1) {
		return losses.Badf("scaling", "is %v, want a number between 0 and 1", p.scaling)
	}
	if d.Diameter != nil {
		if p.diameter = *d.Diameter; !(p.diameter >= leastDiameter && p.diameter <= 1/leastDiameter) {
			return losses.Badf("diameter", "is %v, want a number between %v and %v", p.diameter, leastDiameter, 1/leastDiameter)
		}
	}
	p.blur = p.cross.Epsilon
	switch d.Cost {
	case losses.Euclidean:
		p.cross.Nearest = nearestDistance
	case losses.SquaredEuclidean:
		return losses.Badf("cost", "is squared_euclidean, want half_squared_euclidean or euclidean: SamplesLoss has no other")
	case losses.HalfSquaredEuclidean:
		p.blur = math.Sqrt(p.cross.Epsilon)
		if d.Blur != nil {
			p.blur = *d.Blur
		}
	}
	return nil
}

// temperature sets ε, in units of the solver's cost, from what was given or from the data.
func (d Divergence) temperature(p *problem) error {
	if d.Blur == nil && d.Epsilon == nil {
		if d.Profile != GeomLoss {
			p.cross.Epsilon = defaultTemperature(p.cross)
			return nil
		}
		blur := defaultBlur
		d.Blur = &blur
	}
	epsilon, field, err := d.inCost("blur", d.Blur, "epsilon", d.Epsilon)
	if err != nil {
		return err
	}
	p.cross.Epsilon, p.givenTemperature = epsilon/p.scale, true
	return p.cross.CheckTemperature(field)
}

// marginals sets ρ likewise; 0 is balanced.
func (d Divergence) marginals(p *problem) error {
	if d.Reach == nil && d.Rho == nil {
		return nil
	}
	rho, field, err := d.inCost("reach", d.Reach, "rho", d.Rho)
	if err != nil {
		return err
	}
	p.cross.Rho = rho / p.scale
	// Below this the damping 1/(1+ε/ρ) is nothing but rounding, above it 1.
	const span = 1 << 40
	if e := p.cross.Epsilon; p.cross.Rho < e/span || p.cross.Rho > e*span {
		return losses.Badf(field, "gives a ρ of %.3g, want 2^-40 to 2^40 times the temperature, %.3g; leave it out for balanced transport", rho, e*p.scale)
	}
	return nil
}

// inCost returns a parameter that is given as a length or in units of the cost, in the latter, and the name of the one that was.
func (d Divergence) inCost(lengthName string, length *float64, name string, given *float64) (value float64, field string, err error) {
	switch {
	case length != nil && given != nil:
		return 0, lengthName, losses.Badf(lengthName, "is given and %s too, want one of them", name)
	case given != nil:
		value, field = *given, name
	default:
		value, field = *length, lengthName
	}
	if !(value > 0) || math.IsInf(value, 1) {
		return 0, field, losses.Badf(field, "is %v, want a positive number", value)
	}
	if length != nil && d.Cost != losses.Euclidean {
		value *= value
	}
	if math.IsInf(value, 1) {
		return 0, field, losses.Badf(field, "is %v, whose square overflows", *length)
	}
	return value, field, nil
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
