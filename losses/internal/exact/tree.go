package exact

// tree is a basis of the network simplex: a spanning tree over the rows, the columns and a root, which is joined to some of them by arcs that are not pairs. Arcs
// lead from rows to columns, from rows to the root, and from the root to columns, so the kind of a node tells the direction of the arc to its parent: up from
// rows, down to columns. Capacities are infinite, so only arcs of the tree carry flow.
//
// It is strongly feasible (Cunningham 1976): arcs without flow lead up, so from every node some flow can be sent to the root. That and the rule for the arc that
// leaves keep degenerate pivots from cycling.
type tree struct {
	rows   int32
	root   int32
	nodes  []node
	prices []float64 // F of rows and -G of columns, so that pivots shift all alike
	stack  []int32   // scratch of shift
	pivots int
}

// node is a node with the arc to its parent.
type node struct {
	parent     int32
	child      int32 // the first of a list, or none
	next, prev int32 // siblings, or none
	size       int32 // nodes below, and itself
	flow       int64
	cost       float64
}

const none = int32(-1)

func newTree(rows, columns int) *tree {
	count := rows + columns + 1
	t := &tree{rows: int32(rows), root: int32(count - 1), nodes: make([]node, count), prices: make([]float64, count), stack: make([]int32, count)}
	for i := range t.nodes {
		t.nodes[i] = node{parent: none, child: none, next: none, prev: none, size: 1}
	}
	return t
}

// link makes a node the first child of another.
func (t *tree) link(w, parent int32) {
	first := t.nodes[parent].child
	n := &t.nodes[w]
	n.parent, n.prev, n.next = parent, none, first
	if first != none {
		t.nodes[first].prev = w
	}
	t.nodes[parent].child = w
}

// unlink takes a node out of the children of its parent.
func (t *tree) unlink(w int32) {
	n := &t.nodes[w]
	if n.prev != none {
		t.nodes[n.prev].next = n.next
	} else {
		t.nodes[n.parent].child = n.next
	}
	if n.next != none {
		t.nodes[n.next].prev = n.prev
	}
}

// join is the nearest common ancestor: a node has more below it than its descendants have.
func (t *tree) join(u, v int32) int32 {
	for u != v {
		if t.nodes[u].size < t.nodes[v].size {
			u = t.nodes[u].parent
		} else {
			v = t.nodes[v].parent
		}
	}
	return u
}

// pivot brings the arc from a row to a column into the tree, and returns about how many nodes it looked at.
//
// Flow goes round the cycle that the arc closes. On the row's side it goes down from the join, and arcs of rows lose it; on the column's side it goes up, and
// arcs of columns do. Of those that lose all the last on the way from the join leaves.
func (t *tree) pivot(row, column int32, cost float64) (touched int) {
	t.pivots++
	join := t.join(row, column)
	leave, delta, onRow := t.blocking(row, column, join)
	by := cost - t.prices[row] + t.prices[column]
	in, to := column, row
	if onRow {
		in, to = row, column
	} else {
		by = -by
	}
	if delta > 0 {
		t.push(row, join, -delta)
		t.push(column, join, delta)
	}
	touched = t.replace(leave, join, in, to, delta, cost)
	if moved := t.nodes[in].size; 2*int(moved) <= len(t.nodes) {
		t.shift(in, none, by)
		return touched + int(moved)
	}
	t.shift(t.root, in, -by)
	return touched + len(t.nodes) - int(t.nodes[in].size)
}

// blocking is the arc that leaves, by the node below it, and the flow that goes round.
func (t *tree) blocking(row, column, join int32) (leave int32, delta int64, onRow bool) {
	leave, delta = none, 1<<62
	for w := row; w != join; w = t.nodes[w].parent {
		if n := &t.nodes[w]; w < t.rows && n.flow < delta {
			leave, delta, onRow = w, n.flow, true
		}
	}
	for w := column; w != join; w = t.nodes[w].parent {
		if n := &t.nodes[w]; w >= t.rows && n.flow <= delta {
			leave, delta, onRow = w, n.flow, false
		}
	}
	return leave, delta, onRow
}

// push adds flow to the arcs of rows, and takes it from those of columns, on the way up to the join.
func (t *tree) push(w, join int32, by int64) {
	for ; w != join; w = t.nodes[w].parent {
		if n := &t.nodes[w]; w < t.rows {
			n.flow += by
		} else {
			n.flow -= by
		}
	}
}

// replace hangs the part of the tree below the node leave from the node in, which it holds, under the node to: on the path between the two every node becomes the
// parent of its parent, and takes over the arc that it had from it.
func (t *tree) replace(leave, join, in, to int32, flow int64, cost float64) (touched int) {
	moved := t.nodes[leave].size
	for w := t.nodes[leave].parent; w != join; w = t.nodes[w].parent {
		t.nodes[w].size -= moved
		touched++
	}
	for w := to; w != join; w = t.nodes[w].parent {
		t.nodes[w].size += moved
		touched++
	}
	w, below := in, int32(0)
	for {
		n := &t.nodes[w]
		parent, size := n.parent, n.size
		t.unlink(w)
		n.size, below = moved-below, size
		n.flow, flow = flow, n.flow
		n.cost, cost = cost, n.cost
		t.link(w, to)
		touched++
		if w == leave {
			return touched
		}
		w, to = parent, w
	}
}

// shift adds to the prices of a node and all below it, but for the node skip and those below that.
func (t *tree) shift(top, skip int32, by float64) {
	stack := append(t.stack[:0], top)
	for len(stack) > 0 {
		w := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		t.prices[w] += by
		for c := t.nodes[w].child; c != none; c = t.nodes[c].next {
			if c != skip {
				stack = append(stack, c)
			}
		}
	}
}

// reprice computes the prices anew from the costs in the tree, with 0 at the root.
func (t *tree) reprice() {
	t.prices[t.root] = 0
	stack := append(t.stack[:0], t.root)
	for len(stack) > 0 {
		w := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for c := t.nodes[w].child; c != none; c = t.nodes[c].next {
			n := &t.nodes[c]
			if c < t.rows {
				t.prices[c] = t.prices[w] + n.cost
			} else {
				t.prices[c] = t.prices[w] - n.cost
			}
			stack = append(stack, c)
		}
	}
}
