package gaussian

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// problem is a distance bound to its sides, the posterior and the prior.
type problem struct {
	sides [2]*operand
	n, d  int // rows and dimension of the posterior
}

// full reports whether the rows take decompositions.
func (p *problem) full() bool { return !p.sides[0].diagonal() || !p.sides[1].diagonal() }

// rowCost is the work of a row, in units of [parallel.TileCost].
func (p *problem) rowCost() int {
	if p.full() {
		return 64 * p.d * p.d * p.d
	}
	return 32 * p.d
}

// Work implements [losses.Problem].
func (p *problem) Work() losses.Work {
	work, numbers := float64(p.n*p.d), 4*p.n*p.d
	if p.full() {
		work, numbers = work*float64(p.d*p.d), 4*p.n*p.d*p.d+8*p.d*p.d*parallel.Slots()
	}
	for _, o := range p.sides {
		if o.cloud != nil {
			work, numbers = work+float64(o.cloud.N*o.d*o.d), numbers+2*o.cloud.N*o.d
		}
	}
	return losses.Work{Pairs: work, Iterations: 1, Bytes: int64(8 * numbers)}
}

// run is a problem while it is solved.
type run struct {
	*problem
	sides   [2]*operand // with the moments of measures
	clouds  [2]*moments // nil: no measure
	widths  []float64   // [d], the standard deviations of a prior of one row and independent axes
	values  []float64   // [n]
	maps    []float64   // [n,d,d]; nil: nobody wants them
	partial [][2]slopes // by group of rows
}

// slopes are gradients in one side, of the sum over rows; nil: nobody wants them.
type slopes struct {
	mean   []float64 // [rows,d]
	spread []float64 // [rows,d] or, of covariances and measures, [rows,d,d]
}

// Solve implements [losses.Problem].
func (p *problem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	r := &run{problem: p, sides: p.sides, values: make([]float64, p.n), partial: make([][2]slopes, parallel.GroupCount(p.n))}
	var result losses.TermResult
	for s, o := range p.sides {
		result.Warnings = append(result.Warnings, o.warnings...)
		if o.cloud == nil {
			continue
		}
		var err error
		if r.clouds[s], err = newMoments(ctx, o.cloud); err != nil {
			return losses.TermResult{}, err
		}
		r.sides[s] = r.clouds[s].operand(o)
	}
	if q := p.sides[1]; q.rows == 1 && q.diagonal() {
		for _, w := range q.logVariance {
			r.widths = append(r.widths, math.Exp(0.5*w))
		}
	}
	if size := p.n * p.d * p.d; want.Extras["map"] && size <= losses.MaxElements {
		r.maps = make([]float64, size)
	} else if want.Extras["map"] {
		result.Warnings = append(result.Warnings, losses.Warning{Code: losses.ExtraTooLarge,
			Message: fmt.Sprintf("the maps of %d rows of dimension %d are left out: they are more than %d numbers", p.n, p.d, losses.MaxElements)})
	}
	if err := r.rows(ctx, want); err != nil {
		return losses.TermResult{}, err
	}
	value := floats.Sum(r.values) / float64(p.n)
	result.Outcomes = []losses.Outcome{{Value: value}}
	if math.IsInf(value, 1) {
		result.Warnings = append(result.Warnings, losses.Warning{Code: losses.InfiniteValue,
			Message: "the value overflows binary64: a variance or the distance of the means is too large"})
	}
	var err error
	result.Gradients, err = r.gradients(ctx, want)
	result.Extras = r.extras(want)
	return result, err
}

func (r *run) extras(want losses.Want) map[string]losses.Extra {
	out := map[string]losses.Extra{}
	if want.Extras["per_row"] {
		values := losses.NewArray(r.values, r.n)
		out["per_row"] = &values
	}
	if r.maps != nil {
		maps := losses.NewArray(r.maps, r.n, r.d, r.d)
		out["map"] = &maps
	}
	return out
}

// wanted makes the slopes of one side that the gradients need.
func (r *run) wanted(want losses.Want, s int) slopes {
	o, out := r.sides[s], slopes{}
	asked := func(field string) bool { return want.Gradients[losses.Ref{Input: o.name, Field: field}] }
	if r.clouds[s] != nil {
		if asked("points") || asked("weights") {
			out.mean, out.spread = make([]float64, r.d), make([]float64, r.d*r.d)
		}
		return out
	}
	if asked("mean") {
		out.mean = make([]float64, len(o.mean))
	}
	if asked(o.spread) {
		size := len(o.logVariance)
		if !o.diagonal() {
			size = o.rows * r.d * r.d
		}
		out.spread = make([]float64, size)
	}
	return out
}

// rows computes all rows. What rows share is summed group by group, in the order of the groups.
func (r *run) rows(ctx context.Context, want losses.Want) error {
	// Slopes of one for each row need no sums of their own.
	var common [2]slopes
	for s := range common {
		common[s] = r.wanted(want, s)
	}
	err := parallel.Groups(ctx, r.n, func(group, lo, hi int, gate *parallel.Gate) {
		g := common
		for s := range g {
			if r.sides[s].rows == 1 && group > 0 {
				g[s] = r.wanted(want, s)
			}
		}
		r.partial[group] = g
		done := 0
		for i := lo; i < hi; i++ {
			if done += r.rowCost(); done > parallel.TileCost && i > lo {
				if !gate.Open() {
					return
				}
				done = 0
			}
			if r.full() {
				r.coupled(i, g)
			} else {
				r.independent(i, g)
			}
		}
	})
	if err != nil {
		return err
	}
	for s := range common {
		for _, g := range r.partial[1:] {
			if r.sides[s].rows == 1 && common[s].mean != nil {
				floats.Add(common[s].mean, g[s].mean)
			}
			if r.sides[s].rows == 1 && common[s].spread != nil {
				floats.Add(common[s].spread, g[s].spread)
			}
		}
	}
	return nil
}

