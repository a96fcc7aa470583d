package dependence

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// sampled is a minibatch estimate of the densities of codes.
type sampled struct {
	TotalCorrelation
	n, d                     int
	codes, mean, logVariance []float64 // [n,d]
	alpha, beta, gamma       float64
	precision, offset        []float64  // [n,d]: e^-v and the logarithm of a density at its mean
	own, next, rest          float64    // logarithms of the weights of a row's own posterior, of the one after it, of the others
	densities                *densities // of the codes
}

// densities are logarithms at the codes.
type densities struct {
	given    []float64 // [n], ln q(z_i|x_i)
	joint    []float64 // [n], ln q(z_i)
	marginal []float64 // [n,d], ln q(z_id)
	prior    []float64 // [n,d], ln p(z_id)
}

// ln2Pi is the logarithm of 2π.
const ln2Pi = 1.8378770664093454835606594728112353

// pairCost is the work of one dimension of a pair of rows in a pass, in units of [parallel.TileCost].
const pairCost = 24

// weigh sets the weights of the posteriors in the estimates. Which other row has the odd weight does not matter, since batches come in random order; that it
// is another and not the first for all rows, and that the own one is on the diagonal, does.
func (p *sampled) weigh() {
	n, m := float64(p.DatasetSize), float64(p.n-1)
	p.own, p.next, p.rest = -math.Log(n), math.Log((n-m)/(n*m)), -math.Log(m)
	if p.Estimator == Weighted {
		w := -math.Log(n * float64(p.n))
		p.own, p.next, p.rest = w, w, w
	}
}

// weight is the logarithm of the weight of posterior j in the estimates at code i.
func (p *sampled) weight(i, j int) float64 {
	switch j {
	case i:
		return p.own
	case (i + 1) % p.n:
		return p.next
	}
	return p.rest
}

// Work implements [losses.Problem].
func (p *sampled) Work() losses.Work {
	pairs := float64(p.n) * float64(p.n)
	return losses.Work{Pairs: pairs, Iterations: 3, Bytes: int64(8 * (7*p.n*p.d + 8*p.n))}
}

// Solve implements [losses.Problem].
func (p *sampled) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	slot := func(input, field string) []float64 {
		if !want.Gradients[losses.Ref{Input: input, Field: field}] {
			return nil
		}
		return make([]float64, p.n*p.d)
	}
	codes, mean, logVariance := slot(p.Codes, "points"), slot(p.Posterior, "mean"), slot(p.Posterior, "log_variance")
	p.prepare()
	if err := p.atCodes(ctx, codes); err != nil {
		return losses.TermResult{}, err
	}
	result, finite := p.result(want)
	if mean != nil || logVariance != nil {
		if err := p.atPosteriors(ctx, mean, logVariance); err != nil {
			return losses.TermResult{}, err
		}
	}
	result.Gradients = map[losses.Ref][]float64{}
	for ref, gradient := range map[losses.Ref][]float64{
		{Input: p.Codes, Field: "points"}:           codes,
		{Input: p.Posterior, Field: "mean"}:         mean,
		{Input: p.Posterior, Field: "log_variance"}: logVariance,
	} {
		if gradient != nil && !finite {
			clear(gradient)
		}
		if gradient != nil {
			result.Gradients[ref] = gradient
		}
	}
	return result, nil
}

// prepare computes what the densities of all pairs need of each posterior.
func (p *sampled) prepare() {
	p.precision, p.offset = make([]float64, p.n*p.d), make([]float64, p.n*p.d)
	for k, v := range p.logVariance {
		p.precision[k], p.offset[k] = math.Exp(-v), -0.5*(ln2Pi+v)
	}
	p.densities = &densities{given: make([]float64, p.n), joint: make([]float64, p.n),
		marginal: make([]float64, p.n*p.d), prior: make([]float64, p.n*p.d)}
}

// log is ln N(z_ik; posterior j) of the codes' coordinate at i·d+k and the posterior's at j·d+k, and the distance between them.
func (p *sampled) log(at, of int) (density, delta float64) {
	delta = p.codes[at] - p.mean[of]
	if delta == 0 { // also where the precision overflows: not 0·Inf
		return p.offset[of], 0
	}
	return p.offset[of] - 0.5*delta*delta*p.precision[of], delta
}

// atCodes computes the densities, and adds the gradient in the codes to gradient, unless that is nil.
func (p *sampled) atCodes(ctx context.Context, gradient []float64) error {
	return parallel.Rows(ctx, p.n, 3*p.n*p.d*pairCost, func(lo, hi int, gate *parallel.Gate) {
		joint, most := make([]float64, p.n), make([]float64, p.d)
		for i := lo; i < hi; i++ {
			if !p.estimate(i, joint, most, gate) {
				return
			}
			if gradient != nil && !p.pullCode(i, joint, gradient[i*p.d:(i+1)*p.d], gate) {
				return
			}
		}
	})
}

// posteriors calls body for every posterior, and asks the gate between tiles. It reports whether it came to the end.
func (p *sampled) posteriors(gate *parallel.Gate, body func(j int)) bool {
	step := max(1, parallel.TileCost/(p.d*pairCost))
	for j := range p.n {
		if j > 0 && j%step == 0 && !gate.Open() {
			return false
		}
		body(j)
	}
	return true
}

