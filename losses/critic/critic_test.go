package critic_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"kantor/losses"
	"kantor/losses/critic"
	"kantor/losses/internal/losstest"
)

// weighted is a random problem with weights, of mass 2.
func weighted(seed uint64, n, m, d int) losses.Inputs {
	r := losstest.Random(seed)
	return losses.Inputs{
		"source": &losses.Measure{Points: losstest.Normal(r, n, d, 0.7, 0.4), Weights: losstest.Weights(r, n, 2)},
		"target": &losses.Measure{Points: losstest.Normal(r, m, d, 1, 0), Weights: losstest.Weights(r, m, 2)},
	}
}

// trained is a critic of a few steps on a problem, whose functions differ.
func trained(t *testing.T, seed uint64, count, d int) *losses.ConeCriticState {
	t.Helper()
	rate, steps := 0.1, 20
	_, state := call(t, loss(func(c *critic.Cones) { c.Cones, c.LearningRate, c.Steps = count, &rate, &steps }), weighted(seed, 40, 40, d), nil)
	return state
}

// at is the function of a state, 0 the minimum and 1 the maximum, by its definition.
func at(s *losses.ConeCriticState, function int, z []float64) float64 {
	count, d := s.Tips.Shape[1], s.Tips.Shape[2]
	value := math.Inf(1 - 2*function)
	for j := function * count; j < (function+1)*count; j++ {
		r, b := distance(z, s.Tips.F64[j*d:(j+1)*d]), s.Heights.F64[j]
		if function == 0 {
			value = min(value, r+b)
		} else {
			value = max(value, b-r)
		}
	}
	return value
}

// The value is that of the critic as it came, of the function that its averages say is larger, whichever does better on this batch.
func TestValueIsOfTheCriticAsItCame(t *testing.T) {
	in := weighted(1, 30, 20, 3)
	for _, tt := range []struct {
		averages []float64
		function int
	}{{[]float64{1, 0}, 0}, {[]float64{-1, 0}, 1}, {[]float64{0, 0}, 0}} {
		state := trained(t, 2, 8, 3)
		state.Averages = losses.NewArray(tt.averages, 2)
		var sums [2]float64
		for sign, name := range map[float64]string{1: "source", -1: "target"} {
			m := in[name].(*losses.Measure)
			for i, w := range m.Weights.F64 {
				for f := range sums {
					sums[f] += sign * w * at(state, f, m.Points.F64[i*3:(i+1)*3])
				}
			}
		}
		result, after := call(t, loss(nil), in, state)
		if math.Abs(result.Value-sums[tt.function]) > 1e-13 || math.Abs(sums[0]-sums[1]) < 1e-3 {
			t.Errorf("averages %v: got %v, want function %d of %v", tt.averages, result.Value, tt.function, sums)
		}
		if o := result.Terms[0].Outcomes[0]; o.Estimand != losses.PopulationLowerBound || o.Interval != nil || o.Solve != nil {
			t.Errorf("got %+v, want a lower bound for the population without interval or solver", o)
		}
		for f := range sums {
			// Per unit of the mass, which is 2.
			if want := 0.98*tt.averages[f] + 0.02*sums[f]/2; math.Abs(after.Averages.F64[f]-want) > 1e-14 {
				t.Errorf("average %d: got %v, want %v", f, after.Averages.F64[f], want)
			}
		}
	}
}

// A new critic has seen the batch: its value is a lower bound of W1 between the samples, which the mean distance of any pairing is not below, and says so.
func TestANewCriticIsEmpirical(t *testing.T) {
	for seed := range uint64(100) {
		r := losstest.Random(seed)
		n, d := 1+r.IntN(30), 1+r.IntN(5)
		x, y := losstest.Normal(r, n, d, 0.5, 0.3), losstest.Normal(r, n, d, 1, 0)
		in := losses.Inputs{"source": &losses.Measure{Points: x}, "target": &losses.Measure{Points: y}}
		pairing := 0.0
		for at := 0; at < n*d; at += d {
			pairing += distance(x.F64[at:at+d], y.F64[at:at+d]) / float64(n)
		}
		o := losstest.Outcome(t, loss(nil), in)
		if o.Estimand != losses.Empirical || o.StandardError != nil || o.Value > pairing*(1+1e-12) {
			t.Errorf("got %+v, want at most %v of the samples", o, pairing)
		}
	}
}

