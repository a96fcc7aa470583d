package critic_test

import (
	"math"
	"slices"
	"testing"

	"kantor/losses"
	"kantor/losses/critic"
	"kantor/losses/internal/losstest"
)

func TestRefused(t *testing.T) {
	path := "objective.terms[0].cone_critic."
	single := func(a losses.Array) losses.Array { return losses.Array{Shape: a.Shape, F32: make([]float32, a.Len())} }
	for name, tt := range map[string]struct {
		field  string
		change func(c *critic.Cones, in losses.Inputs, s *losses.ConeCriticState)
	}{
		"cones": {path + "cones", func(c *critic.Cones, _ losses.Inputs, _ *losses.ConeCriticState) { c.State, c.Cones = "", -1 }},
		"too many cones": {path + "cones", func(c *critic.Cones, _ losses.Inputs, _ *losses.ConeCriticState) {
			c.State, c.Cones = "", critic.MaxNumbers/2+1
		}},
		"negative rate": {path + "learning_rate", func(c *critic.Cones, _ losses.Inputs, _ *losses.ConeCriticState) { c.LearningRate = losstest.Ptr(-1) }},
		"rate": {path + "learning_rate", func(c *critic.Cones, _ losses.Inputs, _ *losses.ConeCriticState) {
			c.LearningRate = losstest.Ptr(math.NaN())
		}},
		"steps": {path + "steps", func(c *critic.Cones, _ losses.Inputs, _ *losses.ConeCriticState) {
			c.Steps = new(int)
			*c.Steps = critic.MaxSteps + 1
		}},
		"a measure's state": {path + "state", func(c *critic.Cones, _ losses.Inputs, _ *losses.ConeCriticState) { c.State = "source" }},
		"a state's points": {path + "source", func(c *critic.Cones, in losses.Inputs, _ *losses.ConeCriticState) {
			c.Source = "state"
			delete(in, "source")
		}},
		"masses": {path + "target", func(_ *critic.Cones, in losses.Inputs, _ *losses.ConeCriticState) {
			in["target"].(*losses.Measure).Weights = nil
		}},
		"far points": {path + "target", func(_ *critic.Cones, in losses.Inputs, _ *losses.ConeCriticState) {
			losstest.Tensor(in, "target.points").F64[1] = -1e101
		}},
		"dimension of at": {path + "at", func(c *critic.Cones, in losses.Inputs, _ *losses.ConeCriticState) {
			c.At, in["at"] = "at", losstest.Cloud([]float64{1})
		}},
		"a batch": {path + "source", func(_ *critic.Cones, in losses.Inputs, _ *losses.ConeCriticState) {
			in["source"] = &losses.Measure{Points: losses.NewArray(make([]float64, 4), 1, 2, 2)}
		}},
		"dimension": {path + "state", func(_ *critic.Cones, in losses.Inputs, _ *losses.ConeCriticState) {
			in["source"], in["target"] = losstest.Cloud([]float64{1}), losstest.Cloud([]float64{1})
		}},
		"single tips": {path + "state", func(_ *critic.Cones, _ losses.Inputs, s *losses.ConeCriticState) { s.Tips = single(s.Tips) }},
		"single moments": {path + "state", func(_ *critic.Cones, _ losses.Inputs, s *losses.ConeCriticState) {
			s.HeightMoments = single(s.HeightMoments)
		}},
		"large tips":     {path + "state", func(_ *critic.Cones, _ losses.Inputs, s *losses.ConeCriticState) { s.Tips.F64[3] = 1e101 }},
		"large heights":  {path + "state", func(_ *critic.Cones, _ losses.Inputs, s *losses.ConeCriticState) { s.Heights.F64[3] = -1e101 }},
		"large averages": {path + "state", func(_ *critic.Cones, _ losses.Inputs, s *losses.ConeCriticState) { s.Averages.F64[1] = 1e101 }},
		"large moments":  {path + "state", func(_ *critic.Cones, _ losses.Inputs, s *losses.ConeCriticState) { s.TipMoments.F64[0] = 6 }},
		"large square": {path + "state", func(_ *critic.Cones, _ losses.Inputs, s *losses.ConeCriticState) {
			s.TipMoments.F64[s.TipMoments.Len()-1] = 6
		}},
		"negative square": {path + "state", func(_ *critic.Cones, _ losses.Inputs, s *losses.ConeCriticState) {
			s.HeightMoments.F64[s.HeightMoments.Len()/2] = -1e-3
		}},
		"infinite tips": {`inputs["state"].tips`, func(_ *critic.Cones, _ losses.Inputs, s *losses.ConeCriticState) { s.Tips.F64[3] = math.Inf(1) }},
	} {
		t.Run(name, func(t *testing.T) {
			in, state := weighted(1, 5, 5, 2), trained(t, 2, 4, 2)
			c := loss(func(c *critic.Cones) { c.State = "state" })
			in["state"] = state
			tt.change(&c, in, state)
			if !slices.ContainsFunc(c.Uses(), func(u losses.Use) bool { return u.Input == "state" }) {
				delete(in, "state")
			}
			_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: c}}}.Bind(in, 0)
			if bad, ok := err.(*losses.InputError); !ok || bad.Field != tt.field {
				t.Errorf("got %v, want an error at %s", err, tt.field)
			}
		})
	}
}

