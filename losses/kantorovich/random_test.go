package kantorovich_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kantorovich"
)

// hostile is a random problem of some scale, off the origin, with points that coincide, weights of 0 and weights of many magnitudes.
func hostile(seed uint64) (in losses.Inputs, cost losses.Cost, size float64) {
	r := losstest.Random(seed)
	scale, offset := math.Pow(10, float64(r.IntN(7)-3)), []float64{0, 0, 1e4}[r.IntN(3)]
	n, m, d := 1+r.IntN(30), 1+r.IntN(30), []int{1, 2, 3, 16}[r.IntN(4)]
	cloud := func(n int) *losses.Measure {
		out := &losses.Measure{Points: losstest.Normal(r, n, d, scale, offset), Weights: losstest.Weights(r, n, 1)}
		w, sum := out.Weights.F64, 0.0
		for i := range w {
			switch kind := r.IntN(8); {
			case i > 0 && kind == 0:
				w[i] = 0
			case kind == 1:
				w[i] *= 1e-9
			}
			sum += w[i]
		}
		for i := range w {
			w[i] /= sum
		}
		return out
	}
	x, y := cloud(n), cloud(m)
	if seed%2 == 0 {
		for j := 0; j < m; j += 2 {
			copy(y.Points.F64[j*d:(j+1)*d], x.Points.F64[r.IntN(n)*d:])
		}
	}
	cost = costs[r.IntN(3)]
	return pair(x, y), cost, map[bool]float64{true: scale, false: scale * scale}[cost == losses.Euclidean]
}

// On hundreds of hostile problems: the value is in its interval, which is as narrow as rounding; it is below the cost of the product plan, and above that of
// the means, by Jensen's inequality; W1 by the dual lies in the interval of the primal; and cutting a point in two changes nothing.
func TestHostileProblems(t *testing.T) {
	for seed := range uint64(300) {
		in, cost, size := hostile(5000 + seed)
		x, y := in["x"].(*losses.Measure), in["y"].(*losses.Measure)
		n, d := x.Points.Shape[0], x.Points.Shape[1]
		o := losstest.Outcome(t, transport(cost), in)
		name := fmt.Sprintf("problem %d, %v", seed, cost)
		// Coordinates around 1e4 are what they are; only differences are rounded, and those are of the scale, in d dimensions.
		if !(o.Interval.Lower <= o.Value && o.Value <= o.Interval.Upper) || o.Interval.Upper-o.Interval.Lower > 1e-10*size*float64(d) {
			t.Errorf("%s: %v in %v at a size of %v", name, o.Value, *o.Interval, size)
		}
		c := func(u, v []float64) float64 {
			r := distance(u, v)
			return map[losses.Cost]float64{losses.HalfSquaredEuclidean: r * r / 2, losses.SquaredEuclidean: r * r, losses.Euclidean: r}[cost]
		}
		product, means := 0.0, [2][]float64{make([]float64, d), make([]float64, d)}
		for i, a := range x.Weights.F64 {
			for j, b := range y.Weights.F64 {
				product += a * b * c(x.Points.F64[i*d:][:d], y.Points.F64[j*d:][:d])
			}
		}
		for side, cloud := range []*losses.Measure{x, y} {
			for k, v := range cloud.Points.F64 {
				means[side][k%d] += cloud.Weights.F64[k/d] * v
			}
		}
		// Means around 1e4 are right to 1e-12 or so, which a squared cost multiplies by the distance.
		slack := 1e-13*product + 1e-10*math.Sqrt(size)
		if o.Interval.Lower > product+slack || o.Interval.Upper < c(means[0], means[1])-slack {
			t.Errorf("%s: %v, want at most %v and at least %v", name, *o.Interval, product, c(means[0], means[1]))
		}
		if cost == losses.Euclidean {
			w := losstest.Outcome(t, by(kantorovich.Exact), in)
			if w.Interval.Lower > o.Interval.Upper || w.Interval.Upper < o.Interval.Lower || math.Abs(w.Value-o.Value) > 1e-9*size {
				t.Errorf("%s: the dual is %v in %v, the primal %v in %v", name, w.Value, *w.Interval, o.Value, *o.Interval)
			}
		}
		cut := &losses.Measure{Points: losses.NewArray(append(slices.Clone(x.Points.F64), x.Points.F64[:d]...), n+1, d)}
		w := losses.NewArray(append(slices.Clone(x.Weights.F64), x.Weights.F64[0]/4), n+1)
		w.F64[0] -= x.Weights.F64[0] / 4
		cut.Weights = &w
		if split := losstest.Outcome(t, transport(cost), pair(cut, y)); math.Abs(split.Value-o.Value) > 1e-10*size*float64(d) {
			t.Errorf("%s: %v, with a point cut in two %v", name, o.Value, split.Value)
		}
	}
}

// every is a loss of each kind with inputs large enough for several tiles.
func every() map[string]struct {
	loss losses.Loss
	in   losses.Inputs
} {
	in, halves := random(6000, 300, 500, 5), halved(6001, 400, 5)
	fresh := losses.Inputs{"x": in["x"], "y": in["y"], "x2": halves["x"], "y2": halves["y"]}
	return map[string]struct {
		loss losses.Loss
		in   losses.Inputs
	}{
		"transport": {transport(losses.HalfSquaredEuclidean), in},
		"line":      {powered(1.5), random(6002, 3000, 2000, 1)},
		"split":     {divided(losses.Euclidean), halves},
		"exact":     {by(kantorovich.Exact), in},
		"fresh": {dual(func(d *kantorovich.Dual) {
			d.Method, d.FreshSource, d.FreshTarget, d.At = kantorovich.Exact, "x2", "y2", "x2"
		}), fresh},
	}
}

// The same bits come from one processor and from many.
func TestResultsDoNotDependOnProcessors(t *testing.T) {
	defer losses.SetProcessors(0)
	for name, tt := range every() {
		objective := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: tt.loss}}}
		for input := range tt.in {
			objective.Gradients = append(objective.Gradients, input+".points", input+".weights")
		}
		for _, extra := range tt.loss.Extras() {
			objective.Extras = append(objective.Extras, tt.loss.Kind()+"."+extra)
		}
		losses.SetProcessors(1)
		one := losstest.EvaluateObjective(t, objective, tt.in)
		losses.SetProcessors(5)
		if many := losstest.EvaluateObjective(t, objective, tt.in); !reflect.DeepEqual(one, many) {
			t.Errorf("%s: five processors give %v, one gives %v", name, many.Terms[0].Outcomes, one.Terms[0].Outcomes)
		}
	}
}

// A context that has ended ends the computation, as its error.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range every() {
		evaluation, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: tt.loss}}}.Bind(tt.in, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := evaluation.Evaluate(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want the context's error", name, err)
		}
	}
}