// estimate computes the densities at code i as sums of exponentials, each around its largest. It leaves the weighted logarithms of the joint densities in joint, [n].
func (p *sampled) estimate(i int, joint, most []float64, gate *parallel.Gate) bool {
	row, top := i*p.d, math.Inf(-1)
	for k := range most {
		most[k] = math.Inf(-1)
	}
	if !p.posteriors(gate, func(j int) {
		weight := p.weight(i, j)
		joint[j] = weight
		for k := range p.d {
			density, _ := p.log(row+k, j*p.d+k)
			joint[j] += density
			most[k] = max(most[k], weight+density)
		}
		top = max(top, joint[j])
	}) {
		return false
	}
	marginal := p.densities.marginal[row : row+p.d]
	sum := 0.0
	if !p.posteriors(gate, func(j int) {
		sum += math.Exp(joint[j] - top)
		weight := p.weight(i, j)
		for k := range p.d {
			density, _ := p.log(row+k, j*p.d+k)
			marginal[k] += math.Exp(weight + density - most[k])
		}
	}) {
		return false
	}
	p.densities.joint[i] = top + math.Log(sum)
	for k := range p.d {
		density, _ := p.log(row+k, row+k)
		p.densities.given[i] += density
		marginal[k] = most[k] + math.Log(marginal[k])
		p.densities.prior[row+k] = -0.5 * (ln2Pi + p.codes[row+k]*p.codes[row+k])
	}
	return true
}

// jointShare is what the derivative of the value by ln N(z_ik; posterior j) has in all dimensions k: joint is the logarithm of the weighted density of the pair.
func (p *sampled) jointShare(i, j int, joint float64) float64 {
	s := (p.beta - p.alpha) * math.Exp(joint-p.densities.joint[i])
	if i == j {
		s += p.alpha
	}
	return s / float64(p.n)
}

// share is that derivative: marginal is the logarithm of the weighted density of the coordinate at i·d+k. Without dimension-wise parts it takes no exponential.
func (p *sampled) share(jointShare float64, at int, marginal float64) float64 {
	if p.gamma == p.beta {
		return jointShare
	}
	return jointShare + (p.gamma-p.beta)*math.Exp(marginal-p.densities.marginal[at])/float64(p.n)
}

// pullCode adds the gradient in code i to gradient, [d].
func (p *sampled) pullCode(i int, joint, gradient []float64, gate *parallel.Gate) bool {
	for k := range gradient {
		gradient[k] = p.gamma * p.codes[i*p.d+k] / float64(p.n)
	}
	return p.posteriors(gate, func(j int) {
		weight, shared := p.weight(i, j), p.jointShare(i, j, joint[j])
		for k := range p.d {
			at, of := i*p.d+k, j*p.d+k
			density, delta := p.log(at, of)
			gradient[k] -= p.share(shared, at, weight+density) * delta * p.precision[of]
		}
	})
}

// atPosteriors adds the gradients in the parameters, each nil or [n,d]: the same pairs as atCodes, posterior by posterior, so that no two rows write to one.
func (p *sampled) atPosteriors(ctx context.Context, mean, logVariance []float64) error {
	return parallel.Rows(ctx, p.n, 2*p.n*p.d*pairCost, func(lo, hi int, gate *parallel.Gate) {
		density, delta := make([]float64, p.d), make([]float64, p.d)
		for j := lo; j < hi; j++ {
			if !p.posteriors(gate, func(i int) {
				weight := p.weight(i, j)
				joint := weight
				for k := range p.d {
					density[k], delta[k] = p.log(i*p.d+k, j*p.d+k)
					joint += density[k]
				}
				shared := p.jointShare(i, j, joint)
				for k := range p.d {
					at, of := i*p.d+k, j*p.d+k
					s := p.share(shared, at, weight+density[k])
					pull := delta[k] * p.precision[of]
					if mean != nil {
						mean[of] += s * pull
					}
					if logVariance != nil {
						logVariance[of] += 0.5 * s * (delta[k]*pull - 1)
					}
				}
			}) {
				return
			}
		}
	})
}

// result sums the parts, and reports whether they are finite.
func (p *sampled) result(want losses.Want) (losses.TermResult, bool) {
	var information, correlation, total float64
	perDimension := make([]float64, p.d)
	q := p.densities
	for i := range p.n {
		marginal := 0.0
		for k := range p.d {
			marginal += q.marginal[i*p.d+k]
			perDimension[k] += (q.marginal[i*p.d+k] - q.prior[i*p.d+k]) / float64(p.n)
		}
		information += (q.given[i] - q.joint[i]) / float64(p.n)
		correlation += (q.joint[i] - marginal) / float64(p.n)
	}
	for _, v := range perDimension {
		total += v
	}
	value := p.alpha*information + p.beta*correlation + p.gamma*total
	result := losses.TermResult{Outcomes: []losses.Outcome{{Value: value}}}
	finite := true
	for _, part := range []float64{value, information, correlation, total} {
		finite = finite && !math.IsNaN(part) && !math.IsInf(part, 0)
	}
	if !finite {
		result.Outcomes[0].Value = math.Inf(1)
		result.Warnings = []losses.Warning{{Code: losses.InfiniteValue,
			Message: "a density overflows binary64: a variance is out of proportion to the distance of a code from a mean; the gradients are 0"}}
	}
	for name, values := range map[string][]float64{
		"mutual_information": {information}, "total_correlation": {correlation}, "dimension_wise_kl": {total}, "per_dimension": perDimension,
	} {
		if want.Extras[name] {
			extra := losses.NewArray(values, len(values))
			if result.Extras == nil {
				result.Extras = map[string]losses.Extra{}
			}
			result.Extras[name] = &extra
		}
	}
	return result, finite
}