// means adds |m-n|² of a row and its slopes.
func (r *run) means(i int, g [2]slopes) {
	at, to := i*r.d, r.sides[1].row(i)*r.d
	for k := range r.d {
		delta := r.sides[0].mean[at+k] - r.sides[1].mean[to+k]
		r.values[i] += delta * delta
		addAt(g[0].mean, at+k, 2*delta)
		addAt(g[1].mean, to+k, -2*delta)
	}
}

// independent computes a row of independent axes.
func (r *run) independent(i int, g [2]slopes) {
	r.means(i, g)
	at, to := i*r.d, r.sides[1].row(i)*r.d
	for k := range r.d {
		v, w := r.sides[0].logVariance[at+k], r.sides[1].logVariance[to+k]
		sigma, s := math.Exp(0.5*v), 0.0
		if r.widths != nil {
			s = r.widths[k]
		} else {
			s = math.Exp(0.5 * w)
		}
		apart := deviation(v, w, sigma, s)
		r.values[i] += apart * apart
		addAt(g[0].spread, at+k, times(sigma, apart))
		addAt(g[1].spread, to+k, -times(s, apart))
		if r.maps != nil && sigma > 0 { // a variance of 0 stays where it is
			r.maps[(i*r.d+k)*r.d+k] = math.Exp(0.5 * (w - v))
		}
	}
}

// deviation is e^½v - e^½w, of which no more than three bits cancel; infinite where both are.
func deviation(v, w, sigma, s float64) float64 {
	switch {
	case v == w:
		return 0
	case math.Abs(v-w) < 0.25:
		return s * math.Expm1(0.5*(v-w))
	case math.IsInf(sigma, 1):
		return math.Copysign(sigma, v-w)
	}
	return sigma - s
}

// times is a product in which 0 wins over infinity.
func times(x, y float64) float64 {
	if x == 0 || y == 0 {
		return 0
	}
	return x * y
}

// coupled computes a row of which one side at least has a covariance.
func (r *run) coupled(i int, g [2]slopes) {
	r.means(i, g)
	a, finite := r.sides[0].rootAt(i)
	b, alsoFinite := r.sides[1].rootAt(i)
	if !finite || !alsoFinite {
		r.values[i] = math.Inf(1) // which has no slopes
		return
	}
	p := match(a, b, r.d)
	r.values[i] += p.value
	t := make([]float64, r.d*r.d)
	if r.maps != nil || g[0].spread != nil {
		p.forth(t)
		if r.maps != nil {
			copy(r.maps[i*r.d*r.d:], t)
		}
		r.sides[0].addSpread(g[0].spread, i, t)
	}
	if g[1].spread != nil {
		p.back(t)
		r.sides[1].addSpread(g[1].spread, i, t)
	}
}

// addSpread adds the slope I - T of row i: in the logarithm of a variance the variance times its diagonal.
func (o *operand) addSpread(to []float64, i int, t []float64) {
	if to == nil {
		return
	}
	at := o.row(i)
	for j := range o.d {
		if o.diagonal() {
			sigma := math.Exp(0.5 * o.logVariance[at*o.d+j])
			to[at*o.d+j] += sigma * (sigma - sigma*t[j*o.d+j])
			continue
		}
		for k := range o.d {
			to[(at*o.d+j)*o.d+k] -= t[j*o.d+k]
		}
		to[(at*o.d+j)*o.d+j]++
	}
}

// gradients divides by the number of rows and hands the slopes to the inputs. An input that is both sides gets the sum.
func (r *run) gradients(ctx context.Context, want losses.Want) (map[losses.Ref][]float64, error) {
	out := map[losses.Ref][]float64{}
	for s, o := range r.sides {
		g := r.partial[0][s]
		for _, slope := range [][]float64{g.mean, g.spread} {
			floats.Scale(1/float64(r.n), slope)
		}
		if c := r.clouds[s]; c != nil {
			if err := c.pull(ctx, g, want, out); err != nil {
				return nil, err
			}
			continue
		}
		add(out, losses.Ref{Input: o.name, Field: "mean"}, g.mean)
		add(out, losses.Ref{Input: o.name, Field: o.spread}, g.spread)
	}
	return out, nil
}

// add adds a gradient, which may be nil, to that of a tensor.
func add(to map[losses.Ref][]float64, ref losses.Ref, gradient []float64) {
	switch {
	case gradient == nil:
	case to[ref] == nil:
		to[ref] = gradient
	default:
		floats.Add(to[ref], gradient)
	}
}

// addAt adds v to dst[i]; a nil dst is a gradient that nobody wants.
func addAt(dst []float64, i int, v float64) {
	if dst != nil {
		dst[i] += v
	}
}
