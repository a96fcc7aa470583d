package kantorovich_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kantorovich"
	"kantor/losses/sinkhorn"
)

func transport(cost losses.Cost) kantorovich.Transport {
	return kantorovich.Transport{Source: "x", Target: "y", Cost: cost}
}

// powered is transport of |x-y|^p.
func powered(p float64) kantorovich.Transport {
	return kantorovich.Transport{Source: "x", Target: "y", P: &p}
}

func divergence(cost losses.Cost, epsilon float64) sinkhorn.Divergence {
	return sinkhorn.Divergence{Source: "x", Target: "y", Cost: cost, Epsilon: &epsilon}
}

var costs = []losses.Cost{losses.HalfSquaredEuclidean, losses.SquaredEuclidean, losses.Euclidean}

func pair(x, y *losses.Measure) losses.Inputs { return losses.Inputs{"x": x, "y": y} }

// certified is strict on the interval, and on its being as narrow as rounding lets it be: relative 1e-9 is what thousands of roundings come to, squared.
func certified(t *testing.T, name string, o losses.Outcome) float64 {
	t.Helper()
	if !(o.Interval.Lower <= o.Value && o.Value <= o.Interval.Upper) {
		t.Errorf("%s: the value %v is outside of %v", name, o.Value, *o.Interval)
	}
	if o.Interval.Upper-o.Interval.Lower > 1e-9*(1+o.Value) {
		t.Errorf("%s: %v is wider than rounding", name, *o.Interval)
	}
	if s := o.Solve; !s.Converged || s.MarginalError != 0 || s.Epsilon != 0 || s.Strategy == "" || o.Estimand != losses.Empirical {
		t.Errorf("%s: solve %+v, estimand %v", name, *s, o.Estimand)
	}
	return o.Value
}

// is says what exact transport of inputs is: strictly in the interval, and up to rounding of the value.
func is(t *testing.T, name string, loss losses.Loss, in losses.Inputs, want float64) {
	t.Helper()
	o := losstest.Outcome(t, loss, in)
	if got := certified(t, name, o); math.Abs(got-want) > 1e-12*(1+want) || want < o.Interval.Lower || want > o.Interval.Upper {
		t.Errorf("%s: got %v in %v, want %v", name, got, *o.Interval, want)
	}
}

// Row T1 of docs/mathematics.md: between point masses at 0 and a, where KL is infinite, W_p is a, and descent moves the point towards a: by 1 for p = 1, by a
// for half the square. So it is with the entropic divergence at any temperature.
func TestT1PointMasses(t *testing.T) {
	for _, a := range []float64{1e-3, 3, 1e4} {
		in := pair(losstest.Cloud([]float64{0}), losstest.Cloud([]float64{a}))
		for name, tt := range map[string]struct {
			loss         losses.Loss
			value, slope float64
		}{
			"half squared": {transport(losses.HalfSquaredEuclidean), a * a / 2, a},
			"squared":      {transport(losses.SquaredEuclidean), a * a, 2 * a},
			"euclidean":    {transport(losses.Euclidean), a, 1},
			"p=1":          {powered(1), a, 1},
			"p=2":          {powered(2), a * a, 2 * a},
			"p=3":          {powered(3), a * a * a, 3 * a * a},
			"p=1.5":        {powered(1.5), math.Pow(a, 1.5), 1.5 * math.Sqrt(a)},
			"W1":           {by(kantorovich.Exact), a, 1},
			"S, cold":      {divergence(losses.Euclidean, a/100), a, 1},
			"S, hot":       {divergence(losses.HalfSquaredEuclidean, 100*a*a), a * a / 2, a},
		} {
			result := losstest.Evaluate(t, tt.loss, in, "x.points", "y.points")
			tolerance := 1e-14
			if _, entropic := tt.loss.(sinkhorn.Divergence); entropic {
				tolerance = 1e-9 // what three sums of exponentials leave
			} else {
				certified(t, name, result.Terms[0].Outcomes[0])
			}
			if math.Abs(result.Value-tt.value) > tolerance*tt.value {
				t.Errorf("%s: %v at a = %v, want %v", name, result.Value, a, tt.value)
			}
			gx, gy := result.Gradients[losses.Ref{Input: "x", Field: "points"}].F64[0], result.Gradients[losses.Ref{Input: "y", Field: "points"}].F64[0]
			if math.Abs(gx+tt.slope) > tolerance*tt.slope || math.Abs(gy-tt.slope) > tolerance*tt.slope {
				t.Errorf("%s: gradients %v and %v, want ∓%v", name, gx, gy, tt.slope)
			}
		}
	}
}

