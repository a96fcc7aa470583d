package dependence

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// Moments is whose covariance a [Dip] looks at.
type Moments int

const (
	// OfMeans is the covariance of the posterior's means: DIP-VAE-I.
	OfMeans Moments = iota
	// OfCodes is the covariance of codes drawn from the posteriors, Cov(μ) + mean of diag e^v, by the law of total covariance: DIP-VAE-II.
	OfCodes
)

// Dip is the penalty of a disentangled inferred prior (Kumar, Sattigeri, Balakrishnan 2018, equations 6 and 7), o Σ_{i≠j} C_ij² + d Σ_i (C_ii - 1)², with the
// covariance C of a batch, divided by its rows.
type Dip struct {
	Posterior             string // name of a Gaussian input of two rows or more
	Moments               Moments
	OffDiagonal, Diagonal *float64 // o and d; nil: 1, and 10 for OfMeans or 1 for OfCodes, as in the paper
}

// MaxDimension is the largest dimension of a [Dip], which has a number for each pair of axes.
const MaxDimension = 4096

// Kind implements [losses.Loss].
func (Dip) Kind() string { return "dip" }

// Uses implements [losses.Loss].
func (l Dip) Uses() []losses.Use { return []losses.Use{{Field: "posterior", Input: l.Posterior}} }

// Extras implements [losses.Loss].
func (Dip) Extras() []string { return []string{"covariance"} }

// Bind implements [losses.Loss].
func (l Dip) Bind(inputs losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	posterior, err := diagonal(inputs, l.Posterior)
	if err != nil {
		return nil, err
	}
	p := &dipProblem{Dip: l, n: posterior.Mean.Shape[0], d: posterior.Mean.Shape[1], off: 1, on: 1}
	switch {
	case p.n < 2:
		return nil, losses.Badf("posterior", "input %q has 1 row, want 2 or more: one has no covariance", l.Posterior)
	case p.d > MaxDimension:
		return nil, losses.Badf("posterior", "input %q is too large: dimension %d, want at most %d", l.Posterior, p.d, MaxDimension)
	}
	if l.Moments == OfMeans {
		p.on = 10
	}
	for _, f := range []struct {
		field string
		given *float64
		to    *float64
	}{{"off_diagonal", l.OffDiagonal, &p.off}, {"diagonal", l.Diagonal, &p.on}} {
		if f.given != nil {
			*f.to = *f.given
		}
		if !(*f.to >= 0) || math.IsInf(*f.to, 1) {
			return nil, losses.Badf(f.field, "is %v, want a non-negative number", *f.to)
		}
	}
	p.centred, p.logVariance = posterior.Mean.Float64s(), posterior.LogVariance.Float64s()
	return p, nil
}

type dipProblem struct {
	Dip
	n, d                 int
	off, on              float64
	centred, logVariance []float64 // [n,d]; the first is the means until they are centred
}

// Work implements [losses.Problem].
func (p *dipProblem) Work() losses.Work {
	return losses.Work{Pairs: float64(p.d) * float64(p.d), Iterations: 1, Bytes: int64(8 * (5*p.n*p.d + 2*p.d*p.d))}
}

// Solve implements [losses.Problem].
func (p *dipProblem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	spread := make([]float64, p.d) // mean variances of the posteriors, of OfCodes
	err := parallel.Do(ctx, func(gate *parallel.Gate) { p.centre(gate, spread) })
	if err != nil {
		return losses.TermResult{}, err
	}
	covariance := make([]float64, p.d*p.d)
	if err := p.covary(ctx, spread, covariance); err != nil {
		return losses.TermResult{}, err
	}
	value, slope := p.penalty(covariance)
	result := losses.TermResult{Outcomes: []losses.Outcome{{Value: value}}, Gradients: map[losses.Ref][]float64{}}
	if math.IsInf(value, 1) || math.IsNaN(value) {
		result.Outcomes[0].Value = math.Inf(1)
		result.Warnings = []losses.Warning{{Code: losses.InfiniteValue,
			Message: "the squares of the covariance overflow binary64; the gradients are 0"}}
		clear(slope)
	}
	if want.Extras["covariance"] {
		extra := losses.NewArray(covariance, p.d, p.d)
		result.Extras = map[string]losses.Extra{"covariance": &extra}
	}
	return result, p.addGradients(ctx, want, slope, result.Gradients)
}

