// Package dependence computes losses of how the axes of codes depend on each other: total correlation by minibatch estimates and by transport, and the
// covariance of an inferred prior.
package dependence

import (
	"math"

	"kantor/losses"
	"kantor/losses/sinkhorn"
)

// Estimator is how total correlation is found.
type Estimator int

const (
	// Stratified is minibatch stratified sampling (Chen et al. 2018, appendix C.2): of a batch of B = M+1 rows from N, the estimate of q(z_i) gives the row's own
	// posterior, which was drawn with z_i, the weight 1/N, one other (N-M)/(NM), the rest 1/M.
	Stratified Estimator = iota
	// Weighted is minibatch weighted sampling (Chen et al. 2018, appendix C.1): the weight 1/(NB) for all.
	Weighted
	// Transported is the Sinkhorn divergence between the codes and the codes with every column permuted by itself, which is 0 in expectation over large
	// batches where, and only where, the axes are independent.
	Transported
)

// TotalCorrelation is α I(x;z) + β TC(z) + γ Σ_d KL(q(z_d) | p(z_d)) with p = N(0, I), estimated from a batch of posteriors and one code of each (Chen, Li,
// Grosse, Duvenaud 2018, equation 4): with q(z) and q(z_d) by [Stratified] or [Weighted] sums over the batch,
//
//	I  = mean of ln q(z_i|x_i) - ln q(z_i)
//	TC = mean of ln q(z_i) - Σ_d ln q(z_id)
//	KL = mean of Σ_d ln q(z_id) - ln p(z_i)
//
// The three telescope to the mean of ln q(z_i|x_i) - ln p(z_i), whatever the estimates. Gradients hold what was drawn fixed: they are those in the codes and in the
// parameters apart, which a caller's reparametrisation joins. Of [Transported] see there; it has neither posterior nor factors.
//
// It is +Inf, with a warning and gradients of 0, where a density overflows binary64.
type TotalCorrelation struct {
	Codes, Posterior string // names of the inputs; Posterior is empty for Transported
	Estimator        Estimator
	DatasetSize      int64 // 0 for Transported

	MutualInformation, Correlation, DimensionWiseKl *float64 // α, β, γ; nil: 1

	// Of Transported.
	Blur      *float64         // ε = blur²; nil: as [sinkhorn.Divergence] has it
	Debias    *sinkhorn.Debias // nil: Self
	Tolerance *float64         // of the marginal error; nil: as [sinkhorn.Divergence] has it
}

// Kind implements [losses.Loss].
func (TotalCorrelation) Kind() string { return "total_correlation" }

// Uses implements [losses.Loss].
func (t TotalCorrelation) Uses() []losses.Use {
	uses := []losses.Use{{Field: "codes", Input: t.Codes}}
	if t.Posterior != "" {
		uses = append(uses, losses.Use{Field: "posterior", Input: t.Posterior})
	}
	return uses
}

// Extras implements [losses.Loss].
func (t TotalCorrelation) Extras() []string {
	if t.Estimator == Transported {
		return nil
	}
	return []string{"mutual_information", "total_correlation", "dimension_wise_kl", "per_dimension"}
}

// Bind implements [losses.Loss].
func (t TotalCorrelation) Bind(inputs losses.Inputs, seed losses.Seed) (losses.Problem, error) {
	codes, err := unweighted(inputs, "codes", t.Codes)
	if err != nil {
		return nil, err
	}
	if t.Estimator == Transported {
		return t.bindTransported(codes, seed)
	}
	if field := t.ofTransport(); field != "" {
		return nil, losses.Badf(field, "is given with a minibatch estimator, want estimator transport with it")
	}
	posterior, err := diagonal(inputs, t.Posterior)
	if err != nil {
		return nil, err
	}
	n, d := posterior.Mean.Shape[0], posterior.Mean.Shape[1]
	if shape := codes.Points.Shape; shape[0] != n || shape[1] != d {
		return nil, losses.Badf("codes", "input %q has shape %v, want [%d,%d], a code of each row of posterior %q", t.Codes, shape, n, d, t.Posterior)
	}
	if n < 2 {
		return nil, losses.Badf("posterior", "input %q has 1 row, want 2 or more: other rows stand for the rest of the dataset", t.Posterior)
	}
	if t.DatasetSize < int64(n) {
		return nil, losses.Badf("dataset_size", "is %d, want at least %d, the rows of the batch", t.DatasetSize, n)
	}
	p := &sampled{TotalCorrelation: t, n: n, d: d,
		codes: codes.Points.Float64s(), mean: posterior.Mean.Float64s(), logVariance: posterior.LogVariance.Float64s()}
	for _, f := range []struct {
		field string
		given *float64
		to    *float64
	}{
		{"mutual_information", t.MutualInformation, &p.alpha},
		{"correlation", t.Correlation, &p.beta},
		{"dimension_wise_kl", t.DimensionWiseKl, &p.gamma},
	} {
		if *f.to = 1; f.given != nil {
			*f.to = *f.given
		}
		if math.IsNaN(*f.to) || math.IsInf(*f.to, 0) {
			return nil, losses.Badf(f.field, "is %v, want a finite number", *f.to)
		}
	}
	p.weigh()
	return p, nil
}

// ofTransport is the first of the fields of Transported that is given; empty: none is.
func (t TotalCorrelation) ofTransport() string {
	switch {
	case t.Blur != nil:
		return "blur"
	case t.Debias != nil:
		return "debias"
	case t.Tolerance != nil:
		return "tolerance"
	}
	return ""
}

// unweighted returns an input that has to be a measure of equal weights.
func unweighted(inputs losses.Inputs, field, name string) (*losses.Measure, error) {
	m, ok := inputs[name].(*losses.Measure)
	if !ok {
		return nil, losses.Badf(field, "input %q is no measure", name)
	}
	if m.Weights != nil {
		return nil, losses.Badf(field, "input %q has weights, want none: every row counts the same", name)
	}
	return m, nil
}

// diagonal returns the posterior, which has to be of independent axes.
func diagonal(inputs losses.Inputs, name string) (*losses.Gaussian, error) {
	g, ok := inputs[name].(*losses.Gaussian)
	if !ok {
		return nil, losses.Badf("posterior", "input %q is no Gaussian", name)
	}
	if g.Covariance != nil {
		return nil, losses.Badf("posterior", "input %q has covariances, want log_variance: this loss is of independent axes", name)
	}
	return g, nil
}
