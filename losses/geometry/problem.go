package geometry

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// problem is a stress bound to its rows.
type problem struct {
	Stress
	codes, data *rows
}

// sums are those over pairs of rows: of d², dδ and δ², in the units of codes and data; and of d and δ, for their correlation.
type sums struct{ dd, de, ee, d, e float64 }

func (s *sums) add(d, e float64) {
	s.dd += float64(d * d)
	s.de += float64(d * e)
	s.ee += float64(e * e)
	s.d += d
	s.e += e
}

// pairs is the number of pairs of rows.
func (p *problem) pairs() int { return p.codes.n * (p.codes.n - 1) / 2 }

// cost is the work of a pair in a pass, in units of [parallel.TileCost].
func (p *problem) cost() int { return 4*(p.codes.d+p.data.d) + 16 }

// Work implements [losses.Problem].
func (p *problem) Work() losses.Work {
	n := p.codes.n
	bytes := 8 * 3 * n * (p.codes.d + p.data.d)
	if p.Form == Rank {
		bytes += p.pairs() * rankBytes
	}
	return losses.Work{Pairs: float64(n) * float64(n), Iterations: 2, Bytes: int64(bytes)}
}

// Solve implements [losses.Problem].
func (p *problem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	total, err := p.sum(ctx)
	if err != nil {
		return losses.TermResult{}, err
	}
	fit := p.straight(total)
	if p.Form == Rank {
		if fit, err = p.monotone(ctx, total, want); err != nil {
			return losses.TermResult{}, err
		}
	}
	pull, err := p.compare(ctx, fit, p.wanted(want))
	if err != nil {
		return losses.TermResult{}, err
	}
	return p.result(total, fit, pull, want), nil
}

// each calls body for the rows j below every row i, in tiles of rows i.
func (p *problem) each(ctx context.Context, body func(i, j int, d, e float64)) error {
	step := max(1, parallel.TileCost/p.cost())
	return parallel.Rows(ctx, p.codes.n, p.codes.n*p.cost()/2, func(lo, hi int, gate *parallel.Gate) {
		for i := lo; i < hi; i++ {
			for j := range i {
				if j > 0 && j%step == 0 && !gate.Open() {
					return
				}
				body(i, j, p.codes.between(i, j), p.data.between(i, j))
			}
		}
	})
}

// sum sums row by row, and the rows in their order.
func (p *problem) sum(ctx context.Context) (sums, error) {
	byRow := make([]sums, p.codes.n)
	err := p.each(ctx, func(i, _ int, d, e float64) { byRow[i].add(d, e) })
	var total sums
	for _, s := range byRow {
		total.dd += s.dd
		total.de += s.de
		total.ee += s.ee
		total.d += s.d
		total.e += s.e
	}
	return total, err
}

// fit is what the distances of codes are compared with, and the sum that they are compared relative to.
type fit struct {
	scale float64                           // s, in the unit of codes over that of data
	norm  float64                           // what the sum of squares is divided by
	fixed bool                              // whether norm is that of sδ
	of    func(i, j int, e float64) float64 // the fitted distance of rows j < i, whose data are e apart
	rho   float64                           // correlation of ranks, where it is wanted
}

// straight fits a factor.
func (p *problem) straight(total sums) *fit {
	f := &fit{norm: total.dd}
	switch {
	case p.Scale != nil:
		f.scale = *p.Scale * (p.data.unit / p.codes.unit)
		f.norm, f.fixed = f.scale*f.scale*total.ee, true
	case total.ee > 0:
		f.scale = total.de / total.ee
	}
	f.of = func(_, _ int, e float64) float64 { return f.scale * e }
	return f
}

// pulls are sums over pairs by row: the squares of the misfits d - d̂, below the row; and the gradients of ½Σ(d-d̂)², ½Σd², ½Σδ² by rows of codes and of data.
type pulls struct {
	squares              []float64
	misfit, size         []float64 // [n,d] of codes; nil: not wanted
	dataMisfit, dataSize []float64 // [n,d] of data, the first without the factor -s; nil: not wanted
}

// wanted makes room for the gradients that are wanted.
func (p *problem) wanted(want losses.Want) *pulls {
	out := &pulls{squares: make([]float64, p.codes.n)}
	for ref := range want.Gradients {
		if ref.Input == p.codes.name && out.misfit == nil {
			out.misfit, out.size = make([]float64, len(p.codes.x)), make([]float64, len(p.codes.x))
		}
		if ref.Input == p.data.name && out.dataMisfit == nil {
			out.dataMisfit, out.dataSize = make([]float64, len(p.data.x)), make([]float64, len(p.data.x))
		}
	}
	return out
}

