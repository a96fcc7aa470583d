package exact

import (
	"context"
	"math"

	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// prices is what a look at all pairs found.
type prices struct {
	arcs  []arc     // whose reduced costs are below minus the tolerance: the least of each row
	least float64   // the least reduced cost of them; 0: there are none
	above []float64 // of each column, at least how much F_i + G_j is above any C_ij
}

const (
	// mostGroups is the most ranges of rows that are priced at once, each with columns of its own; they have some pairs at least.
	mostGroups = 16
	groupPairs = 1 << 14
	// mostNew is the most arcs that a row gets in a round.
	mostNew = 6
)

// price looks at all pairs. Those whose reduced cost is surely positive by an estimate in binary32 are left at that. The error is the context's.
func (n *network) price(ctx context.Context, f, g []float64, tolerance float64) (*prices, error) {
	if n.listed {
		return n.priceList(f, g), nil
	}
	g32, mostG := n.narrow(g)
	groups := max(1, min(mostGroups, n.n, n.n*n.m/groupPairs))
	found := make([]prices, groups)
	err := parallel.Rows(ctx, groups, parallel.TileCost, func(group, _ int, gate *parallel.Gate) {
		p := &pricer{network: n, f: f, g: g, g32: g32, tolerance: tolerance, mostG: mostG, out: &found[group]}
		p.out.above = make([]float64, n.m)
		p.run(group*n.n/groups, (group+1)*n.n/groups, gate)
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
	// Where a row has as many new arcs as it may, no reduced cost is below the least of them, and not all others were looked at.
	for j := range all.above {
		all.above[j] = max(all.above[j], -all.least)
	}
	return all, nil
}

// priceList is price where all pairs are on the list: the simplex has left none.
func (n *network) priceList(f, g []float64) *prices {
	all := &prices{above: make([]float64, n.m)}
	for _, a := range n.simplex.arcs {
		i, j := int(a.row), int(a.column)-n.n
		all.above[j] = max(all.above[j], n.slack(a.cost, f[i], g[j])-(a.cost-f[i]-g[j]))
	}
	return all
}

// slack bounds the error of a reduced cost as it is computed.
func (n *network) slack(cost, f, g float64) float64 {
	return n.costError*cost + 2*unit*(math.Abs(f)+math.Abs(g)+cost)
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
	rows      [groupRows]pricedRow
}

// pricedRow is a row while it is priced.
type pricedRow struct {
	i         int
	threshold float32 // of estimates less g
	fresh     []candidate
}

type candidate struct {
	arc
	reduced float64
}

// run prices the rows lo..end, unless the gate closes.
func (p *pricer) run(lo, end int, gate *parallel.Gate) {
	s := p.single
	scratch := newScratch()
	defer scratches.Put(scratch)
	for work := 0; lo < end; lo += groupRows {
		hi := min(end, lo+groupRows)
		for r := range hi - lo {
			p.begin(r, lo+r)
		}
		for tile := range s.tiles() {
			if work += s.tileCost(hi - lo); work > parallel.TileCost {
				if work = 0; !gate.Open() {
					return
				}
			}
			columns := s.estimate(scratch[:], lo, hi, tile)
			for r := range hi - lo {
				p.row(&p.rows[r], tile*tileColumns, scratch[r*tileColumns:][:columns])
			}
		}
		for r := range hi - lo {
			for _, c := range p.rows[r].fresh {
				p.out.arcs = append(p.out.arcs, c.arc)
			}
		}
	}
}

func (p *pricer) begin(r, i int) {
	p.rows[r].i, p.rows[r].fresh = i, p.rows[r].fresh[:0]
	p.rows[r].threshold = p.threshold(i, 0)
}

// threshold is a number such that where the difference of an estimate and g is at least that, the reduced cost is at least the given one, which is not positive. It
// allows for the error of the estimate, and a rounding each of g, the difference and the threshold.
func (p *pricer) threshold(i int, reduced float64) float32 {
	s := p.single
	limit := (p.f[i]+reduced)*s.scale + s.error(i)
	return float32(limit + 4*singleUnit*(math.Abs(limit)+p.mostG))
}

// row prices a row against columns from one on, whose costs are estimated.
func (p *pricer) row(r *pricedRow, from int, estimates []float32) {
	threshold := r.threshold
	for j, g := range p.g32[from : from+len(estimates)] {
		if estimates[j]-g < threshold {
			p.check(r, from+j)
			threshold = r.threshold
		}
	}
}

// check computes the reduced cost of a pair.
func (p *pricer) check(r *pricedRow, j int) {
	i := r.i
	cost := p.cost(i, j)
	reduced := cost - p.f[i] - p.g[j]
	p.out.above[j] = max(p.out.above[j], p.slack(cost, p.f[i], p.g[j])-reduced)
	if reduced >= -p.tolerance {
		return
	}
	p.out.least = min(p.out.least, reduced)
	c := candidate{arc{int32(i), int32(p.n + j), cost}, reduced}
	if len(r.fresh) < mostNew {
		r.fresh = append(r.fresh, c)
	} else if worst := r.worst(); reduced < r.fresh[worst].reduced {
		r.fresh[worst] = c
	}
	if len(r.fresh) == mostNew {
		// Prices are not final then, so that others no longer matter.
		r.threshold = p.threshold(i, r.fresh[r.worst()].reduced)
	}
}

// worst is the candidate with the largest reduced cost.
func (r *pricedRow) worst() (at int) {
	for k, c := range r.fresh {
		if c.reduced > r.fresh[at].reduced {
			at = k
		}
	}
	return at
}
