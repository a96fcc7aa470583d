package kl

import (
	"context"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// VonMisesFisher is the divergence of the posterior from the uniform distribution on the sphere in D dimensions, the mean over rows (Davidson, Falorsi, De Cao, Kipf,
// Tomczak 2018, equation 14). It depends on the concentration κ alone: with A = I_{D/2}(κ)/I_{D/2-1}(κ), the mean of <mean, x>,
//
//	KL = κA - ln [ Γ(D/2) (2/κ)^{D/2-1} I_{D/2-1}(κ) ],    dKL/dκ = κ dA/dκ
//
// to a relative 1e-12 for all D and κ. The gradient in the mean directions is 0.
type VonMisesFisher struct {
	Posterior string // name of a VonMisesFisher input
	Allowance        // free bits are those of the mean
}

// Kind implements [losses.Loss].
func (VonMisesFisher) Kind() string { return "von_mises_fisher_kl" }

// Uses implements [losses.Loss].
func (v VonMisesFisher) Uses() []losses.Use { return uses(v.Posterior, "") }

// Extras implements [losses.Loss]: the divergence of each row, [N].
func (VonMisesFisher) Extras() []string { return []string{"per_row"} }

// Bind implements [losses.Loss].
func (v VonMisesFisher) Bind(inputs losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	posterior, ok := inputs[v.Posterior].(*losses.VonMisesFisher)
	if !ok {
		return nil, losses.Badf("posterior", "input %q is no VonMisesFisher", v.Posterior)
	}
	return &sphereProblem{VonMisesFisher: v, d: posterior.Mean.Shape[1], concentration: posterior.Concentration.Float64s()}, nil
}

type sphereProblem struct {
	VonMisesFisher
	d             int
	concentration []float64 // [n]
}

// concentrationCost is the work of a row, in units of [parallel.TileCost]: at most some 200 terms of a series.
const concentrationCost = 4096

// Work implements [losses.Problem].
func (p *sphereProblem) Work() losses.Work {
	n := len(p.concentration)
	return losses.Work{Pairs: float64(256 * n), Iterations: 1, Bytes: int64(8 * 2 * n)}
}

// Solve implements [losses.Problem].
func (p *sphereProblem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	n := len(p.concentration)
	out := answer{perRow: make([]float64, n), gradients: map[losses.Ref][]float64{}}
	to := slot(out.gradients, want, p.Posterior, "concentration", n)
	err := parallel.Rows(ctx, n, concentrationCost, func(lo, hi int, _ *parallel.Gate) {
		for i := lo; i < hi; i++ {
			value, slope := fromUniform(float64(p.d)/2-1, p.concentration[i])
			out.perRow[i] = value
			addAt(to, i, slope/float64(n))
		}
	})
	if err != nil {
		return losses.TermResult{}, err
	}
	out.perDimension = meanOf(out.perRow)
	return p.result(out, "the divergence overflows binary64", want, "per_row"), nil
}
