// Package kl computes Kullback-Leibler divergences in closed form.
package kl

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// Gaussian is KL(posterior, prior) of Gaussians with diagonal covariance: the sum over dimensions, the mean over rows, which is the convention of the
// evidence lower bound (Kingma and Welling 2014, appendix B).
//
//	KL(N(μ,e^v), N(m,e^w)) = ½ Σ_d [ (μ-m)² e^{-w} + e^{v-w} - (v-w) - 1 ]
//
// It is +Inf, with a warning, where a variance or a squared distance overflows binary64.
type Gaussian struct {
	Posterior string // name of a Gaussian input
	Prior     string // name of a Gaussian input with as many rows or one; empty: N(0, I)
}

// Kind implements [losses.Loss].
func (Gaussian) Kind() string { return "kl" }

// Uses implements [losses.Loss].
func (g Gaussian) Uses() []losses.Use {
	uses := []losses.Use{{Field: "posterior", Input: g.Posterior}}
	if g.Prior != "" {
		uses = append(uses, losses.Use{Field: "prior", Input: g.Prior})
	}
	return uses
}

// Extras implements [losses.Loss].
func (Gaussian) Extras() []string { return []string{"per_dimension"} }

// Bind implements [losses.Loss].
func (g Gaussian) Bind(inputs losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	posterior, ok := inputs[g.Posterior].(*losses.Gaussian)
	if !ok {
		return nil, losses.Badf("posterior", "input %q is no Gaussian", g.Posterior)
	}
	if posterior.Covariance != nil {
		return nil, losses.Badf("posterior", "input %q has covariances, want log_variance: this divergence is of independent axes", g.Posterior)
	}
	p := &gaussianProblem{Gaussian: g, n: posterior.Mean.Shape[0], d: posterior.Mean.Shape[1]}
	p.mean, p.logVariance = posterior.Mean.Float64s(), posterior.LogVariance.Float64s()
	if g.Prior == "" {
		p.priorMean, p.priorLogVariance = make([]float64, p.d), make([]float64, p.d)
		p.priorRows = 1
		return p, nil
	}
	prior, ok := inputs[g.Prior].(*losses.Gaussian)
	if !ok {
		return nil, losses.Badf("prior", "input %q is no Gaussian", g.Prior)
	}
	if prior.Covariance != nil {
		return nil, losses.Badf("prior", "input %q has covariances, want log_variance: this divergence is of independent axes", g.Prior)
	}
	if rows, d := prior.Mean.Shape[0], prior.Mean.Shape[1]; d != p.d || rows != 1 && rows != p.n {
		return nil, losses.Badf("prior", "input %q has shape %v, want [%d,%d] or [1,%d]", g.Prior, prior.Mean.Shape, p.n, p.d, p.d)
	}
	p.priorMean, p.priorLogVariance = prior.Mean.Float64s(), prior.LogVariance.Float64s()
	p.priorRows = prior.Mean.Shape[0]
	return p, nil
}

type gaussianProblem struct {
	Gaussian
	n, d                        int
	mean, logVariance           []float64 // [n,d]
	priorRows                   int       // n, or 1 for a prior that all rows share
	priorMean, priorLogVariance []float64 // [priorRows,d]
}

// Work implements [losses.Problem].
func (p *gaussianProblem) Work() losses.Work {
	return losses.Work{Pairs: float64(p.n * p.d), Iterations: 1, Bytes: int64(8 * (p.n + p.priorRows + 1) * p.d)}
}

// Solve implements [losses.Problem].
func (p *gaussianProblem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	growth := make([]float64, p.n*p.d)
	precision := make([]float64, len(p.priorLogVariance))
	perDimension := make([]float64, p.d)
	gradients := map[losses.Ref][]float64{}
	err := parallel.Do(ctx, func(gate *parallel.Gate) {
		if p.perDimension(gate, precision, growth, perDimension) {
			p.addGradients(gate, want, precision, growth, gradients)
		}
	})
	if err != nil {
		return losses.TermResult{}, err
	}
	value := floats.Sum(perDimension)
	result := losses.TermResult{Outcomes: []losses.Outcome{{Value: value}}, Gradients: gradients}
	if math.IsInf(value, 1) {
		result.Warnings = []losses.Warning{{Code: losses.InfiniteValue,
			Message: "the divergence overflows binary64: a variance or the distance of the means is out of proportion to the prior's variance"}}
	}
	if want.Extras["per_dimension"] {
		extra := losses.NewArray(perDimension, p.d)
		result.Extras = map[string]losses.Extra{"per_dimension": &extra}
	}
	return result, nil
}

