package exact

import (
	"context"
	"math"
	"testing"

	"kantor/losses/internal/losstest"
	"kantor/losses/internal/vec"
)

// fataler is a test, or a case of a property.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// solved solves and checks what holds for every solution.
func solved(t fataler, p Problem) *Solution {
	t.Helper()
	s, err := Solve(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	checkPlan(t, p, s)
	checkDual(t, p, s)
	if !(s.Lower <= s.Value && s.Value <= s.Upper) {
		t.Fatalf("value %v outside [%v,%v]", s.Value, s.Lower, s.Upper)
	}
	// The interval is as wide as rounding alone makes it, which is relative to the largest cost where a column is tight with a point that is far away.
	if most := (64*unit+4*p.costError())*p.largest()*p.A.Mass + 1e-290; s.Upper-s.Lower > most {
		t.Fatalf("interval [%v,%v] is %v wide, want at most %v; %s", s.Lower, s.Upper, s.Upper-s.Lower, most, s.Strategy)
	}
	return s
}

// checkPlan checks that the plan is sorted, sparse, and has the marginals.
func checkPlan(t fataler, p Problem, s *Solution) {
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
func checkDual(t fataler, p Problem, s *Solution) {
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

// brute is the optimum between clouds of equal size and uniform weights, over all assignments.
func brute(p Problem) float64 {
	least := math.Inf(1)
	permutations(p.A.N, func(order []int) {
		total := 0.0
		for i, j := range order {
			total += p.pair(i, j)
		}
		least = min(least, total)
	})
	return least / float64(p.A.N)
}

func TestAssignmentsAgreeWithBruteForce(t *testing.T) {
	r := losstest.Random(1)
	for k := range 200 {
		n, d := 1+r.IntN(7), 1+r.IntN(4)
		p := randomProblem(r, n, n, d)
		p.A, p.B = cloud(p.A.X, d, nil), cloud(p.B.X, d, nil)
		if d == 1 && k%2 == 0 {
			p.Power = 1 + 2*r.Float64()
		}
		s, want := solved(t, p), brute(p)
		if math.Abs(s.Value-want) > 1e-13*want {
			t.Fatalf("case %d: value %v, want %v; %s", k, s.Value, want, s.Strategy)
		}
	}
}

func TestNetworkAgreesWithShortestPaths(t *testing.T) {
	r := losstest.Random(2)
	for k := range 300 {
		n, m, d := 1+r.IntN(14), 1+r.IntN(14), 2+r.IntN(4)
		p := randomProblem(r, n, m, d)
		s := solved(t, p)
		ms := newMasses(p.A, p.B)
		want := ms.unit * shortestPaths(p.pair, ms.a, ms.b)
		// The paths stop at what shortens them by less than 1e-13 of a cost.
		if math.Abs(s.Value-want) > 1e-12*p.largest() {
			t.Fatalf("case %d, %d x %d: value %v, want %v", k, n, m, s.Value, want)
		}
	}
}

// The weighted merge of distribution functions is a second way to W_p on a line.
func TestSortingAgreesWithTheSimplex(t *testing.T) {
	r := losstest.Random(3)
	for k := range 300 {
		p := randomProblem(r, 1+r.IntN(60), 1+r.IntN(60), 1)
		line := solved(t, p)
		flat := p
		flat.A, flat.B = lifted(p.A), lifted(p.B)
		plane := solved(t, flat)
		// An outlier far away is what reduced costs are rounded relative to.
		if math.Abs(line.Value-plane.Value) > 1e-12*line.Value+8*unit*p.largest() {
			t.Fatalf("case %d: %v on the line, %v by the network", k, line.Value, plane.Value)
		}
	}
}

// A cloud in another order, moved, or under the gradient of a convex function has a plan that is known (Brenier 1991): y = Ax + v with a symmetric positive A is
// x's own partner for half the squared distance.
func TestPlansThatAreKnown(t *testing.T) {
	r := losstest.Random(4)
	const n, d = 300, 3
	x := normal(r, n, d, 1, 0)
	moved, mapped, shuffled := make([]float64, n*d), make([]float64, n*d), make([]float64, n*d)
	order := r.Perm(n)
	for i := range n {
		for k := range d {
			moved[i*d+k] = x[i*d+k] + float64(k) - 0.5
			mapped[i*d+k] = 0.3*float64(k) + 2*x[i*d+k] + 0.4*x[i*d+(k+1)%d] + 0.4*x[i*d+(k+2)%d]
		}
		copy(shuffled[order[i]*d:(order[i]+1)*d], x[i*d:])
	}
	for name, y := range map[string][]float64{"moved": moved, "mapped": mapped, "shuffled": shuffled} {
		for _, w := range [][]float64{nil, logNormal(r, n, 1)} {
			p := Problem{A: cloud(x, d, w), B: cloud(y, d, w)}
			partner := func(i int) int { return i }
			if name == "shuffled" {
				partner = func(i int) int { return order[i] }
				if w != nil {
					to := make([]float64, n)
					for i, j := range order {
						to[j] = w[i]
					}
					p.B = cloud(y, d, to)
				}
			}
			s := solved(t, p)
			for _, e := range s.Plan {
				// Weights are rounded, and what that leaves goes anywhere.
				if int(e.J) != partner(int(e.I)) && e.Mass > 1e-15 {
					t.Fatalf("%s: %v goes from %d to %d, want %d", name, e.Mass, e.I, e.J, partner(int(e.I)))
				}
			}
		}
	}
	p := Problem{Cost: vec.Distance, A: cloud(x, d, nil), B: cloud(moved, d, nil)}
	if s, want := solved(t, p), math.Sqrt(0.25+0.25+2.25); math.Abs(s.Value-want) > 1e-13 {
		t.Errorf("W1 of a cloud and itself moved is %v, want %v", s.Value, want)
	}
}

// W1 of two points is their distance, whatever the dimension, and W2² half its square.
func TestOnePoint(t *testing.T) {
	for d, want := range map[int]float64{1: 2, 4: 4} {
		x, y := make([]float64, d), make([]float64, d)
		for k := range y {
			y[k] = 2
		}
		p := Problem{Cost: vec.Distance, A: cloud(x, d, nil), B: cloud(y, d, nil)}
		if s := solved(t, p); s.Value != want || len(s.Plan) != 1 {
			t.Errorf("W1 is %v with the plan %v, want %v", s.Value, s.Plan, want)
		}
		p.Cost = vec.HalfSquared
		if s := solved(t, p); s.Value != want*want/2 {
			t.Errorf("half of W2² is %v, want %v", s.Value, want*want/2)
		}
	}
}
