package exact

import (
	"math"
	"math/big"
	"testing"

	"kantor/losses/internal/bigmath"
	"kantor/losses/internal/losstest"
	"kantor/losses/internal/vec"
)

// bigCost is the cost of a pair to some 150 bits.
func (p Problem) bigCost(i, j int) *big.Float {
	square := bigmath.New(0)
	for k := range p.A.D {
		diff := bigmath.New(p.A.X[i*p.A.D+k])
		diff.Sub(diff, bigmath.New(p.B.X[j*p.B.D+k]))
		square.Add(square, diff.Mul(diff, diff))
	}
	if p.Cost == vec.Distance {
		return square.Sqrt(square)
	}
	return square.Mul(square, bigmath.New(0.5))
}

// bigBrute is the least cost of moving units of mass, each from one of the points in from to one of those in to, over all orders.
func bigBrute(p Problem, from, to []int, unit *big.Float) *big.Float {
	costs := make([][]*big.Float, len(from))
	for i := range from {
		for j := range to {
			costs[i] = append(costs[i], p.bigCost(from[i], to[j]))
		}
	}
	least := new(big.Float).SetInf(false)
	permutations(len(from), func(order []int) {
		total := bigmath.New(0)
		for i, j := range order {
			total.Add(total, costs[i][j])
		}
		if total.Cmp(least) < 0 {
			least = total
		}
	})
	return new(big.Float).SetPrec(bigmath.Precision).Mul(least, unit)
}

// checkContained checks that an interval contains the exact optimum, without any tolerance.
func checkContained(t *testing.T, name string, s *Solution, want *big.Float) {
	t.Helper()
	if bigmath.New(s.Lower).Cmp(want) > 0 || bigmath.New(s.Upper).Cmp(want) < 0 {
		t.Errorf("%s: [%v,%v] does not contain %v; %s", name, s.Lower, s.Upper, want.Text('g', 30), s.Strategy)
	}
}

func TestIntervalsContainTheOptimumOfAssignments(t *testing.T) {
	r := losstest.Random(11)
	for range 150 {
		n, d := 1+r.IntN(5), 1+r.IntN(20)
		p := randomProblem(r, n, n, d)
		p.A, p.B = cloud(p.A.X, d, nil), cloud(p.B.X, d, nil)
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		checkContained(t, "uniform", solved(t, p), bigBrute(p, all, all, bigmath.New(p.A.W[0])))
	}
}

// Weights that are multiples of a power of two are exact, and mass is moved multiple by multiple.
func TestIntervalsContainTheOptimumOfMultiples(t *testing.T) {
	r := losstest.Random(12)
	for range 60 {
		n, m, d := 1+r.IntN(4), 1+r.IntN(4), 1+r.IntN(5)
		const units = 6
		each := math.Ldexp(1, r.IntN(40)-20)
		spread := func(n int) (w []float64, at []int) {
			w = make([]float64, n)
			for range units {
				i := r.IntN(n)
				w[i] += each
				at = append(at, i)
			}
			return w, at
		}
		a, from := spread(n)
		b, to := spread(m)
		p := randomProblem(r, n, m, d)
		p.A, p.B = cloud(p.A.X, d, a), cloud(p.B.X, d, b)
		checkContained(t, "multiples", solved(t, p), bigBrute(p, from, to, bigmath.New(each)))
	}
}

// Between two and two points the plan has one number to choose, and the optimum is at an end of its range, for weights of any digits.
func TestIntervalsContainTheOptimumOfTwoPointsEach(t *testing.T) {
	r := losstest.Random(13)
	for range 300 {
		d := 1 + r.IntN(4)
		p := randomProblem(r, 2, 2, d)
		p.A, p.B = cloud(p.A.X, d, logNormal(r, 2, 3)), cloud(p.B.X, d, logNormal(r, 2, 3))
		number := func() *big.Float { return new(big.Float).SetPrec(bigmath.Precision) }
		mass := number().Add(bigmath.New(p.A.W[0]), bigmath.New(p.A.W[1]))
		scale := number().Quo(mass, number().Add(bigmath.New(p.B.W[0]), bigmath.New(p.B.W[1])))
		a, b := bigmath.New(p.A.W[0]), number().Mul(bigmath.New(p.B.W[0]), scale)
		low, high := number().Sub(number().Add(a, b), mass), a
		if low.Sign() < 0 {
			low = number()
		}
		if b.Cmp(high) < 0 {
			high = b
		}
		cost := func(moved *big.Float) *big.Float {
			rest := number().Sub(number().Sub(number().Add(mass, moved), a), b)
			total := number().Mul(moved, p.bigCost(0, 0))
			total.Add(total, number().Mul(number().Sub(a, moved), p.bigCost(0, 1)))
			total.Add(total, number().Mul(number().Sub(b, moved), p.bigCost(1, 0)))
			return total.Add(total, rest.Mul(rest, p.bigCost(1, 1)))
		}
		want := cost(low)
		if other := cost(high); other.Cmp(want) < 0 {
			want = other
		}
		checkContained(t, "two points", solved(t, p), want)
	}
}

// One point against many leaves nothing to choose.
func TestIntervalsContainTheOptimumOfOnePoint(t *testing.T) {
	r := losstest.Random(14)
	for range 100 {
		m, d := 1+r.IntN(200), 1+r.IntN(100)
		p := randomProblem(r, 1, m, d)
		p.A = cloud(p.A.X, d, []float64{1})
		mass, want := bigmath.New(0), bigmath.New(0)
		for j, w := range p.B.W {
			mass.Add(mass, bigmath.New(w))
			want.Add(want, p.bigCost(0, j).Mul(p.bigCost(0, j), bigmath.New(w)))
		}
		checkContained(t, "one point", solved(t, p), want.Quo(want, mass))
	}
}

// Sums of equal terms round the same way again and again: what a cost is off by comes near its bound, which the lower end has to allow for as well as the upper.
func TestIntervalsContainCostsThatRoundOneWay(t *testing.T) {
	r := losstest.Random(15)
	above, below := 0, 0
	for range 60 {
		const d = 3000
		x, y := make([]float64, d), make([]float64, d)
		diff := 1 + r.Float64()
		for k := range y {
			y[k] = diff
		}
		p := Problem{Cost: vec.Cost(r.IntN(2)), A: cloud(x, d, []float64{1}), B: cloud(y, d, []float64{1})}
		s, want := solved(t, p), p.bigCost(0, 0)
		checkContained(t, "one way", s, want)
		exact, _ := want.Float64()
		if off := (s.Value - exact) / exact; off > 16*unit {
			above++
		} else if off < -16*unit {
			below++
		}
	}
	if above == 0 || below == 0 {
		t.Errorf("%d values are more than 16 roundings above the optimum, %d below, want some of both", above, below)
	}
}