// Row T3: the same weights on other labels, which KL does not see.
func TestT3LabelsMatter(t *testing.T) {
	p, q := []float64{0.5, 0.5, 0}, []float64{0.25, 0.25, 0.5}
	for _, tt := range []struct{ labels, want []float64 }{
		{[]float64{1, 10, 1000}, []float64{497.25, 490070.25}},
		{[]float64{1, 2, 3}, []float64{0.75, 0.75}},
		{[]float64{1000, 1, 10}, []float64{249.75, 245045.25}},
	} {
		in := pair(losstest.Weighted(tt.labels, p), losstest.Weighted(slices.Clone(tt.labels), q))
		is(t, "W1", transport(losses.Euclidean), in, tt.want[0])
		is(t, "W2²", transport(losses.SquaredEuclidean), in, tt.want[1])
		is(t, "½W2²", transport(losses.HalfSquaredEuclidean), in, tt.want[1]/2)
		is(t, "dual", by(kantorovich.Exact), in, tt.want[0])
	}
}

// Row T5: under x → 10x W1 grows tenfold. Coordinates are multiples of 2^-10, so that ten times them is exact.
func TestT5ScaleIsSeen(t *testing.T) {
	for seed := range uint64(20) {
		in := random(seed, 20, 30, 3)
		wide := losses.Inputs{}
		for name, input := range in {
			m := input.(*losses.Measure)
			ten := losses.NewArray(make([]float64, m.Points.Len()), m.Points.Shape...)
			for i, v := range m.Points.F64 {
				m.Points.F64[i] = math.Round(v*1024) / 1024
				ten.F64[i] = 10 * m.Points.F64[i]
			}
			wide[name] = &losses.Measure{Points: ten, Weights: m.Weights}
		}
		is(t, "ten times", transport(losses.Euclidean), wide, 10*losstest.Outcome(t, transport(losses.Euclidean), in).Value)
	}
}

// quantiles is ∫|F⁻¹-G⁻¹|^p of two measures on the line, by merging their quantile functions.
func quantiles(in losses.Inputs, p float64) float64 {
	sorted := func(name string) (x, w []float64) {
		m := in[name].(*losses.Measure)
		order := make([]int, m.Points.Len())
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(i, j int) int { return cmp.Compare(m.Points.F64[i], m.Points.F64[j]) })
		for _, i := range order {
			x, w = append(x, m.Points.F64[i]), append(w, m.Weights.F64[i])
		}
		return x, w
	}
	x, a := sorted("x")
	y, b := sorted("y")
	total := 0.0
	for i, j := 0, 0; i < len(x) && j < len(y); {
		mass := min(a[i], b[j])
		total += mass * math.Pow(math.Abs(x[i]-y[j]), p)
		if a[i] -= mass; a[i] == 0 {
			i++
		}
		if b[j] -= mass; b[j] == 0 {
			j++
		}
	}
	return total
}

// lifted puts points on the line into the plane, along an axis.
func lifted(in losses.Inputs) losses.Inputs {
	out := losses.Inputs{}
	for name, input := range in {
		m := input.(*losses.Measure)
		x := make([]float64, 2*m.Points.Len())
		for i, v := range m.Points.F64 {
			x[2*i] = v
		}
		out[name] = &losses.Measure{Points: losses.NewArray(x, m.Points.Len(), 2), Weights: m.Weights}
	}
	return out
}

