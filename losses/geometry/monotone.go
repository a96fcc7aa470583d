package geometry

import (
	"context"

	"kantor/losses"
	"kantor/losses/internal/memory"
	"kantor/losses/internal/order"
	"kantor/losses/internal/parallel"
)

// rankBytes is what a pair takes while the order of all is found: two distances, two sorted items and the sort's memory.
const rankBytes = 8*2 + 16*2 + 24

// pair is where the pair of rows j < i stands.
func pair(i, j int) int { return i*(i-1)/2 + j }

// monotone fits the increasing function of the data's distances: it sorts the pairs by those, equal ones by the codes', and pools neighbours whose order is
// wrong (Kruskal 1964, Numerical method, section 5).
func (p *problem) monotone(ctx context.Context, total sums, want losses.Want) (*fit, error) {
	release, err := memory.Acquire(ctx, min(memory.Total(), int64(p.pairs()*rankBytes)))
	if err != nil {
		return nil, err
	}
	defer release()
	d, e := make([]float64, p.pairs()), make([]float64, p.pairs())
	if err := p.each(ctx, func(i, j int, ofCodes, ofData float64) { d[pair(i, j)], e[pair(i, j)] = ofCodes, ofData }); err != nil {
		return nil, err
	}
	out := &fit{norm: total.dd}
	err = parallel.Do(ctx, func(gate *parallel.Gate) {
		s := &sorting{gate: gate, items: make([]order.Item, len(d))}
		if want.Extras["correlation"] {
			out.rho = s.spearman(d, e)
		}
		s.both(d, e)
		s.pool(d, e)
	})
	// The fit takes the place of the distances between data.
	out.of = func(i, j int, _ float64) float64 { return e[pair(i, j)] }
	return out, err
}

// sorting sorts pairs. Once the gate has closed what it leaves means nothing.
type sorting struct {
	order.Sorter
	gate  *parallel.Gate
	items []order.Item
}

// both puts the pairs into the order of e, and of d where e is equal: by d first, then, since the sort is stable, by e.
func (s *sorting) both(d, e []float64) {
	if !s.Sort(s.gate, s.items, d) {
		return
	}
	first, sorted := make([]int32, len(d)), make([]float64, len(d))
	for k, item := range s.items {
		first[k], sorted[k] = item.Index, e[item.Index]
	}
	if !s.Sort(s.gate, s.items, sorted) {
		return
	}
	for k, item := range s.items {
		s.items[k].Index = first[item.Index]
	}
}

// pool writes the best increasing fit to d in the order of the items into fitted. A block is the mean of what was pooled.
func (s *sorting) pool(d, fitted []float64) {
	type block struct {
		mean float64
		size int32
	}
	var blocks []block
	order.Stretches(s.gate, len(s.items), func(from, to int) {
		for _, item := range s.items[from:to] {
			b := block{d[item.Index], 1}
			for len(blocks) > 0 && blocks[len(blocks)-1].mean >= b.mean {
				last := blocks[len(blocks)-1]
				size := last.size + b.size
				b = block{last.mean + (b.mean-last.mean)*(float64(b.size)/float64(size)), size}
				blocks = blocks[:len(blocks)-1]
			}
			blocks = append(blocks, b)
		}
	})
	at := 0
	for _, b := range blocks {
		for range b.size {
			fitted[s.items[at].Index] = b.mean
			at++
		}
	}
}

// spearman is the correlation of the ranks of d and e.
func (s *sorting) spearman(d, e []float64) float64 {
	x, y := s.ranks(d), s.ranks(e)
	var total sums
	if x == nil || y == nil {
		return 0
	}
	for k, v := range x {
		total.add(v, y[k])
	}
	return pearson(float64(len(d)), total)
}

// ranks are the places of the values around their mean, from -1 to 1, the mean place where values are equal; nil: the gate closed.
func (s *sorting) ranks(values []float64) []float64 {
	if !s.Sort(s.gate, s.items, values) {
		return nil
	}
	out, n := make([]float64, len(values)), float64(len(values))
	for from := 0; from < len(s.items); {
		to := from
		for to < len(s.items) && s.items[to].At == s.items[from].At {
			to++
		}
		for _, item := range s.items[from:to] {
			out[item.Index] = (float64(from+to-1) - (n - 1)) / n
		}
		from = to
	}
	return out
}
