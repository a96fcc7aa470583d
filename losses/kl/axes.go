package kl

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// axes is a Gaussian input with independent axes.
type axes struct {
	name              string
	rows              int
	mean, logVariance []float64 // [rows,d]
}

// newAxes takes an input; nil: N(0, I).
func newAxes(name string, in *losses.Gaussian, d int) *axes {
	if in == nil {
		return &axes{rows: 1, mean: make([]float64, d), logVariance: make([]float64, d)}
	}
	return &axes{name: name, rows: in.Mean.Shape[0], mean: in.Mean.Float64s(), logVariance: in.LogVariance.Float64s()}
}

// row is the row that stands for row i of the posterior.
func (a *axes) row(i int) int {
	if a.rows == 1 {
		return 0
	}
	return i
}

// at returns the mean and the logarithms of the variances that stand for row i of the posterior.
func (a *axes) at(i, d int) (mean, logVariance []float64) {
	start := a.row(i) * d
	return a.mean[start : start+d], a.logVariance[start : start+d : start+d]
}

// axesProblem is a divergence between Gaussians with independent axes.
type axesProblem struct {
	Gaussian
	n, d             int
	posterior, prior *axes
}

// Work implements [losses.Problem].
func (p *axesProblem) Work() losses.Work {
	numbers := (p.n + p.prior.rows + 1) * p.d
	if p.Direction == Symmetric {
		numbers *= 2
	}
	return losses.Work{Pairs: float64(p.n * p.d), Iterations: 1, Bytes: int64(8 * (numbers + p.n))}
}

// overflows is what the warning says.
const overflows = "the divergence overflows binary64: a variance or the distance of the means is out of proportion to the prior's variance"

// Solve implements [losses.Problem].
func (p *axesProblem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	out := answer{perRow: make([]float64, p.n), perDimension: make([]float64, p.d), gradients: map[losses.Ref][]float64{}}
	var ways []*way
	if p.Direction != Reverse {
		ways = append(ways, newWay(p.n, p.d, p.posterior, p.prior))
	}
	if p.Direction != Forward {
		ways = append(ways, newWay(p.n, p.d, p.prior, p.posterior))
	}
	err := parallel.Do(ctx, func(gate *parallel.Gate) {
		for _, w := range ways {
			if !w.add(gate, out) {
				return
			}
		}
		if out.infinite() {
			return
		}
		for _, w := range ways {
			if !w.addGradients(gate, want, out.gradients) {
				return
			}
		}
	})
	if err != nil {
		return losses.TermResult{}, err
	}
	return p.result(out, overflows, want, "per_row", "per_dimension"), nil
}

// way is KL(of, from), the mean over n rows.
type way struct {
	n, d      int
	of, from  *axes
	growth    []float64 // [n,d], the ratios of the variances, less 1
	beyond    []float64 // [d], of one row, the growth less the logarithm of the ratio
	precision []float64 // [rows of from,d], one over its variances
}

func newWay(n, d int, of, from *axes) *way {
	return &way{n: n, d: d, of: of, from: from, growth: make([]float64, n*d), beyond: make([]float64, d), precision: make([]float64, len(from.mean))}
}

// elementCost is the work of an element, in units of [parallel.TileCost].
const elementCost = 32

// rows calls body for every row, and asks the gate between tiles. It reports whether it came to the end.
func (w *way) rows(gate *parallel.Gate, body func(i int)) bool {
	done := 0
	for i := range w.n {
		if done += w.d * elementCost; done > parallel.TileCost {
			if !gate.Open() {
				return false
			}
			done = 0
		}
		body(i)
	}
	return true
}

// add adds the divergence, unless the gate closes, of which it tells.
func (w *way) add(gate *parallel.Gate, to answer) bool {
	scale := 1 / float64(w.n)
	return w.rows(gate, func(i int) {
		mean, logVariance := w.of.at(i, w.d)
		fromMean, fromLogVariance := w.from.at(i, w.d)
		q := w.from.row(i) * w.d
		precision := w.precision[q : q+w.d]
		if i == 0 || w.from.rows > 1 {
			for j, v := range fromLogVariance {
				precision[j] = math.Exp(-v)
			}
		}
		// Exponentials by themselves: a call among the products would have them all in memory.
		growth, beyond := w.growth[i*w.d:(i+1)*w.d], w.beyond[:w.d]
		for j, v := range logVariance {
			growth[j], beyond[j] = expm(v - fromLogVariance[j])
		}
		perDimension, row := to.perDimension[:w.d], 0.0
		for j, m := range mean {
			quadratic := 0.0 // where the means agree, also at a prior variance that underflows: not 0·Inf
			if delta := m - fromMean[j]; delta != 0 {
				if quadratic = delta * delta * precision[j]; !usual(quadratic) {
					quadratic = math.Exp(2*logDistance(m, fromMean[j]) - fromLogVariance[j])
				}
			}
			half := 0.5 * (quadratic + beyond[j])
			perDimension[j] += scale * half
			row += half
		}
		to.perRow[i] += row
	})
}

// usual reports whether a product of a distance and a precision is neither NaN nor infinite nor 0, of which a factor may have been to blame.
func usual(v float64) bool { return v != 0 && v-v == 0 }

// logDistance is ln|x-y|, also where x-y overflows.
func logDistance(x, y float64) float64 { return math.Log(math.Abs(x/2-y/2)) + math.Ln2 }

// addGradients adds what is wanted, unless the gate closes. An input that is on both sides gets the sum.
func (w *way) addGradients(gate *parallel.Gate, want losses.Want, into map[losses.Ref][]float64) bool {
	mean, logVariance := slot(into, want, w.of.name, "mean", len(w.of.mean)), slot(into, want, w.of.name, "log_variance", len(w.of.mean))
	fromMean, fromLogVariance := slot(into, want, w.from.name, "mean", len(w.from.mean)), slot(into, want, w.from.name, "log_variance", len(w.from.mean))
	scale := 1 / float64(w.n)
	return w.rows(gate, func(i int) {
		p, q := w.of.row(i)*w.d, w.from.row(i)*w.d
		to, _ := w.of.at(i, w.d)
		from, _ := w.from.at(i, w.d)
		growth, precision := w.growth[i*w.d:(i+1)*w.d], w.precision[q:q+w.d]
		for j, m := range to {
			pull, quadratic := 0.0, 0.0 // (μ-m)/variance; as in add, never 0·Inf
			if delta := m - from[j]; delta != 0 {
				pull = delta * precision[j]
				if quadratic = delta * pull; !usual(quadratic) {
					log, v := logDistance(m, from[j]), w.from.logVariance[q+j]
					pull, quadratic = math.Copysign(math.Exp(log-v), delta), math.Exp(2*log-v)
				}
			}
			addAt(mean, p+j, scale*pull)
			addAt(fromMean, q+j, -scale*pull)
			addAt(fromLogVariance, q+j, -scale*0.5*(quadratic+growth[j]))
		}
		if logVariance != nil {
			floats.AddScaled(logVariance[p:p+w.d], scale*0.5, growth)
		}
	})
}

// meanOf is the mean over rows, as the only dimension.
func meanOf(perRow []float64) []float64 { return []float64{floats.Sum(perRow) / float64(len(perRow))} }