// Row T6: on the line transport is sorting. The weighted merge of quantiles, the line's own solver and the simplex in the plane agree, to 1e-12; the last
// knows of no order.
func TestT6SortingAgreesWithTheSimplex(t *testing.T) {
	for seed := range uint64(60) {
		r := losstest.Random(200 + seed)
		n, m := 1+r.IntN(40), 1+r.IntN(40)
		in := pair(&losses.Measure{Points: losstest.Normal(r, n, 1, 1, 0), Weights: losstest.Weights(r, n, 1)},
			&losses.Measure{Points: losstest.Normal(r, m, 1, 2, 1), Weights: losstest.Weights(r, m, 1)})
		if seed%3 == 0 { // with ties
			for _, input := range in {
				for i, v := range input.(*losses.Measure).Points.F64 {
					input.(*losses.Measure).Points.F64[i] = math.Round(v)
				}
			}
		}
		for _, p := range []float64{1, 1.25, 2, 3, 7} {
			want, name := quantiles(in, p), fmt.Sprintf("problem %d, p = %v", seed, p)
			near(t, name+", on the line", certified(t, name, losstest.Outcome(t, powered(p), in)), want, 1e-12)
			if p == 1 || p == 2 {
				near(t, name+", in the plane", certified(t, name, losstest.Outcome(t, powered(p), lifted(in))), want, 1e-12)
			}
		}
	}
}

func near(t *testing.T, name string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*(1+math.Abs(want))) {
		t.Errorf("%s: got %v, want %v to %v", name, got, want, tolerance)
	}
}

// Row T7: W1 and W2 are metrics, and W1 ≤ W2 for measures of mass 1. On a few hundred random problems with shared points, weights of 0 and other masses.
func TestT7MetricAxioms(t *testing.T) {
	for seed := range uint64(300) {
		r := losstest.Random(1000 + seed)
		d, mass := 1+r.IntN(4), []float64{1, 1, 0.3, 20}[r.IntN(4)]
		var m [3]*losses.Measure
		for k := range m {
			n := 1 + r.IntN(15)
			m[k] = &losses.Measure{Points: losstest.Normal(r, n, d, 1, float64(k)/3), Weights: losstest.Weights(r, n, mass)}
			if k > 0 && seed%2 == 0 {
				copy(m[k].Points.F64[:d], m[0].Points.F64) // a point that all of them have
			}
			if n > 2 && seed%3 == 0 {
				m[k].Weights.F64[n-1] += m[k].Weights.F64[0]
				m[k].Weights.F64[0] = 0
			}
		}
		w := func(cost losses.Cost, a, b int) float64 {
			v := certified(t, "random", losstest.Outcome(t, transport(cost), pair(m[a], m[b]))) / mass
			if cost == losses.SquaredEuclidean {
				return math.Sqrt(v)
			}
			return v
		}
		for _, cost := range []losses.Cost{losses.Euclidean, losses.SquaredEuclidean} {
			ab, bc, ac := w(cost, 0, 1), w(cost, 1, 2), w(cost, 0, 2)
			// The root of a square that is right to 1e-15 or so.
			if ac > ab+bc+1e-12 {
				t.Errorf("problem %d, %v: %v is above %v + %v", seed, cost, ac, ab, bc)
			}
			near(t, fmt.Sprintf("problem %d, %v: symmetry", seed, cost), w(cost, 1, 0), ab, 1e-12)
			if self := w(cost, 1, 1); self != 0 {
				t.Errorf("problem %d, %v: a measure is %v from itself", seed, cost, self)
			}
			if !(ab > 0) {
				t.Errorf("problem %d, %v: different measures are %v apart", seed, cost, ab)
			}
		}
		if w1, w2 := w(losses.Euclidean, 0, 1), w(losses.SquaredEuclidean, 0, 1); w1 > w2*(1+1e-12) {
			t.Errorf("problem %d: W1 = %v is above W2 = %v", seed, w1, w2)
		}
	}
}