// The standard error is that of the value over fresh batches, for equal weights and for others.
func TestStandardErrorIsThatOverFreshBatches(t *testing.T) {
	state := trained(t, 3, 16, 2)
	for name, weigh := range map[string]func(r *rand.Rand, n int) *losses.Array{
		"equal":   func(*rand.Rand, int) *losses.Array { return nil },
		"unequal": func(r *rand.Rand, n int) *losses.Array { return losstest.Weights(r, n, 1) },
	} {
		r := losstest.Random(4)
		const rounds = 1500
		sum, squares, predicted := 0.0, 0.0, 0.0
		for range rounds {
			in := losses.Inputs{
				"source": &losses.Measure{Points: losstest.Normal(r, 12, 2, 0.7, 0.4), Weights: weigh(r, 12)},
				"target": &losses.Measure{Points: losstest.Normal(r, 9, 2, 1, 0), Weights: weigh(r, 9)},
				"state":  state,
			}
			o := losstest.Outcome(t, loss(func(c *critic.Cones) { c.State = "state" }), in)
			sum, squares, predicted = sum+o.Value, squares+o.Value*o.Value, predicted+*o.StandardError**o.StandardError/rounds
		}
		variance := (squares - sum*sum/rounds) / (rounds - 1)
		if ratio := predicted / variance; math.Abs(ratio-1) > 0.15 { // four standard errors of a variance, √(2/1500) each
			t.Errorf("%s weights: predicts %v of the variance", name, ratio)
		}
	}
	in := losses.Inputs{"source": losstest.Cloud([]float64{1, 2}), "target": losstest.Cloud([]float64{1, 2}, []float64{0, 3}), "state": state}
	if o := losstest.Outcome(t, loss(func(c *critic.Cones) { c.State = "state" }), in); o.StandardError != nil {
		t.Errorf("one point has a standard error of %v", *o.StandardError)
	}
}

// The gradients hold the critic fixed, in points and in weights of both sides, for either function.
func TestGradientsByFiniteDifferences(t *testing.T) {
	for seed := range uint64(10) {
		r := losstest.Random(20 + seed)
		n, m, d := 2+r.IntN(20), 2+r.IntN(20), 1+r.IntN(4)
		in := weighted(50+seed, n, m, d)
		state := trained(t, seed, 10, d)
		state.Averages = losses.NewArray([]float64{float64(seed % 2), 0.5}, 2)
		in["state"] = state
		c := loss(func(c *critic.Cones) { c.State = "state" })
		for name, direction := range map[string][]float64{
			"source.points":  losstest.Unit(r, n*d),
			"target.points":  losstest.Unit(r, m*d),
			"source.weights": losstest.UnitBalanced(r, losstest.Tensor(in, "source.weights").F64),
			"target.weights": losstest.UnitBalanced(r, losstest.Tensor(in, "target.weights").F64),
		} {
			analytic, numeric := losstest.Directional(t, c, in, name, direction, 1e-5)
			if math.Abs(analytic-numeric) > 1e-6*max(1e-2, math.Abs(numeric)) {
				t.Errorf("seed %d, %s: got %v, by differences %v", seed, name, analytic, numeric)
			}
		}
		for _, name := range []string{"source", "target"} {
			result, _ := call(t, loss(nil), weighted(50+seed, n, m, d), state, name+".weights")
			inner := 0.0
			for i, w := range losstest.Tensor(in, name+".weights").F64 {
				inner += w * result.Gradients[losses.Ref{Input: name, Field: "weights"}].F64[i]
			}
			if math.Abs(inner) > 1e-13 {
				t.Errorf("%s: <weights, gradient> = %v, want 0", name, inner)
			}
		}
	}
}

// One measure on both sides: the value is 0 and so are its gradients, whose two halves cancel.
func TestAMeasureAgainstItself(t *testing.T) {
	x := weighted(5, 20, 20, 2)["source"]
	result, _ := call(t, critic.Cones{Source: "source", Target: "source"}, losses.Inputs{"source": x}, nil, "source.points", "source.weights")
	if result.Value != 0 {
		t.Errorf("value %v", result.Value)
	}
	for ref, gradient := range result.Gradients {
		if slices.ContainsFunc(gradient.F64, func(v float64) bool { return v != 0 }) {
			t.Errorf("%v: %v, want 0", ref, gradient.F64)
		}
	}
}

