package exact

import (
	"math"

	"kantor/losses/internal/parallel"
)

// arc is a pair that may enter the tree. The column is a node.
type arc struct {
	row, column int32
	cost        float64
}

// simplex walks from tree to tree over a list of arcs.
type simplex struct {
	*tree
	arcs      []arc
	at        int     // where the search goes on
	tolerance float64 // reduced costs above minus this count as 0
}

const (
	repriced = 2048 // pivots between which rounding may add up in prices
	nodeCost = 16   // of a node that a pivot looks at, in units of [parallel.TileCost]
	// resolved is the least reduced cost that is told from rounding, as a part of the largest price.
	resolved = 64 * unit
)

// refresh computes prices anew, and what is told from rounding in them: less after very many pivots, so that they come to an end though rounding should lead them
// in circles.
func (s *simplex) refresh() {
	s.reprice()
	largest := 0.0
	for _, v := range s.prices {
		largest = max(largest, math.Abs(v))
	}
	s.tolerance = resolved * largest * (1 + float64(s.pivots)/float64(1024*len(s.nodes)))
}

// run pivots until no arc of the list has a reduced cost below 0. The arc that enters is the best of a block, and the next block is searched from there on (Kelly,
// O'Neill 1991, section 4). It reports whether the gate let it end.
func (s *simplex) run(gate *parallel.Gate) bool {
	block := max(16, int(math.Sqrt(float64(len(s.arcs)))/2))
	s.refresh()
	work, next := 0, s.pivots+repriced
	for quiet := 0; quiet < len(s.arcs); {
		end := min(s.at+block, len(s.arcs))
		best := s.best(s.arcs[s.at:end])
		quiet += end - s.at
		work += end - s.at
		if best >= 0 {
			a := s.arcs[s.at+best]
			work += nodeCost * s.pivot(a.row, a.column, a.cost)
			quiet = 0
		}
		if s.at = end; end == len(s.arcs) {
			s.at = 0
		}
		if s.pivots >= next {
			s.refresh()
			next += repriced
		}
		if work > parallel.TileCost {
			if work = 0; !gate.Open() {
				return false
			}
		}
	}
	s.refresh()
	return true
}

// best is the arc of the least reduced cost below 0, or none.
func (s *simplex) best(arcs []arc) int {
	least, at := -s.tolerance, int(none)
	prices := s.prices
	for k := range arcs {
		a := &arcs[k]
		if reduced := a.cost - prices[a.row] + prices[a.column]; reduced < least {
			least, at = reduced, k
		}
	}
	return at
}

// begin makes the first tree. In order of their reduced costs arcs are given what flow is left at both of their nodes; each uses up one of the two, so they
// close no cycle, and of every tree that they form at most one node has something left. That node hangs from the root, or any row.
//
// The arc to the root of a row costs its potential, that of a column its potential and a premium, so that flow through the root costs the premium beyond what the
// potentials say a pair should.
func (s *simplex) begin(supply, demand []int64, f, g []float64, premium float64, order []int32) {
	rows, left := int(s.rows), append(append([]int64(nil), supply...), demand...)
	given := make([]entry, 0, len(left))
	for _, k := range order {
		a := &s.arcs[k]
		if flow := min(left[a.row], left[a.column]); flow > 0 {
			left[a.row] -= flow
			left[a.column] -= flow
			given = append(given, entry{k, flow})
		}
	}
	forest := newForest(len(left), s.arcs, given)
	for w, flow := range left {
		if flow > 0 {
			s.hang(forest, int32(w), flow, rows, f, g, premium)
		}
	}
	for i := range rows {
		if s.nodes[i].parent == none {
			s.hang(forest, int32(i), 0, rows, f, g, premium)
		}
	}
	s.resize()
}

// hang hangs a node with all that it is joined to from the root.
func (s *simplex) hang(f *forest, w int32, flow int64, rows int, rowPrices, columnPrices []float64, premium float64) {
	cost := 0.0
	if int(w) < rows {
		cost = rowPrices[w]
	} else {
		cost = columnPrices[int(w)-rows] + premium
	}
	s.nodes[w].flow, s.nodes[w].cost = flow, cost
	s.link(w, s.root)
	stack := append(s.stack[:0], w)
	for len(stack) > 0 {
		w := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, e := range f.of(w) {
			a := &s.arcs[e.arc]
			other := a.row + a.column - w
			if s.nodes[other].parent != none {
				continue
			}
			s.nodes[other].flow, s.nodes[other].cost = e.flow, a.cost
			s.link(other, w)
			stack = append(stack, other)
		}
	}
}

// entry is the flow of an arc of the list.
type entry struct {
	arc  int32
	flow int64
}

// forest is the entries at every node.
type forest struct {
	start   []int32
	entries []entry
}

func newForest(nodes int, arcs []arc, given []entry) *forest {
	f := &forest{start: make([]int32, nodes+1), entries: make([]entry, 2*len(given))}
	for _, e := range given {
		f.start[arcs[e.arc].row]++
		f.start[arcs[e.arc].column]++
	}
	total := int32(0)
	for i, n := range f.start {
		total += n
		f.start[i] = total
	}
	for _, e := range given {
		for _, w := range [2]int32{arcs[e.arc].row, arcs[e.arc].column} {
			f.start[w]--
			f.entries[f.start[w]] = e
		}
	}
	return f
}

func (f *forest) of(w int32) []entry { return f.entries[f.start[w]:f.start[w+1]] }

// resize counts the nodes below every node.
func (s *simplex) resize() {
	order := append(make([]int32, 0, len(s.nodes)), s.root)
	for k := 0; k < len(order); k++ {
		for c := s.nodes[order[k]].child; c != none; c = s.nodes[c].next {
			order = append(order, c)
		}
	}
	for i := range s.nodes {
		s.nodes[i].size = 1
	}
	for k := len(order) - 1; k > 0; k-- {
		w := order[k]
		s.nodes[s.nodes[w].parent].size += s.nodes[w].size
	}
}

// through reports whether flow goes through the root, so that it does not go from row to column.
func (s *simplex) through() bool {
	for c := s.nodes[s.root].child; c != none; c = s.nodes[c].next {
		if c >= s.rows && s.nodes[c].flow > 0 {
			return true
		}
	}
	return false
}

// raise adds to the premium.
func (s *simplex) raise(by float64) {
	for c := s.nodes[s.root].child; c != none; c = s.nodes[c].next {
		if c >= s.rows {
			s.nodes[c].cost += by
		}
	}
}