// Row T8: transport of a measure to its translation by v moves all of it by v; and W_p of s times the points is s times W_p.
func TestT8TranslationAndScaling(t *testing.T) {
	shift := []float64{2, -1, 2} // of length 3
	for seed := range uint64(20) {
		r := losstest.Random(300 + seed)
		n := 1 + r.IntN(60)
		x := &losses.Measure{Points: losstest.Normal(r, n, 3, 1, 0), Weights: losstest.Weights(r, n, 1)}
		y := &losses.Measure{Points: losses.NewArray(make([]float64, 3*n), n, 3), Weights: x.Weights}
		for i, v := range x.Points.F64 {
			x.Points.F64[i] = math.Round(v*1024) / 1024
			y.Points.F64[i] = x.Points.F64[i] + shift[i%3]
		}
		is(t, "W1", transport(losses.Euclidean), pair(x, y), 3)
		is(t, "½W2²", transport(losses.HalfSquaredEuclidean), pair(x, y), 4.5)
		is(t, "W2²", transport(losses.SquaredEuclidean), pair(x, y), 9)
		g := losstest.Evaluate(t, transport(losses.HalfSquaredEuclidean), pair(x, y), "x.points").Gradients[losses.Ref{Input: "x", Field: "points"}].F64
		for i, v := range g {
			near(t, "gradient", v, -x.Weights.F64[i/3]*shift[i%3], 1e-14)
		}
		in, wide := random(seed, 20, 30, 2), random(seed, 20, 30, 2)
		for _, input := range wide {
			for i := range input.(*losses.Measure).Points.F64 {
				input.(*losses.Measure).Points.F64[i] *= 4
			}
		}
		is(t, "W1 of four times the points", transport(losses.Euclidean), wide, 4*losstest.Outcome(t, transport(losses.Euclidean), in).Value)
		is(t, "W2² of four times the points", transport(losses.SquaredEuclidean), wide, 16*losstest.Outcome(t, transport(losses.SquaredEuclidean), in).Value)
	}
}

// What is refused, by the path of the field.
func TestBadTransports(t *testing.T) {
	plane, line := random(600, 4, 4, 2), random(601, 4, 4, 1)
	nan := math.NaN()
	apart := pair(losstest.Cloud([]float64{0}), losstest.Cloud([]float64{1e10}))
	for name, tt := range map[string]struct {
		loss  kantorovich.Transport
		in    losses.Inputs
		field string
	}{
		"p below 1":          {powered(0.5), line, "p"},
		"p that is NaN":      {powered(nan), line, "p"},
		"p that is infinite": {powered(math.Inf(1)), line, "p"},
		"p in the plane":     {powered(1.5), plane, "p"},
		"p that overflows":   {powered(100), apart, "p"},
		"overflow":           {transport(losses.SquaredEuclidean), pair(losstest.Cloud([]float64{0}), losstest.Cloud([]float64{1e160})), "source"},
		"time below 0":       {kantorovich.Transport{Source: "x", Target: "y", Time: losstest.Ptr(-0.1)}, plane, "time"},
		"time that is NaN":   {kantorovich.Transport{Source: "x", Target: "y", Time: &nan}, plane, "time"},
		"masses":             {transport(losses.Euclidean), pair(losstest.Weighted([]float64{0}, []float64{1}), losstest.Weighted([]float64{0}, []float64{2})), "target"},
		"dimensions":         {transport(losses.Euclidean), pair(losstest.Cloud([]float64{0}), losstest.Cloud([]float64{0, 1})), "target"},
		"second batch":       {kantorovich.Transport{Source: "x", Target: "y", SecondTarget: "y"}, plane, "second_target"},
		"halves of weights":  {kantorovich.Transport{Source: "x", Target: "y", Split: true}, plane, "source"},
	} {
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: tt.loss}}}.Bind(tt.in, 0)
		if bad, ok := err.(*losses.InputError); !ok || bad.Field != "objective.terms[0].transport."+tt.field {
			t.Errorf("%s: got %v, want an error at %s", name, err, tt.field)
		}
	}
}