// centre subtracts the means over rows, around the first row so that a common offset costs no digits, and computes the mean variances.
func (p *dipProblem) centre(gate *parallel.Gate, spread []float64) {
	first := append([]float64(nil), p.centred[:p.d]...)
	sum := make([]float64, p.d)
	step := max(1, parallel.TileCost/(64*p.d))
	for _, pass := range []func(at, k int){
		func(at, k int) {
			p.centred[at] -= first[k]
			sum[k] += p.centred[at] / float64(p.n)
			if p.Moments == OfCodes {
				spread[k] += math.Exp(p.logVariance[at]) / float64(p.n)
			}
		},
		func(at, k int) { p.centred[at] -= sum[k] },
	} {
		for i := range p.n {
			if i > 0 && i%step == 0 && !gate.Open() {
				return
			}
			for k := range p.d {
				pass(i*p.d+k, k)
			}
		}
	}
}

// covary computes the covariance, whose diagonal has the spread too.
func (p *dipProblem) covary(ctx context.Context, spread, covariance []float64) error {
	columns := make([]float64, len(p.centred)) // [d,n]
	for at, v := range p.centred {
		columns[at%p.d*p.n+at/p.d] = v
	}
	return parallel.Rows(ctx, p.d, 2*p.d*p.n, func(lo, hi int, gate *parallel.Gate) {
		step := max(1, parallel.TileCost/(2*p.n))
		for i := lo; i < hi; i++ {
			for j := range p.d {
				if j > 0 && j%step == 0 && !gate.Open() {
					return
				}
				// Both halves the same way round, so that they are the same bits.
				covariance[i*p.d+j] = dot(columns[min(i, j)*p.n:][:p.n], columns[max(i, j)*p.n:][:p.n]) / float64(p.n)
			}
			covariance[i*p.d+i] += spread[i]
		}
	})
}

func dot(x, y []float64) float64 {
	sum := 0.0
	for i, v := range x {
		sum += float64(v * y[i]) // rounded, lest an architecture with a fused multiply-add give other bits
	}
	return sum
}

// penalty returns the value, and its gradient in the covariance.
func (p *dipProblem) penalty(covariance []float64) (value float64, slope []float64) {
	slope = make([]float64, len(covariance))
	for at, c := range covariance {
		factor, excess := p.off, c
		if at/p.d == at%p.d {
			factor, excess = p.on, c-1
		}
		if factor != 0 { // also where the square overflows: not 0·Inf
			value += float64(factor * excess * excess)
			slope[at] = 2 * factor * excess
		}
	}
	return value, slope
}

// addGradients adds what is wanted: of C = 1/N Σ (μ_i - m)(μ_i - m)ᵀ the derivative by μ_i along a symmetric slope G is 2/N G (μ_i - m).
func (p *dipProblem) addGradients(ctx context.Context, want losses.Want, slope []float64, into map[losses.Ref][]float64) error {
	mean, logVariance := losses.Ref{Input: p.Posterior, Field: "mean"}, losses.Ref{Input: p.Posterior, Field: "log_variance"}
	if want.Gradients[logVariance] {
		into[logVariance] = make([]float64, p.n*p.d)
		if p.Moments == OfCodes {
			for at, v := range p.logVariance {
				if s := slope[at%p.d*(p.d+1)]; s != 0 {
					into[logVariance][at] = s * math.Exp(v) / float64(p.n)
				}
			}
		}
	}
	if !want.Gradients[mean] {
		return nil
	}
	out := make([]float64, p.n*p.d)
	into[mean] = out
	return parallel.Rows(ctx, p.n, 2*p.d*p.d, func(lo, hi int, gate *parallel.Gate) {
		step := max(1, parallel.TileCost/(2*p.d))
		for i := lo; i < hi; i++ {
			row := p.centred[i*p.d : (i+1)*p.d]
			for k := range p.d {
				if k > 0 && k%step == 0 && !gate.Open() {
					return
				}
				out[i*p.d+k] = 2 / float64(p.n) * dot(slope[k*p.d:(k+1)*p.d], row)
			}
		}
	})
}
