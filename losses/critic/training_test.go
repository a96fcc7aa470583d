package critic

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/diff/fd"

	"kantor/losses"
	"kantor/losses/internal/losstest"
)

// random is a critic with tips from N(0, 1.5²) and heights from N(0, ½²).
func random(r *rand.Rand, count, d int) *state {
	s := newState(count, d)
	copy(s.tips, losstest.Normal(r, functions*count, d, 1.5, 0).F64)
	copy(s.heights, losstest.Normal(r, functions, count, 0.5, 0).F64)
	return s
}

func cloud(r *rand.Rand, n, d int) *losses.Cloud {
	return &losses.Cloud{N: n, D: d, X: losstest.Normal(r, n, d, 1, 0).F64, W: losstest.Weights(r, n, 2).F64, Mass: 2}
}

// plainly is both functions at z as they are defined.
func plainly(e *envelopes, z []float64) (least, most float64) {
	least, most = math.Inf(1), math.Inf(-1)
	for j := range e.count {
		var r [functions]float64
		for f := range functions {
			for k, v := range e.tipsOf(f)[j*e.d : (j+1)*e.d] {
				r[f] += (z[k] - v) * (z[k] - v)
			}
		}
		least = min(least, math.Sqrt(r[below])+e.heightsOf(below)[j])
		most = max(most, e.heightsOf(above)[j]-math.Sqrt(r[above]))
	}
	return least, most
}