// n steps in one call are n calls with a step each on the same batch, bit for bit, and no step leaves the critic as it was.
func TestStepsInOneCallAreCalls(t *testing.T) {
	in := weighted(6, 700, 600, 7) // several blocks of points
	seven, none := 7, 0
	_, state := call(t, loss(func(c *critic.Cones) { c.Steps = &seven }), in, nil)
	_, before := call(t, loss(func(c *critic.Cones) { c.Steps = &none }), weighted(6, 700, 600, 7), nil)
	for range seven {
		_, before = call(t, loss(nil), weighted(6, 700, 600, 7), before)
	}
	if !reflect.DeepEqual(state, before) || state.Step != 7 {
		t.Errorf("seven steps at once differ from seven calls: step %d and %d", state.Step, before.Step)
	}
	_, same := call(t, loss(func(c *critic.Cones) { c.Steps = &none }), weighted(7, 50, 50, 7), state)
	if !reflect.DeepEqual(state, same) {
		t.Error("no step changed the critic")
	}
}

// The same bits whatever the threads, and the inputs stay as they were.
func TestThreadsDoNotMatter(t *testing.T) {
	defer losses.SetProcessors(0)
	var results [2]*losses.Result
	var states [2]*losses.ConeCriticState
	in, untouched := weighted(8, 5000, 4000, 5), weighted(8, 5000, 4000, 5)
	state, same := trained(t, 9, 40, 5), trained(t, 9, 40, 5)
	two := 2
	for i, n := range []int{1, 8} {
		losses.SetProcessors(n)
		results[i], states[i] = call(t, loss(func(c *critic.Cones) { c.Steps = &two }), in, state, "source.points", "target.weights")
	}
	if !reflect.DeepEqual(results[0], results[1]) || !reflect.DeepEqual(states[0], states[1]) {
		t.Error("one processor gives other bits than eight")
	}
	delete(in, "state")
	if !reflect.DeepEqual(in, untouched) || !reflect.DeepEqual(state, same) {
		t.Error("an input was changed")
	}
}

// In other units the critic is the same critic in these units, to the last bit where the unit is a power of two.
func TestUnitsDoNotMatter(t *testing.T) {
	small, large := weighted(10, 60, 50, 4), weighted(10, 60, 50, 4)
	for _, name := range []string{"source.points", "target.points"} {
		for i := range losstest.Tensor(large, name).F64 {
			losstest.Tensor(large, name).F64[i] *= 1024
		}
	}
	steps := 5
	c := loss(func(c *critic.Cones) { c.Steps, c.Cones = &steps, 70 })
	_, s := call(t, c, small, nil)
	_, l := call(t, c, large, nil)
	for name, pair := range map[string][2]losses.Array{"tips": {s.Tips, l.Tips}, "heights": {s.Heights, l.Heights}, "averages": {s.Averages, l.Averages}} {
		for i, v := range pair[0].F64 {
			if pair[1].F64[i] != 1024*v {
				t.Fatalf("%s at %d: %v and %v, want 1024 times as much", name, i, v, pair[1].F64[i])
			}
		}
	}
	if !reflect.DeepEqual(s.TipMoments, l.TipMoments) || !reflect.DeepEqual(s.HeightMoments, l.HeightMoments) {
		t.Error("the moments, which have no unit, differ")
	}
}

// A common offset of 1e4 costs the value no more digits than the points lose by it.
func TestOffset(t *testing.T) {
	near, far := weighted(11, 40, 40, 3), weighted(11, 40, 40, 3)
	for _, name := range []string{"source.points", "target.points"} {
		for i := range losstest.Tensor(far, name).F64 {
			losstest.Tensor(far, name).F64[i] += 1e4
		}
	}
	steps := 3
	c := loss(func(c *critic.Cones) { c.Steps = &steps })
	_, s := call(t, c, near, nil)
	_, f := call(t, c, far, nil)
	a, _ := call(t, loss(nil), near, s)
	b, _ := call(t, loss(nil), far, f)
	// 1e4 has an ulp of 2e-12, which some hundred operations see.
	if math.Abs(a.Value-b.Value) > 1e-9 {
		t.Errorf("got %v, far away %v", a.Value, b.Value)
	}
}