// A state at the ends of what is accepted, with the longest steps, gives finite numbers: nothing that is not refused overflows.
func TestHostileStatesGiveNumbers(t *testing.T) {
	for seed := range uint64(100) {
		r := losstest.Random(600 + seed)
		in, state := weighted(seed, 6, 5, 2), trained(t, seed, 3, 2)
		extreme := func(x []float64, values ...float64) {
			for i := range x {
				if r.IntN(2) == 0 {
					x[i] = values[r.IntN(len(values))]
				}
			}
		}
		extreme(state.Tips.F64, 1e100, -1e100, 0, 5e-324)
		extreme(state.Heights.F64, 1e100, -1e100, 5e-324)
		extreme(state.Averages.F64, 1e100, -1e100, 0)
		for _, m := range []losses.Array{state.TipMoments, state.HeightMoments} {
			extreme(m.F64[:m.Len()/2], 5, -5, 0, 1e-31)
			extreme(m.F64[m.Len()/2:], 0, 5, 5e-324, 1e-300)
		}
		extreme(losstest.Tensor(in, "source.points").F64, 1e100, -1e100)
		extreme(losstest.Tensor(in, "target.points").F64, 1e100, 1e-300)
		state.Step = []int{0, 1, math.MaxInt32}[r.IntN(3)]
		rate, steps := float64(critic.MaxLearningRate), 30
		result, after := call(t, loss(func(c *critic.Cones) { c.LearningRate, c.Steps = &rate, &steps }), in, state,
			"source.points", "target.points", "source.weights", "target.weights")
		all := []float64{result.Value, *result.Terms[0].Outcomes[0].StandardError}
		for _, a := range []losses.Array{after.Tips, after.Heights, after.TipMoments, after.HeightMoments, after.Averages} {
			all = append(all, a.F64...)
		}
		for _, g := range result.Gradients {
			all = append(all, g.F64...)
		}
		for _, v := range all {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("seed %d: %v among the results", seed, v)
			}
		}
	}
}

// A mass near the end of binary64 makes the value infinite, with a warning, and leaves the critic as it is for a mass of 1.
func TestMassBeyondRange(t *testing.T) {
	in := losses.Inputs{"source": losstest.Weighted([]float64{0, 3}, []float64{8e307, 8e307}), "target": losstest.Weighted([]float64{10, 40}, []float64{8e307, 8e307})}
	one := losses.Inputs{"source": losstest.Weighted([]float64{0, 3}, []float64{0.5, 0.5}), "target": losstest.Weighted([]float64{10, 40}, []float64{0.5, 0.5})}
	_, state := call(t, loss(nil), in, nil)
	_, want := call(t, loss(nil), one, nil)
	if !slices.Equal(state.Tips.F64, want.Tips.F64) || !slices.Equal(state.Heights.F64, want.Heights.F64) {
		t.Errorf("tips %v at %v, want %v at %v", state.Tips.F64, state.Heights.F64, want.Tips.F64, want.Heights.F64)
	}
	result, _ := call(t, loss(nil), in, state)
	if w := result.Terms[0].Warnings; !math.IsInf(result.Value, 1) || len(w) != 1 || w[0].Code != losses.InfiniteValue {
		t.Errorf("got %v with %v, want +Inf with a warning", result.Value, w)
	}
}
