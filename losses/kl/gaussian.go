// Package kl computes Kullback-Leibler divergences in closed form, and the divergence of Jensen and Shannon.
package kl

import (
	"kantor/losses"
)

// MaxDimension is the highest dimension of covariances: their decompositions take a second there, in which no context is looked at.
const MaxDimension = 512

// Gaussian is KL(posterior, prior) of Gaussians: the sum over dimensions, the mean over rows, which is the convention of the evidence lower bound (Kingma and
// Welling 2014, appendix B). Of independent axes it is
//
//	KL(N(μ,e^v), N(m,e^w)) = ½ Σ_d [ (μ-m)² e^{-w} + e^{v-w} - (v-w) - 1 ]
//
// and of covariances
//
//	KL(N(μ,A), N(m,B)) = ½ [ tr(B⁻¹A) + (μ-m)ᵀB⁻¹(μ-m) - D + ln det B/det A ]
//
// It is +Inf, with a warning and a gradient of 0, where a variance or a squared distance overflows binary64, and where a covariance of either side is singular.
// The gradients in covariances are ½(B⁻¹ - A⁻¹)/N and ½(B⁻¹ - B⁻¹(A + δδᵀ)B⁻¹)/N with δ = μ-m, symmetric.
type Gaussian struct {
	Posterior string // name of a Gaussian input
	Prior     string // name of a Gaussian input with as many rows or one; empty: N(0, I)
	Direction Direction
	Allowance // free bits are those of each dimension, so of independent axes only
}

// Kind implements [losses.Loss].
func (Gaussian) Kind() string { return "kl" }

// Uses implements [losses.Loss].
func (g Gaussian) Uses() []losses.Use { return uses(g.Posterior, g.Prior) }

// uses are those of a posterior and, if it is named, a prior.
func uses(posterior, prior string) []losses.Use {
	out := []losses.Use{{Field: "posterior", Input: posterior}}
	if prior != "" {
		out = append(out, losses.Use{Field: "prior", Input: prior})
	}
	return out
}

// Extras implements [losses.Loss]: the divergence of each row, [N], and of each dimension, [D], the mean over rows, of independent axes.
func (Gaussian) Extras() []string { return []string{"per_row", "per_dimension"} }

// Bind implements [losses.Loss].
func (g Gaussian) Bind(inputs losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	posterior, ok := inputs[g.Posterior].(*losses.Gaussian)
	if !ok {
		return nil, losses.Badf("posterior", "input %q is no Gaussian", g.Posterior)
	}
	n, d := posterior.Mean.Shape[0], posterior.Mean.Shape[1]
	var prior *losses.Gaussian
	if g.Prior != "" {
		if prior, ok = inputs[g.Prior].(*losses.Gaussian); !ok {
			return nil, losses.Badf("prior", "input %q is no Gaussian", g.Prior)
		}
		if rows := prior.Mean.Shape[0]; prior.Mean.Shape[1] != d || rows != 1 && rows != n {
			return nil, losses.Badf("prior", "input %q has shape %v, want [%d,%d] or [1,%d]", g.Prior, prior.Mean.Shape, n, d, d)
		}
	}
	if posterior.Covariance == nil && (prior == nil || prior.Covariance == nil) {
		return &axesProblem{Gaussian: g, n: n, d: d, posterior: newAxes(g.Posterior, posterior, d), prior: newAxes(g.Prior, prior, d)}, nil
	}
	return g.bindFull(posterior, prior)
}
