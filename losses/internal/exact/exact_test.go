package exact

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/internal/vec"
)

// cloud makes a cloud of rows with weights; nil: uniform ones.
func cloud(x []float64, d int, w []float64) *losses.Cloud {
	c := &losses.Cloud{N: len(x) / d, D: d, X: x, W: w}
	if w == nil {
		c.W = make([]float64, c.N)
		for i := range c.W {
			c.W[i] = 1 / float64(c.N)
		}
	}
	for _, v := range c.W {
		c.Mass += v
	}
	return c
}

// solved solves and checks what holds for every solution.
func solved(t testing.TB, p Problem) *Solution {
	t.Helper()
	s, err := Solve(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	checkPlan(t, p, s)
	checkDual(t, p, s)
	if !(s.Lower <= s.Value && s.Value <= s.Upper) {
		t.Fatalf("value %v outside [%v,%v]", s.Value, s.Lower, s.Upper)
	}
	return s
}

// checkPlan checks that the plan is sorted, sparse, and has the marginals.
func checkPlan(t testing.TB, p Problem, s *Solution) {
	t.Helper()
	if len(s.Plan) > p.A.N+p.B.N-1 {
		t.Fatalf("%d entries for %d and %d points", len(s.Plan), p.A.N, p.B.N)
	}
	rows, columns := make([]float64, p.A.N), make([]float64, p.B.N)
	value := 0.0
	for k, e := range s.Plan {
		if !(e.Mass > 0) {
			t.Fatalf("entry %v", e)
		}
		if k > 0 {
			if last := s.Plan[k-1]; last.I > e.I || last.I == e.I && last.J >= e.J {
				t.Fatalf("entry %v after %v", e, last)
			}
		}
		rows[e.I] += e.Mass
		columns[e.J] += e.Mass
		value += e.Mass * p.pair(int(e.I), int(e.J))
	}
	for i, w := range p.A.W {
		if math.Abs(rows[i]-w) > 1e-14*p.A.Mass {
			t.Fatalf("row %d has mass %v, want %v", i, rows[i], w)
		}
	}
	for j, w := range p.B.W {
		if math.Abs(columns[j]-w) > 1e-14*p.A.Mass {
			t.Fatalf("column %d has mass %v, want %v", j, columns[j], w)
		}
	}
	if math.Abs(value-s.Value) > 1e-12*value {
		t.Fatalf("the plan costs %v, the value is %v", value, s.Value)
	}
}

// checkDual checks feasibility and complementary slackness.
func checkDual(t testing.TB, p Problem, s *Solution) {
	t.Helper()
	most := p.largest()
	for _, x := range [][]float64{s.F, s.G} {
		for _, v := range x {
			most = max(most, math.Abs(v))
		}
	}
	tolerance := float64(p.A.N+p.B.N+64) * unit * most
	for i, f := range s.F {
		for j, g := range s.G {
			if c := p.pair(i, j); f+g > c+tolerance {
				t.Fatalf("F_%d + G_%d = %v above the cost %v by %v, tolerance %v", i, j, f+g, c, f+g-c, tolerance)
			}
		}
	}
	for _, e := range s.Plan {
		if c := p.pair(int(e.I), int(e.J)); math.Abs(s.F[e.I]+s.G[e.J]-c) > tolerance {
			t.Fatalf("F_%d + G_%d = %v differs from the cost %v where the plan moves mass", e.I, e.J, s.F[e.I]+s.G[e.J], c)
		}
	}
}

// shortestPaths is the optimum by successive shortest paths (Ahuja, Magnanti, Orlin 1993, section 9.7) with Bellman and Ford's iteration over all pairs: slow and
// plain.
func shortestPaths(cost func(i, j int) float64, supply, demand []int64) float64 {
	n, m := len(supply), len(demand)
	flow := make([][]int64, n)
	for i := range flow {
		flow[i] = make([]int64, m)
	}
	left, wanted := append([]int64(nil), supply...), append([]int64(nil), demand...)
	for {
		distX, distY := make([]float64, n), make([]float64, m)
		fromX, fromY := make([]int, n), make([]int, m)
		for i := range distX {
			distX[i], fromX[i] = math.Inf(1), -1
			if left[i] > 0 {
				distX[i] = 0
			}
		}
		for j := range distY {
			distY[j] = math.Inf(1)
		}
		for changed := true; changed; {
			changed = false
			for i := range n {
				for j := range m {
					c := cost(i, j)
					if d := distX[i] + c; d < distY[j]-1e-13*(1+c) {
						distY[j], fromY[j], changed = d, i, true
					}
					if d := distY[j] - c; flow[i][j] > 0 && d < distX[i]-1e-13*(1+c) {
						distX[i], fromX[i], changed = d, j, true
					}
				}
			}
		}
		end := -1
		for j := range m {
			if wanted[j] > 0 && (end < 0 || distY[j] < distY[end]) {
				end = j
			}
		}
		if end < 0 {
			break
		}
		most := wanted[end]
		j := end
		i := fromY[j]
		for fromX[i] >= 0 {
			j = fromX[i]
			most = min(most, flow[i][j])
			i = fromY[j]
		}
		most = min(most, left[i])
		left[i] -= most
		wanted[end] -= most
		for j = end; ; j = fromX[i] {
			i = fromY[j]
			flow[i][j] += most
			if fromX[i] < 0 {
				break
			}
			flow[i][fromX[i]] -= most
		}
	}
	total := 0.0
	for i := range n {
		for j := range m {
			total += float64(flow[i][j]) * cost(i, j)
		}
	}
	return total
}

// randomProblem is a random problem with whatever makes trouble: lattices with ties, duplicates, points without weight.
func randomProblem(r *rand.Rand, n, m, d int) Problem {
	kind, weights := r.IntN(4), r.IntN(4)
	points := func(n int, scale, shift float64) []float64 {
		x := make([]float64, n*d)
		for i := range x {
			switch kind {
			case 0:
				x[i] = float64(r.IntN(3))
			case 1:
				x[i] = 1e4 + scale*r.NormFloat64() + shift
			default:
				x[i] = scale*r.NormFloat64() + shift
			}
		}
		if kind == 2 {
			for i := range n / 2 {
				copy(x[(n-1-i)*d:(n-i)*d], x[i*d:])
			}
		}
		return x
	}
	weight := func(n int) []float64 {
		if weights == 0 {
			return nil
		}
		w, total := make([]float64, n), 0.0
		for i := range w {
			switch {
			case weights == 1:
				w[i] = float64(r.IntN(4))
			case weights == 2:
				w[i] = r.ExpFloat64()
			default:
				w[i] = math.Exp(10 * r.NormFloat64())
			}
			total += w[i]
		}
		if total == 0 {
			w[0], total = 1, 1
		}
		for i := range w {
			w[i] /= total
		}
		return w
	}
	return Problem{Cost: vec.Cost(r.IntN(2)), A: cloud(points(n, .7, .2), d, weight(n)), B: cloud(points(m, 1, 0), d, weight(m))}
}

func TestNetworkAgreesWithShortestPaths(t *testing.T) {
	r := losstest.Random(1)
	for k := range 300 {
		n, m, d := 1+r.IntN(14), 1+r.IntN(14), 2+r.IntN(4)
		p := randomProblem(r, n, m, d)
		s := solved(t, p)
		ms := newMasses(p.A, p.B)
		want := ms.unit * shortestPaths(p.pair, ms.a, ms.b)
		if math.Abs(s.Value-want) > 1e-11*(1+want) {
			t.Fatalf("case %d, %d x %d: value %v, want %v", k, n, m, s.Value, want)
		}
		if s.Upper-s.Lower > 1e-12*(1+p.largest()) {
			t.Fatalf("case %d: interval [%v,%v] is %v wide", k, s.Lower, s.Upper, s.Upper-s.Lower)
		}
	}
}

func TestShortlistsAgreeWithAllPairs(t *testing.T) {
	r := losstest.Random(2)
	for k := range 40 {
		n, m, d := 40+r.IntN(200), 100+r.IntN(200), 2+r.IntN(8)
		p := randomProblem(r, n, m, d)
		s := solved(t, p)
		if s.Upper-s.Lower > 1e-11*(1+p.largest()) {
			t.Fatalf("case %d: interval [%v,%v] is %v wide, %v", k, s.Lower, s.Upper, s.Upper-s.Lower, s.Strategy)
		}
	}
}

func TestLineAgreesWithNetwork(t *testing.T) {
	r := losstest.Random(3)
	for k := range 200 {
		p := randomProblem(r, 1+r.IntN(40), 1+r.IntN(40), 1)
		line := solved(t, p)
		flat := p
		flat.A, flat.B = lifted(p.A), lifted(p.B)
		plane := solved(t, flat)
		if math.Abs(line.Value-plane.Value) > 1e-12*(1e-3+line.Value) {
			t.Fatalf("case %d: %v on the line, %v by the network", k, line.Value, plane.Value)
		}
	}
}

// lifted is a cloud on a line in the plane.
func lifted(c *losses.Cloud) *losses.Cloud {
	x := make([]float64, 2*c.N)
	for i, v := range c.X {
		x[2*i] = v
	}
	return cloud(x, 2, c.W)
}

func benchmarkProblem(n, d int, cost vec.Cost) Problem {
	r := losstest.Random(uint64(n + d))
	points := func(scale, shift float64) []float64 {
		x := make([]float64, n*d)
		for i := range x {
			x[i] = float64(float32(scale*r.NormFloat64() + shift))
		}
		return x
	}
	return Problem{Cost: cost, A: cloud(points(.7, .2), d, nil), B: cloud(points(1, 0), d, nil)}
}

func BenchmarkSolve(b *testing.B) {
	for _, d := range []int{2, 16} {
		for _, n := range []int{64, 256, 1024, 4096} {
			for _, cost := range []vec.Cost{vec.Distance, vec.HalfSquared} {
				b.Run(fmt.Sprintf("D=%d/N=%d/p=%d", d, n, map[vec.Cost]int{vec.Distance: 1, vec.HalfSquared: 2}[cost]), func(b *testing.B) {
					p := benchmarkProblem(n, d, cost)
					var s *Solution
					for b.Loop() {
						s, _ = Solve(b.Context(), p)
					}
					b.ReportMetric(float64(s.Pivots), "pivots")
					b.ReportMetric(float64(s.Rounds), "rounds")
					b.ReportMetric((s.Upper-s.Lower)/s.Value, "gap")
				})
			}
		}
	}
}
