package exact

import (
	"testing"

	"kantor/losses/internal/losstest"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// checkTree checks that the parents and the children, sizes and flows of a tree belong together, and that arcs without flow lead up.
func checkTree(t *testing.T, n *network) {
	t.Helper()
	tree := n.simplex.tree
	sizes, out := make([]int32, len(tree.nodes)), make([]int64, len(tree.nodes))
	seen := 0
	var visit func(w int32)
	visit = func(w int32) {
		seen++
		sizes[w]++
		last := none
		for c := tree.nodes[w].child; c != none; c = tree.nodes[c].next {
			node := &tree.nodes[c]
			if node.parent != w || node.prev != last {
				t.Fatalf("node %d is a child of %d after %d, and says of %d after %d", c, w, last, node.parent, node.prev)
			}
			if node.flow < 0 || node.flow == 0 && c >= tree.rows {
				t.Fatalf("node %d of %d rows has a flow of %d", c, tree.rows, node.flow)
			}
			visit(c)
			sizes[w] += sizes[c]
			if c < tree.rows {
				out[c] += node.flow
				out[w] -= node.flow
			} else {
				out[c] -= node.flow
				out[w] += node.flow
			}
			last = c
		}
	}
	visit(tree.root)
	if seen != len(tree.nodes) {
		t.Fatalf("the tree has %d of %d nodes", seen, len(tree.nodes))
	}
	for w := range tree.nodes {
		want := int64(0)
		switch {
		case w < n.n:
			want = n.supply[w]
		case w < n.n+n.m:
			want = -n.demand[w-n.n]
		}
		if out[w] != want || sizes[w] != tree.nodes[w].size {
			t.Fatalf("node %d sends %d, want %d, and has %d below, want %d", w, out[w], want, tree.nodes[w].size, sizes[w])
		}
	}
}

// Every pivot leaves a strongly feasible tree (Cunningham 1976, theorem 2), uniform weights, with which most pivots move nothing, among the others.
func TestTreesStayStronglyFeasible(t *testing.T) {
	r := losstest.Random(31)
	for k := range 40 {
		p := randomProblem(r, 1+r.IntN(40), 1+r.IntN(40), 2)
		if k%2 == 0 {
			p = Problem{Cost: vec.Distance, A: cloud(normal(r, 40, 2, 1, 0), 2, nil), B: cloud(normal(r, 40, 2, 1, 0), 2, nil)}
		}
		n := newNetwork(p, newMasses(p.A, p.B))
		n.scale()
		if err := n.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		checkTree(t, n)
		s := &n.simplex
		s.refresh()
		for at, quiet := 0, 0; quiet < len(s.arcs); at, quiet = (at+1)%len(s.arcs), quiet+1 {
			if s.best(s.arcs[at:at+1]) == 0 {
				s.pivot(s.arcs[at].row, s.arcs[at].column, s.arcs[at].cost)
				checkTree(t, n)
				quiet = 0
			}
		}
		pivots := s.pivots
		if err := parallel.Do(t.Context(), func(gate *parallel.Gate) { s.run(gate) }); err != nil || s.pivots > pivots+2 {
			t.Fatalf("%d pivots were left, %v", s.pivots-pivots, err)
		}
	}
}