// A point of weight 0 is no point: the critic and its value have the same bits with it.
func TestPointsWithoutWeight(t *testing.T) {
	with, without := weighted(12, 20, 20, 2), weighted(12, 20, 20, 2)
	m := with["source"].(*losses.Measure)
	m.Points = losses.NewArray(append(m.Points.F64, 1e3, -1e3), 21, 2)
	*m.Weights = losses.NewArray(append(m.Weights.F64, 0), 21)
	steps := 3
	c := loss(func(c *critic.Cones) { c.Steps = &steps })
	a, sa := call(t, c, with, nil)
	b, sb := call(t, c, without, nil)
	if a.Value != b.Value || !reflect.DeepEqual(sa, sb) {
		t.Errorf("got %v with the point and %v without it", a.Value, b.Value)
	}
}

// Points in binary32 are the same numbers in binary64; their gradient comes back in binary32, the state in binary64.
func TestSinglePrecision(t *testing.T) {
	single, double := weighted(13, 30, 30, 3), weighted(13, 30, 30, 3)
	for _, name := range []string{"source.points", "target.points", "source.weights", "target.weights"} {
		s, d := losstest.Tensor(single, name), losstest.Tensor(double, name)
		for i, v := range d.F64 {
			s.F32 = append(s.F32, float32(v))
			d.F64[i] = float64(float32(v))
		}
		s.F64 = nil
	}
	a, sa := call(t, loss(nil), single, nil, "source.points")
	b, sb := call(t, loss(nil), double, nil, "source.points")
	if a.Value != b.Value || !reflect.DeepEqual(sa, sb) {
		t.Errorf("got %v of binary32 and %v of the same numbers in binary64", a.Value, b.Value)
	}
	ref := losses.Ref{Input: "source", Field: "points"}
	for i, v := range b.Gradients[ref].F64 {
		if a.Gradients[ref].F32[i] != float32(v) {
			t.Fatalf("gradient %d: %v, want %v", i, a.Gradients[ref].F32[i], float32(v))
		}
	}
}

// The extras are the function that the value is of, before the steps, at other points.
func TestCriticAtOtherPoints(t *testing.T) {
	in, state := weighted(14, 20, 20, 3), trained(t, 15, 12, 3)
	other := losstest.Normal(losstest.Random(16), 25, 3, 2, 0)
	for _, averages := range [][]float64{{1, 0}, {0, 1}} {
		state.Averages = losses.NewArray(averages, 2)
		in["at"] = &losses.Measure{Points: other}
		result, _ := call(t, loss(func(c *critic.Cones) { c.At = "at" }), in, state)
		h, slopes := result.Terms[0].Extras["critic"].(*losses.Array), result.Terms[0].Extras["critic_gradient"].(*losses.Array)
		if !slices.Equal(h.Shape, []int{25}) || !slices.Equal(slopes.Shape, []int{25, 3}) {
			t.Fatalf("shapes %v and %v", h.Shape, slopes.Shape)
		}
		for i := range 25 {
			z := slices.Clone(other.F64[i*3 : (i+1)*3])
			if want := at(state, int(averages[1]), z); math.Abs(h.F64[i]-want) > 1e-14*max(1, math.Abs(want)) {
				t.Errorf("critic at %d: %v, want %v", i, h.F64[i], want)
			}
			for k, start := range z {
				z[k] = start + 1e-6
				up := at(state, int(averages[1]), z)
				z[k] = start - 1e-6
				if want := (up - at(state, int(averages[1]), z)) / 2e-6; math.Abs(slopes.F64[i*3+k]-want) > 1e-8 {
					t.Errorf("gradient at %d, axis %d: %v, by differences %v", i, k, slopes.F64[i*3+k], want)
				}
				z[k] = start
			}
		}
	}
	if got := loss(nil).Extras(); !slices.Equal(got, []string{"state"}) {
		t.Errorf("without other points the extras are %v", got)
	}
}

// Against a prior the samples are the server's.
func TestAgainstAPrior(t *testing.T) {
	in := losses.Inputs{"source": weighted(17, 50, 1, 3)["source"], "target": &losses.Prior{Family: losses.StandardNormal{}}}
	_, state := call(t, loss(nil), in, nil)
	result, _ := call(t, loss(nil), in, state, "source.points")
	if o := result.Terms[0].Outcomes[0]; !(o.Value > 0) || o.StandardError == nil {
		t.Errorf("got %+v", o)
	}
}

func TestEndsWithTheContext(t *testing.T) {
	steps := critic.MaxSteps
	o := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss(func(c *critic.Cones) { c.Steps = &steps })}}, Extras: []string{"cone_critic.state"}}
	e, err := o.Bind(weighted(18, 500, 500, 8), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Evaluate(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
