package exact

import (
	"context"
	"math"

	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// prices is what a look at all pairs found.
type prices struct {
	arcs  []arc     // reduced costs below the tolerance: of each row those that were the least in some tile of columns
	least float64   // the least of them; 0: there are none
	above []float64 // of each column, at least how much F_i + G_j is above C_ij anywhere
}

const (
	priceGroups = 16
	// mostNew is the most arcs that a row gets in a look at a tile of columns.
	mostNew = 4
)

// price looks at all pairs. Those whose reduced cost is surely positive by an estimate in binary32 are left at that. The error is the context's.
func (n *network) price(ctx context.Context, f, g []float64, tolerance float64) (*prices, error) {
	s := n.single
	g32, mostG := n.narrow(g)
	groups := min(priceGroups, s.n)
	found := make([]prices, groups)
	err := parallel.Rows(ctx, groups, parallel.TileCost, func(group, _ int, gate *parallel.Gate) {
		p := &pricer{network: n, f: f, g: g, g32: g32, tolerance: tolerance, mostG: mostG, out: &found[group]}
		p.out.above = make([]float64, s.m)
		scratch := make([]float32, groupRows*tileColumns)
		work := 0
		for lo, end := group*s.n/groups, (group+1)*s.n/groups; lo < end; lo += groupRows {
			hi := min(end, lo+groupRows)
			for tile := range s.tiles() {
				if work += (hi - lo) * tileColumns * (s.d + 16) / 4; work > parallel.TileCost {
					if work = 0; !gate.Open() {
						return
					}
				}
				columns := s.estimate(scratch, lo, hi, tile)
				for i := lo; i < hi; i++ {
					p.row(i, tile*tileColumns, scratch[(i-lo)*tileColumns:][:columns])
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	all := &found[0]
	for _, p := range found[1:] {
		all.arcs = append(all.arcs, p.arcs...)
		all.least = min(all.least, p.least)
		for j, v := range p.above {
			all.above[j] = max(all.above[j], v)
		}
	}
	return all, nil
}

// narrow is potentials in the units of the estimates, and the largest of them.
func (n *network) narrow(g []float64) (g32 []float32, most float64) {
	g32 = make([]float32, (len(g)+vec.Pad-1)/vec.Pad*vec.Pad)
	for j, v := range g {
		g32[j] = float32(v * n.single.scale)
		most = max(most, math.Abs(v*n.single.scale))
	}
	return g32, most
}

// pricer prices the rows of a group.
type pricer struct {
	*network
	f, g      []float64
	g32       []float32
	mostG     float64
	tolerance float64
	out       *prices
	fresh     []candidate
}

type candidate struct {
	arc
	reduced float64
}

// row prices a row against columns from one on, whose costs are estimated. Where the difference of an estimate and g is at least the threshold, which allows for
// the error of the estimate and a rounding each of g, the difference and the threshold, C_ij is at least F_i + G_j.
func (p *pricer) row(i, from int, estimates []float32) {
	s := p.single
	f := p.f[i] * s.scale
	limit := f + s.error(i)
	threshold := float32(limit + 4*singleUnit*(math.Abs(limit)+p.mostG))
	p.fresh = p.fresh[:0]
	for j, g := range p.g32[from : from+len(estimates)] {
		if estimates[j]-g < threshold {
			p.check(i, from+j)
		}
	}
	for _, c := range p.fresh {
		p.out.arcs = append(p.out.arcs, c.arc)
	}
}

// check computes the reduced cost of a pair.
func (p *pricer) check(i, j int) {
	cost := p.cost(i, j)
	reduced := cost - p.f[i] - p.g[j]
	slack := p.costError*cost + 2*unit*(math.Abs(p.f[i])+math.Abs(p.g[j])+cost)
	p.out.above[j] = max(p.out.above[j], slack-reduced)
	if reduced >= -p.tolerance {
		return
	}
	p.out.least = min(p.out.least, reduced)
	c := candidate{arc{int32(i), int32(p.n + j), cost}, reduced}
	if len(p.fresh) < mostNew {
		p.fresh = append(p.fresh, c)
		return
	}
	worst := 0
	for k := range p.fresh {
		if p.fresh[k].reduced > p.fresh[worst].reduced {
			worst = k
		}
	}
	if reduced < p.fresh[worst].reduced {
		p.fresh[worst] = c
	}
}