// elementCost is the work of an element, in units of [parallel.TileCost].
const elementCost = 32

// rows calls body for every row, and asks the gate between tiles. It reports whether it came to the end.
func (p *gaussianProblem) rows(gate *parallel.Gate, body func(i int)) bool {
	done := 0
	for i := range p.n {
		if done += p.d * elementCost; done > parallel.TileCost {
			if !gate.Open() {
				return false
			}
			done = 0
		}
		body(i)
	}
	return true
}

// perDimension adds the mean over rows to out, [d], unless the gate closes. It leaves the ratios of the variances, less 1, in growth, [n,d], and one over
// the prior's in precision, [priorRows,d].
func (p *gaussianProblem) perDimension(gate *parallel.Gate, precision, growth, out []float64) bool {
	return p.rows(gate, func(i int) {
		q := p.priorRow(i)
		if i == 0 || p.priorRows > 1 {
			for j := range p.d {
				precision[q+j] = math.Exp(-p.priorLogVariance[q+j])
			}
		}
		for j := range p.d {
			delta, gap := p.mean[i*p.d+j]-p.priorMean[q+j], p.logVariance[i*p.d+j]-p.priorLogVariance[q+j]
			quadratic := 0.0 // where the means agree, also at a prior variance that underflows: not 0·Inf
			if delta != 0 {
				quadratic = delta * delta * precision[q+j]
			}
			var beyond float64
			growth[i*p.d+j], beyond = expm(gap)
			out[j] += 0.5 * (quadratic + beyond) / float64(p.n)
		}
	})
}

// expm is e^x - 1 and e^x - 1 - x. Near 0 the terms of the second cancel, so there it is the series ½x²(1 + x/3(1 + x/4(…))), whose 12 factors reach
// binary64 for |x| < ½; and the first is x more, which saves an exponential.
func expm(x float64) (less1, less2 float64) {
	if math.Abs(x) >= 0.5 {
		less1 = math.Expm1(x)
		return less1, less1 - x
	}
	sum := 1.0
	for k := len(reciprocals) - 1; k >= 0; k-- {
		sum = 1 + sum*x*reciprocals[k]
	}
	less2 = 0.5 * x * x * sum
	return x + less2, less2
}

// reciprocals are those of 3 to 14: a product takes a fifth of a quotient's time.
var reciprocals = [...]float64{1. / 3, 1. / 4, 1. / 5, 1. / 6, 1. / 7, 1. / 8, 1. / 9, 1. / 10, 1. / 11, 1. / 12, 1. / 13, 1. / 14}

// priorRow is where the prior of row i starts.
func (p *gaussianProblem) priorRow(i int) int {
	if p.priorRows == 1 {
		return 0
	}
	return i * p.d
}

// addGradients adds what is wanted. An input that is both posterior and prior gets the sum.
func (p *gaussianProblem) addGradients(gate *parallel.Gate, want losses.Want, precision, growth []float64, into map[losses.Ref][]float64) {
	slot := func(input, field string, n int) []float64 {
		ref := losses.Ref{Input: input, Field: field}
		if !want.Gradients[ref] {
			return nil
		}
		if into[ref] == nil {
			into[ref] = make([]float64, n)
		}
		return into[ref]
	}
	gMean, gLogVariance := slot(p.Posterior, "mean", p.n*p.d), slot(p.Posterior, "log_variance", p.n*p.d)
	gPriorMean, gPriorLogVariance := slot(p.Prior, "mean", p.priorRows*p.d), slot(p.Prior, "log_variance", p.priorRows*p.d)
	scale := 1 / float64(p.n)
	p.rows(gate, func(i int) {
		q := p.priorRow(i)
		for j := range p.d {
			k := i*p.d + j
			delta := p.mean[k] - p.priorMean[q+j]
			pull := 0.0 // (μ-m)/variance; as in perDimension, never 0·Inf
			if delta != 0 {
				pull = delta * precision[q+j]
			}
			addAt(gMean, k, scale*pull)
			addAt(gLogVariance, k, scale*0.5*growth[k])
			addAt(gPriorMean, q+j, -scale*pull)
			addAt(gPriorLogVariance, q+j, -scale*0.5*(delta*pull+growth[k]))
		}
	})
}

// addAt adds v to dst[i]; a nil dst is a gradient that nobody wants.
func addAt(dst []float64, i int, v float64) {
	if dst != nil {
		dst[i] += v
	}
}