func evaluated(t *testing.T, e *envelopes, x []float64) *values {
	t.Helper()
	at, err := newEvaluator(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	v := newValues(len(x) / e.d)
	if err := at.evaluate(t.Context(), x, v); err != nil {
		t.Fatal(err)
	}
	return v
}

// The blocks of points and cones give what the definition gives, whatever their numbers.
func TestEvaluateIsTheDefinition(t *testing.T) {
	for seed := range uint64(60) {
		r := losstest.Random(seed)
		d, n := 1+r.IntN(9), 1+r.IntN(40)
		e := &random(r, 1+r.IntN(3*blockColumns), d).envelopes
		x := losstest.Normal(r, n, d, 1, 0).F64
		v := evaluated(t, e, x)
		for i := range n {
			least, most := plainly(e, x[i*d:(i+1)*d])
			// A sum of squares in another order, and a root, of numbers below 20.
			if math.Abs(v.h[below][i]-least) > 1e-13 || math.Abs(v.h[above][i]-most) > 1e-13 {
				t.Fatalf("%d cones of dimension %d: got %v and %v, want %v and %v", e.count, d, v.h[below][i], v.h[above][i], least, most)
			}
		}
	}
}

// Both functions are 1-Lipschitz whatever the parameters: 1e5 random pairs of points, near each other and far apart.
func TestEveryParameterIsLipschitz(t *testing.T) {
	const n = 20_000
	for seed := range uint64(5) {
		r := losstest.Random(100 + seed)
		d := 1 + 3*int(seed)
		e := &random(r, 1+12*int(seed), d).envelopes
		for i := range e.heights {
			e.heights[i] *= math.Pow(10, 3*r.Float64())
		}
		u, v := losstest.Normal(r, n, d, 2, 0).F64, losstest.Normal(r, n, d, 2, 0).F64
		for i := range v {
			v[i] = u[i] + math.Pow(10, -2*r.Float64())*v[i]
		}
		at, beside := evaluated(t, e, u), evaluated(t, e, v)
		for i := range n {
			way := 0.0
			for k := i * d; k < (i+1)*d; k++ {
				way += (u[k] - v[k]) * (u[k] - v[k])
			}
			way = math.Sqrt(way)
			for f := range functions {
				// A value is right to (d+4)/2 ulps of itself, far below 1e-12 of the distance here.
				if rise := math.Abs(at.h[f][i] - beside.h[f][i]); rise > way*(1+1e-12)+1e-15*math.Abs(at.h[f][i]) {
					t.Fatalf("function %d, %d cones of dimension %d: rises by %v over %v", f, e.count, d, rise, way)
				}
			}
		}
	}
}

// The gradient that a step climbs is that of E_a φ - E_b φ in every tip and every height of both functions.
func TestParametersByFiniteDifferences(t *testing.T) {
	for seed := range uint64(10) {
		r := losstest.Random(200 + seed)
		d := 1 + r.IntN(4)
		s, a, b := random(r, 1+r.IntN(6), d), cloud(r, 15, d), cloud(r, 12, d)
		at, err := newEvaluator(t.Context(), &s.envelopes)
		if err != nil {
			t.Fatal(err)
		}
		tr := newTrainer(s, at, a, b, newValues(a.N), newValues(b.N), 0)
		if err := tr.evaluate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := tr.climb(t.Context()); err != nil {
			t.Fatal(err)
		}
		for f := range functions {
			value := func() float64 {
				va, vb := evaluated(t, &s.envelopes, a.X), evaluated(t, &s.envelopes, b.X)
				return mean(a, va.h[f]) - mean(b, vb.h[f])
			}
			compare(t, "tip", s.tipsOf(f), tr.tips[f], value)
			compare(t, "height", s.heightsOf(f), tr.heights[f], value)
		}
	}
}

// compare holds a gradient to differences in every x.
func compare(t *testing.T, name string, x, gradient []float64, value func() float64) {
	t.Helper()
	for i, got := range gradient {
		start := x[i]
		want := fd.Derivative(func(v float64) float64 { x[i] = v; return value() }, start, &fd.Settings{Formula: fd.Central, Step: 1e-5})
		x[i] = start
		if math.Abs(got-want) > 1e-7*max(1, math.Abs(want)) { // truncation h²/r², rounding 1e-15/h
			t.Errorf("%s %d: got %v, by differences %v", name, i, got, want)
		}
	}
}

// The steps are Adam's as the paper writes them, over steps whose gradients vary in size and vanish.
func TestMoveIsAdam(t *testing.T) {
	r := losstest.Random(300)
	x, m := []float64{1, -2}, moments{make([]float64, 2), make([]float64, 2)}
	want, mean, square := []float64{1, -2}, make([]float64, 2), make([]float64, 2)
	for step := 1; step <= 60; step++ {
		gradient := []float64{r.NormFloat64(), 1e-4 * r.NormFloat64()}
		if step%7 == 0 {
			gradient[1] = 0
		}
		if err := m.move(t.Context(), x, gradient, 0.02, step); err != nil {
			t.Fatal(err)
		}
		for i, g := range gradient {
			mean[i] = 0.9*mean[i] + 0.1*g
			square[i] = 0.99*square[i] + 0.01*g*g
			unbiasedMean, unbiasedSquare := mean[i]/(1-math.Pow(0.9, float64(step))), square[i]/(1-math.Pow(0.99, float64(step)))
			want[i] += 0.02 * unbiasedMean / (math.Sqrt(unbiasedSquare) + 1e-8)
			if math.Abs(x[i]-want[i]) > 1e-13 {
				t.Fatalf("step %d: got %v, want %v", step, x[i], want[i])
			}
		}
	}
}

// A cone that no point is under comes to rest, and its moments at 0 rather than among the subnormal numbers.
func TestMomentsVanish(t *testing.T) {
	x, m := []float64{1}, moments{[]float64{0.5}, []float64{0.25}}
	for step := 1; step <= 20_000; step++ {
		if err := m.move(t.Context(), x, []float64{0}, 0.02, step); err != nil {
			t.Fatal(err)
		}
		if v := m.mean[0]; v != 0 && v < vanished || m.square[0] != 0 && m.square[0] < 1e-300 {
			t.Fatalf("step %d: moments %v and %v", step, v, m.square[0])
		}
	}
	if m.mean[0] != 0 || m.square[0] != 0 || !(x[0] > 1 && x[0] < 2) {
		t.Errorf("ends with moments %v and %v at %v", m.mean[0], m.square[0], x[0])
	}
}

// Tips are drawn so that no cluster is without one: with as many tips as there are clusters, each gets one, where draws without regard to the others leave
// a third of eight empty.
func TestTipsAreSpread(t *testing.T) {
	for seed := range uint64(50) {
		r := losstest.Random(400 + seed)
		const clusters, each, d = 8, 20, 4
		c := &losses.Cloud{N: clusters * each, D: d, X: losstest.Normal(r, clusters*each, d, 1e-3, 0).F64, W: losstest.Weights(r, clusters*each, 1).F64, Mass: 1}
		for i := range c.N {
			c.X[i*d] += float64(10 * (i % clusters))
		}
		tips := make([]float64, clusters*d)
		if err := choose(t.Context(), tips, c, 1, r); err != nil {
			t.Fatal(err)
		}
		found := map[int]bool{}
		for j := range clusters {
			found[int(math.Round(tips[j*d]/10))] = true
		}
		if len(found) != clusters {
			t.Errorf("seed %d: tips in %d clusters of %d", seed, len(found), clusters)
		}
	}
}

// More cones than points: the others stand around the points, not on each other, and where a weight is 0 none does.
func TestMoreTipsThanPoints(t *testing.T) {
	r := losstest.Random(500)
	c := &losses.Cloud{N: 3, D: 2, X: []float64{0, 0, 100, 0, 1e6, 0}, W: []float64{1, 1, 0}, Mass: 2}
	tips := make([]float64, 50*2)
	if err := choose(t.Context(), tips, c, 0.5, r); err != nil {
		t.Fatal(err)
	}
	seen := map[[2]float64]bool{}
	for j := range 50 {
		tip := [2]float64{tips[2*j], tips[2*j+1]}
		if seen[tip] {
			t.Errorf("two tips at %v", tip)
		}
		seen[tip] = true
		if math.Abs(tip[1]) > 3 || min(math.Abs(tip[0]), math.Abs(tip[0]-100)) > 3 { // 6 deviations
			t.Errorf("a tip at %v, far from the points of positive weight", tip)
		}
	}
	if !seen[[2]float64{0, 0}] || !seen[[2]float64{100, 0}] {
		t.Error("a point is no tip")
	}
}