// compare goes through all pairs: with gradients twice, once from each side, so that every row writes to its own.
func (p *problem) compare(ctx context.Context, f *fit, to *pulls) (*pulls, error) {
	if to.misfit == nil && to.dataMisfit == nil {
		return to, p.each(ctx, func(i, j int, d, e float64) {
			misfit := d - f.of(i, j, e)
			to.squares[i] += float64(misfit * misfit)
		})
	}
	n, step := p.codes.n, max(1, parallel.TileCost/(3*p.cost()))
	return to, parallel.Rows(ctx, n, 3*n*p.cost(), func(lo, hi int, gate *parallel.Gate) {
		for i := lo; i < hi; i++ {
			for j := range n {
				if j > 0 && j%step == 0 && !gate.Open() {
					return
				}
				if i != j {
					p.compareRows(i, j, f, to)
				}
			}
		}
	})
}

// compareRows adds what row i has from its distance to row j.
func (p *problem) compareRows(i, j int, f *fit, to *pulls) {
	d, e := p.codes.between(i, j), p.data.between(i, j)
	misfit := d - f.of(max(i, j), min(i, j), e)
	if j < i {
		to.squares[i] += float64(misfit * misfit)
	}
	if to.misfit != nil {
		own := p.codes.d * i
		p.codes.pull(i, j, d, misfit, to.misfit[own:own+p.codes.d])
		p.codes.pull(i, j, d, d, to.size[own:own+p.codes.d])
	}
	if to.dataMisfit != nil && p.Form == Metric {
		own := p.data.d * i
		p.data.pull(i, j, e, misfit, to.dataMisfit[own:own+p.data.d])
		p.data.pull(i, j, e, e, to.dataSize[own:own+p.data.d])
	}
}

// result divides. With V = R/A, R = Σ(d-d̂)² and A = Σd², ∂V = 2/A [(d-d̂)∂d - V d∂d - s(d-d̂)∂δ]; with the fixed scale A = s²Σδ² has no part of d, but of δ.
func (p *problem) result(total sums, f *fit, to *pulls, want losses.Want) losses.TermResult {
	value, flat := 0.0, false
	for _, square := range to.squares {
		value += square
	}
	result := losses.TermResult{Gradients: map[losses.Ref][]float64{}}
	switch {
	case f.norm > 0:
		value /= f.norm
	case f.fixed && value > 0:
		value, flat = math.Inf(1), true
		result.Warnings = []losses.Warning{{Code: losses.InfiniteValue, Message: "all data are one point and the codes are not; the gradients are 0"}}
	case f.fixed: // all is one point, as it should be
		flat = true
	default:
		value, flat = 1, true
	}
	if !flat && (math.IsInf(value, 1) || math.IsNaN(value)) {
		value, flat = math.Inf(1), true
		result.Warnings = []losses.Warning{{Code: losses.InfiniteValue, Message: "the codes are too far apart for the scale: the ratio overflows binary64; the gradients are 0"}}
	}
	result.Outcomes = []losses.Outcome{{Value: value}}
	combine := func(misfit, size []float64, onMisfit, onSize float64) []float64 {
		out := make([]float64, len(misfit))
		for k := range out {
			if !flat {
				out[k] = 2 / f.norm * (onMisfit*misfit[k] + onSize*size[k])
			}
		}
		return out
	}
	if to.misfit != nil {
		onSize := -value
		if f.fixed {
			onSize = 0
		}
		p.codes.addGradients(combine(to.misfit, to.size, 1, onSize), want, result.Gradients)
	}
	if to.dataMisfit != nil {
		onSize := 0.0
		if f.fixed {
			onSize = -value * f.scale * f.scale
		}
		p.data.addGradients(combine(to.dataMisfit, to.dataSize, -f.scale, onSize), want, result.Gradients)
	}
	p.addExtras(total, f, want, &result)
	return result
}

// addExtras adds what is wanted.
func (p *problem) addExtras(total sums, f *fit, want losses.Want, result *losses.TermResult) {
	add := func(name string, value float64) {
		if want.Extras[name] {
			if result.Extras == nil {
				result.Extras = map[string]losses.Extra{}
			}
			extra := losses.NewArray([]float64{value}, 1)
			result.Extras[name] = &extra
		}
	}
	if p.Form == Rank {
		add("correlation", f.rho)
		return
	}
	n := float64(p.pairs())
	add("correlation", pearson(n, total))
	add("scale", f.scale*(p.codes.unit/p.data.unit))
}

// pearson is the correlation of two distances; 0 where one of them is the same for all pairs.
func pearson(n float64, s sums) float64 {
	spread := (s.dd - s.d*s.d/n) * (s.ee - s.e*s.e/n)
	if !(spread > 0) {
		return 0
	}
	return (s.de - s.d*s.e/n) / math.Sqrt(spread)
}
