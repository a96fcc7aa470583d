package exact

import (
	"context"
	"fmt"
	"math"
	"slices"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/memory"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// network is a problem between the points that have mass.
type network struct {
	problem         Problem
	masses          *masses
	a, b            *losses.Cloud // points with mass only
	n, m            int           // how many those are
	rowAt, columnAt []int32       // where they are in the problem
	supply, demand  []int64
	costError       float64 // relative

	single   *single
	center   []float64 // of its coordinates
	exponent int       // of two, by which they are scaled

	simplex simplex
	listed  bool    // all pairs are on its list
	premium float64 // of flow through the root
	rounds  int
}

// dense is the most pairs of which all are on the list from the beginning.
const dense = 96 * 96

func newNetwork(p Problem, m *masses) *network {
	n := &network{problem: p, masses: m, costError: p.costError()}
	n.a, n.supply, n.rowAt = withMass(p.A, m.a)
	n.b, n.demand, n.columnAt = withMass(p.B, m.b)
	n.n, n.m = n.a.N, n.b.N
	return n
}

// withMass is the part of a cloud that has mass.
func withMass(c *losses.Cloud, units []int64) (*losses.Cloud, []int64, []int32) {
	at, left := make([]int32, 0, c.N), make([]int64, 0, c.N)
	for i, u := range units {
		if u > 0 {
			at, left = append(at, int32(i)), append(left, u)
		}
	}
	if len(at) == c.N {
		return c, left, at
	}
	part := &losses.Cloud{Name: c.Name, N: len(at), D: c.D, Mass: c.Mass, Single: c.Single}
	for _, i := range at {
		part.X = append(part.X, c.X[int(i)*c.D:(int(i)+1)*c.D]...)
		part.W = append(part.W, c.W[i])
	}
	return part, left, at
}

// cost is that of a pair of points with mass.
func (n *network) cost(i, j int) float64 {
	d := n.a.D
	return n.problem.Cost.Of(n.a.X[i*d:i*d+d], n.b.X[j*d:j*d+d])
}

// stored is how many bytes of pairs are stored between n and m points: the kernel of entropic transport.
func stored(cost vec.Cost, n, m int) int64 {
	if n*m <= dense {
		return 0
	}
	return entropic.Problem{Cost: cost, A: &losses.Cloud{N: n, Single: true}, B: &losses.Cloud{N: m, Single: true}}.Stored(looseTolerance, false)
}

func solveNetwork(ctx context.Context, p Problem, m *masses) (*Solution, error) {
	n := newNetwork(p, m)
	n.scale()
	release, err := memory.Acquire(ctx, stored(p.Cost, n.n, n.m))
	if err != nil {
		return nil, err
	}
	defer release()
	if err := n.begin(ctx); err != nil {
		return nil, err
	}
	found, err := n.solve(ctx)
	if err != nil {
		return nil, err
	}
	return n.solution(ctx, found)
}

// scale makes the clouds in binary32.
func (n *network) scale() {
	lo, hi := n.problem.box()
	size := math.Sqrt(2 * vec.HalfSquared.Of(lo, hi))
	if size > 0 && !math.IsInf(size, 0) {
		_, e := math.Frexp(size)
		n.exponent = max(-1000, min(1000, -e))
	}
	n.center = entropic.Mean(n.b)
	n.single = newSingle(n.problem.Cost, n.a, n.b, n.center, n.exponent)
}

// begin makes the first list of arcs and the first tree.
func (n *network) begin(ctx context.Context) (err error) {
	s := &n.simplex
	s.tree = newTree(n.n, n.m)
	var f, g, reduced []float64
	if n.listed = n.n*n.m <= dense; n.listed {
		f, g, reduced = n.all()
		_, most := extent(reduced)
		n.premium = 4 * most
	} else if f, g, reduced, err = n.short(ctx); err != nil {
		return err
	}
	return parallel.Do(ctx, func(*parallel.Gate) {
		s.begin(n.supply, n.demand, f, g, n.premium, ascending(reduced))
	})
}

// strategy says how it was solved, for people.
func (n *network) strategy() string {
	if n.listed {
		return "network simplex, all pairs"
	}
	return fmt.Sprintf("network simplex, shortlist of %d pairs a point, %d pricing rounds", 2*(likeliest+samples), n.rounds)
}

// all is the list of all pairs, with potentials that are below all costs: the least cost of every row, and of every column what is left of it.
func (n *network) all() (f, g, reduced []float64) {
	f, g = make([]float64, n.n), make([]float64, n.m)
	for j := range g {
		g[j] = math.Inf(1)
	}
	arcs := make([]arc, 0, n.n*n.m)
	for i := range n.n {
		f[i] = math.Inf(1)
		for j := range n.m {
			c := n.cost(i, j)
			f[i] = min(f[i], c)
			arcs = append(arcs, arc{int32(i), int32(n.n + j), c})
		}
		for j, a := range arcs[i*n.m:] {
			g[j] = min(g[j], a.cost-f[i])
		}
	}
	reduced = make([]float64, len(arcs))
	for k, a := range arcs {
		reduced[k] = a.cost - f[a.row] - g[int(a.column)-n.n]
	}
	n.simplex.arcs = arcs
	return f, g, reduced
}

// ascending orders numbers roughly: by thousands of their range.
func ascending(x []float64) []int32 {
	const buckets = 1024
	order := make([]int32, len(x))
	if len(x) == 0 {
		return order
	}
	low, high := extent(x)
	by := 0.0
	if high > low {
		by = (buckets - 1) / (high - low)
	}
	var start [buckets + 1]int32
	bucket := func(v float64) int { return int((v - low) * by) }
	for _, v := range x {
		start[bucket(v)+1]++
	}
	for b := range buckets {
		start[b+1] += start[b]
	}
	for k, v := range x {
		b := bucket(v)
		order[start[b]] = int32(k)
		start[b]++
	}
	return order
}

// extent is the least and the largest of some numbers.
func extent(x []float64) (low, high float64) {
	low, high = x[0], x[0]
	for _, v := range x {
		if v < low {
			low = v
		}
		if v > high {
			high = v
		}
	}
	return low, high
}

// solve alternates between the simplex over the list and a look at all pairs, until that finds none that should be on it.
func (n *network) solve(ctx context.Context) (*prices, error) {
	s := &n.simplex
	pivots := -1
	for {
		if err := parallel.Do(ctx, func(gate *parallel.Gate) { s.run(gate) }); err != nil {
			return nil, err
		}
		f, g := n.potentials()
		found, err := n.price(ctx, f, g, s.tolerance)
		if err != nil {
			return nil, err
		}
		n.rounds++
		switch {
		case len(found.arcs) > 0 && s.pivots != pivots:
			pivots = s.pivots
			n.add(found.arcs)
		case s.through():
			s.raise(3 * n.premium)
			n.premium *= 4
			pivots = -1
		default:
			return found, nil
		}
	}
}

// add puts arcs on the list, which stays sorted.
func (n *network) add(arcs []arc) { n.simplex.arcs = append(n.simplex.arcs, arcs...) }

// potentials are those of the tree.
func (n *network) potentials() (f, g []float64) {
	f, g = slices.Clone(n.simplex.prices[:n.n]), make([]float64, n.m)
	for j := range g {
		g[j] = -n.simplex.prices[n.n+j]
	}
	return f, g
}
