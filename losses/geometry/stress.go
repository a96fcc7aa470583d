// Package geometry compares distances in one space with distances in another.
package geometry

import (
	"math"

	"kantor/losses"
)

// Form is what of the distances is compared.
type Form int

const (
	// Metric compares the distances, up to one factor.
	Metric Form = iota
	// Rank compares their order: with the increasing function of the data's distances that fits the codes' best.
	Rank
)

// Distance is one between rows.
type Distance int

const (
	// Euclidean is |x-y|.
	Euclidean Distance = iota
	// Manhattan is Σ|x_j - y_j|: of cumulative distributions over equal bins, W1 in bins.
	Manhattan
)

// MaxRankRows is the most rows of [Rank], which stores a number for each pair.
const MaxRankRows = 4096

// Stress is Σ (d - d̂)² / Σ d² over the pairs of rows, with d the distance between codes: the square of Kruskal's stress-1 (Kruskal 1964, section 3), from 0, the
// codes keep the distances, to 1. The fitted d̂ is sδ for Metric, with δ the distance between data and the s that fits best; for Rank the best fit that is not
// smaller where δ is larger, equal δ being free (his primary approach to ties). Both are the same in any unit of codes or data.
//
// With Scale, d̂ = Scale·δ and the sum is over Σ d̂² instead: it says that the distances are those, not only in proportion, and is +Inf, with a warning and gradients
// of 0, where all data are one point and the codes are not.
//
// Codes that are Gaussians with independent axes have the distance W2, the Euclidean one of means and standard deviations together.
//
// Gradients are those with d̂ held fixed, which by the envelope theorem are the value's own. Where rows of codes coincide, or of data, neither pulls the other; where
// all codes do, there is nothing to compare: the value is 1 and the gradient 0. For Rank the gradient in the data is 0, since their order is locally constant.
type Stress struct {
	Codes, Data                string // names of the inputs
	Form                       Form
	CodeDistance, DataDistance Distance
	Scale                      *float64 // of Metric; nil: the one that fits best
}

// Kind implements [losses.Loss].
func (Stress) Kind() string { return "stress" }

// Uses implements [losses.Loss].
func (s Stress) Uses() []losses.Use {
	return []losses.Use{{Field: "codes", Input: s.Codes}, {Field: "data", Input: s.Data}}
}

// Extras implements [losses.Loss].
func (s Stress) Extras() []string {
	if s.Form == Rank {
		return []string{"correlation"}
	}
	return []string{"correlation", "scale"}
}

// Bind implements [losses.Loss].
func (s Stress) Bind(inputs losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	p := &problem{Stress: s}
	var err error
	if p.codes, err = s.bindCodes(inputs); err != nil {
		return nil, err
	}
	if p.data, err = points(inputs, "data", s.Data, s.DataDistance); err != nil {
		return nil, err
	}
	n := p.codes.n
	switch {
	case n < 2:
		return nil, losses.Badf("codes", "input %q has 1 row, want 2 or more: one has no distances", s.Codes)
	case p.data.n != n:
		return nil, losses.Badf("data", "input %q has %d rows, want %d, one of each code of %q", s.Data, p.data.n, n, s.Codes)
	case s.Form == Rank && n > MaxRankRows:
		return nil, losses.Badf("codes", "input %q is too large: %d rows, want at most %d for ranks, which need every pair's", s.Codes, n, MaxRankRows)
	case s.Form == Rank && s.Scale != nil:
		return nil, losses.Badf("scale", "is given with ranks, which have none")
	case s.Scale != nil && !(*s.Scale > 0 && *s.Scale <= math.MaxFloat64):
		return nil, losses.Badf("scale", "is %v, want a positive number", *s.Scale)
	}
	return p, nil
}

// bindCodes returns the codes, of Gaussians the points whose Euclidean distance is W2.
func (s Stress) bindCodes(inputs losses.Inputs) (*rows, error) {
	g, ok := inputs[s.Codes].(*losses.Gaussian)
	if !ok {
		return points(inputs, "codes", s.Codes, s.CodeDistance)
	}
	if g.Covariance != nil {
		return nil, losses.Badf("codes", "input %q has covariances, want log_variance: this distance is of independent axes", s.Codes)
	}
	if s.CodeDistance != Euclidean {
		return nil, losses.Badf("code_metric", "is manhattan, but codes %q are Gaussians, whose distance is W2", s.Codes)
	}
	n, d := g.Mean.Shape[0], g.Mean.Shape[1]
	out := &rows{name: s.Codes, n: n, d: 2 * d, x: make([]float64, 2*n*d), deviations: make([]float64, n*d)}
	for at := range out.deviations {
		deviation := math.Exp(g.LogVariance.At(at) / 2)
		if math.IsInf(deviation, 1) {
			return nil, losses.Badf("codes", "input %q has a standard deviation that overflows binary64 in row %d", s.Codes, at/d)
		}
		out.deviations[at] = deviation
		out.x[at/d*2*d+at%d], out.x[at/d*2*d+d+at%d] = g.Mean.At(at), deviation
	}
	return out.scaled(), nil
}

// points returns the rows of a measure.
func points(inputs losses.Inputs, field, name string, distance Distance) (*rows, error) {
	m, ok := inputs[name].(*losses.Measure)
	if !ok {
		return nil, losses.Badf(field, "input %q is no measure", name)
	}
	if m.Weights != nil {
		return nil, losses.Badf(field, "input %q has weights, want none: every pair counts the same", name)
	}
	out := &rows{name: name, n: m.Points.Shape[0], d: m.Points.Shape[1], distance: distance, x: m.Points.Float64s()}
	return out.scaled(), nil
}
