package sinkhorn

import (
	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/split"
)

// potentials returns copies in the caller's units, those of a balanced cross problem with equal means.
//
// Of halves, f at a point is the mean over the two halves of the other measure, and the self potential that against the other half of its own: so
// <a, f - f_self> + <b, g - g_self> is the value of a balanced problem as it is with self terms. A second batch's own are left out.
func (p *problem) potentials(all []*solved) *losses.Potentials {
	out := &losses.Potentials{Gauge: losses.NoGauge, Source: make([]float64, p.cross.A.N), Target: make([]float64, p.cross.B.N)}
	if p.movable() {
		out.Gauge = losses.EqualMeans
	}
	if p.debias != None {
		out.SourceSelf, out.TargetSelf = make([]float64, p.cross.A.N), make([]float64, p.cross.B.N)
	}
	for _, s := range all {
		f, g := p.gauged(s)
		p.spread(out, s.pair.A, s.pair, f)
		if !s.self() {
			p.spread(out, s.pair.B, s.pair, g)
		}
	}
	return out
}

// spread adds a batch's part of the potentials.
func (p *problem) spread(out *losses.Potentials, batch int, pair split.Pair, f []float64) {
	into, share := [...][]float64{out.Source, out.Target}[p.sideOf(batch)], 1.0
	if pair.Share < 0 {
		into = [...][]float64{out.SourceSelf, out.TargetSelf}[p.sideOf(batch)]
	} else if p.debias == Split {
		share = 0.5
	}
	if h := p.batches[batch]; h.Name == p.sides()[p.sideOf(batch)].Name {
		h.AddRows(into, share, f, 1)
	}
}

// movable reports whether a constant may be moved between the potentials: balanced ones are unique only up to it. Those of SamplesLoss stay as they are, for
// its derivative in a weight is f_ab - f_aa, constant included.
func (p *problem) movable() bool { return p.cross.Rho == 0 && !p.geomLoss }

// gauged are a problem's potentials in the caller's units and, if they are unique up to a constant only, with equal means.
func (p *problem) gauged(s *solved) (f, g []float64) {
	scaled := func(x []float64) []float64 { return floats.ScaleTo(make([]float64, len(x)), p.scale, x) }
	f, g = scaled(s.F), scaled(s.G)
	if p.movable() && !s.self() {
		shift := (floats.Dot(s.B.W, g)/s.B.Mass - floats.Dot(s.A.W, f)/s.A.Mass) / 2
		floats.AddConst(shift, f)
		floats.AddConst(-shift, g)
	}
	return f, g
}

// sides are source and target.
func (p *problem) sides() [2]*losses.Cloud { return [2]*losses.Cloud{p.cross.A, p.cross.B} }

// sideOf is 0 for a batch of the source, 1 for one of the target.
func (p *problem) sideOf(batch int) int { return batch * 2 / len(p.batches) }
