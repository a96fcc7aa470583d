package kantorovich_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kantorovich"
)

// critic is h at points, [n,d], and its gradients there.
func critic(t *testing.T, d kantorovich.Dual, in losses.Inputs, points losses.Array) (h, gradient []float64) {
	t.Helper()
	d.At = "at"
	all := losses.Inputs{"at": &losses.Measure{Points: points}}
	for name, input := range in {
		all[name] = input
	}
	return extra(t, d, all, "critic").(*losses.Array).F64, extra(t, d, all, "critic_gradient").(*losses.Array).F64
}

// Row T15 of docs/mathematics.md: the duality of Kantorovich and Rubinstein. The value of h, the optimum of the dual and the cost of the plan are one number;
// at the target h is -g, g the potential of transport; and h is 1-Lipschitz wherever it is looked at.
func TestT15Duality(t *testing.T) {
	for seed := range uint64(20) {
		in := random(seed, 10+3*int(seed), 60-2*int(seed), 1+int(seed%4))
		primal := losstest.Outcome(t, transport(losses.Euclidean), in)
		dual := losstest.Outcome(t, by(kantorovich.Exact), in)
		near(t, "dual", certified(t, "dual", dual), primal.Value, 1e-13)
		_, h := withPotentials(t, by(kantorovich.Exact), in)
		p := extra(t, transport(losses.Euclidean), in, "potentials").(*losses.Potentials)
		b, mean := in["y"].(*losses.Measure).Weights.F64, 0.0
		for j, g := range p.Target {
			mean += b[j] * g
		}
		for j, g := range p.Target {
			near(t, "h + g at the target", h.Target[j]+(g-mean), 0, 1e-13)
		}
		values, _ := critic(t, by(kantorovich.Exact), in, in["x"].(*losses.Measure).Points)
		for i, f := range p.Source {
			near(t, "h - f at the source", h.Source[i]-(f+mean), 0, 1e-13)
			if values[i] != h.Source[i] {
				t.Errorf("the critic is %v at a source point, the potential %v", values[i], h.Source[i])
			}
		}
	}
	in := random(60, 40, 30, 3)
	points := losstest.Normal(losstest.Random(61), 450, 3, 2, 0)
	for _, method := range methods {
		h, gradient := critic(t, by(method), in, points)
		for i := range h { // 1e5 pairs
			at := points.F64[3*i:][:3]
			for j := range i {
				if dist := distance(at, points.F64[3*j:][:3]); math.Abs(h[i]-h[j]) > dist*(1+1e-12) {
					t.Fatalf("|h(u)-h(v)| = %v over |u-v| = %v", math.Abs(h[i]-h[j]), dist)
				}
			}
			near(t, "length of the gradient", distance(gradient[3*i:][:3], []float64{0, 0, 0}), 1, 1e-14)
		}
	}
}

// The gradient of the critic is that of its values, wherever one cone is the least by more than a step.
func TestCriticGradient(t *testing.T) {
	in := random(62, 30, 20, 2)
	const step = 1e-6
	points := losstest.Normal(losstest.Random(63), 100, 2, 1, 0)
	for _, method := range methods {
		_, gradient := critic(t, by(method), in, points)
		for k := range 2 {
			moved := func(h float64) []float64 {
				x := slices.Clone(points.F64)
				for i := k; i < len(x); i += 2 {
					x[i] += h
				}
				values, _ := critic(t, by(method), in, losses.NewArray(x, 100, 2))
				return values
			}
			up, down := moved(step), moved(-step)
			for i := range 100 {
				// Truncation is step² over a distance of 1e-2 squared, rounding 1e-16/step.
				near(t, fmt.Sprintf("point %d, axis %d", i, k), gradient[2*i+k], (up[i]-down[i])/(2*step), 1e-8)
			}
		}
	}
	at := losses.NewArray([]float64{1, 2}, 1, 2)
	if _, g := critic(t, dual(nil), pair(losstest.Cloud([]float64{5, 5}), losstest.Cloud([]float64{1, 2})), at); g[0] != 0 || g[1] != 0 {
		t.Errorf("at the tip of a cone the gradient is %v, want 0", g)
	}
}

// Row T16: moved by θ, a sample is exactly |θ| from itself, and an independent sample of the same distribution is further, by much where the dimension is
// high: the distance of samples is above that of their distributions, which is what fresh samples do not suffer from.
func TestT16ShiftOfPairedAndUnpairedSamples(t *testing.T) {
	const n, d = 128, 16
	unpaired, fresh, variance := 0.0, 0.0, 0.0
	for seed := range uint64(5) {
		r := losstest.Random(3000 + seed)
		sample := func(shift float64) *losses.Measure {
			m := &losses.Measure{Points: losstest.Normal(r, n, d, 1, 0)}
			for i := 0; i < n*d; i += d {
				m.Points.F64[i] += shift
			}
			return m
		}
		x := sample(0)
		y := &losses.Measure{Points: losses.NewArray(slices.Clone(x.Points.F64), n, d)}
		for i := range y.Points.F64 {
			x.Points.F64[i] = math.Round(x.Points.F64[i]*1024) / 1024
			y.Points.F64[i] = x.Points.F64[i]
		}
		for i := 0; i < n*d; i += d {
			y.Points.F64[i] += 3
		}
		is(t, "paired", by(kantorovich.Exact), pair(x, y), 3)
		in := losses.Inputs{"x": x, "y": sample(3), "x2": sample(0), "y2": sample(3)}
		o := losstest.Outcome(t, by(kantorovich.Exact), pair(x, in["y"].(*losses.Measure)))
		if o.Value < 3.5 {
			t.Errorf("unpaired samples are %v apart, want well above 3", o.Value)
		}
		unpaired += o.Value / 5
		loss := by(kantorovich.Exact)
		loss.FreshSource, loss.FreshTarget = "x2", "y2"
		f := losstest.Outcome(t, loss, in)
		if f.Estimand != losses.PopulationLowerBound || f.Interval != nil {
			t.Errorf("fresh samples give the estimand %v with the interval %v", f.Estimand, f.Interval)
		}
		fresh += f.Value / 5
		variance += *f.StandardError * *f.StandardError / 25
	}
	// 3 is between: the fresh mean is below it but for its standard error, and far above 0.
	if low := fresh - 4*math.Sqrt(variance); low > 3 || fresh < 1 || unpaired < 4 {
		t.Errorf("fresh samples give %v ± %v and their own %v, want 3 between", fresh, math.Sqrt(variance), unpaired)
	}
}

// On fresh samples the value is a difference of two means of the critic, with the standard error of such a difference, for uniform and other weights; the
// gradients are those of the critic there, and nothing else has one.
func TestFreshSamples(t *testing.T) {
	for _, method := range methods {
		for _, mass := range []float64{1, 3} {
			r := losstest.Random(65) // others than the points of in, where cones tie
			in := random(64, 30, 20, 3)
			in["x2"] = &losses.Measure{Points: losstest.Normal(r, 15, 3, 0.7, 0.2)}
			in["y2"] = &losses.Measure{Points: losstest.Normal(r, 25, 3, 1, 0)}
			a, b := slices.Repeat([]float64{1. / 15}, 15), slices.Repeat([]float64{1. / 25}, 25)
			if mass != 1 {
				for name, w := range map[string][]float64{"x2": a, "y2": b} {
					in[name].(*losses.Measure).Weights = losstest.Weights(r, len(w), mass)
					copy(w, in[name].(*losses.Measure).Weights.F64)
				}
			}
			loss := by(method)
			loss.FreshSource, loss.FreshTarget = "x2", "y2"
			result := losstest.Evaluate(t, loss, in, "x2.points", "y2.points", "x2.weights", "y2.weights", "x.points", "y.points", "y.weights")
			fitted := losses.Inputs{"x": in["x"], "y": in["y"]}
			h, gh := critic(t, by(method), fitted, in["x2"].(*losses.Measure).Points)
			k, gk := critic(t, by(method), fitted, in["y2"].(*losses.Measure).Points)
			mean := func(w, h []float64) (mean, variance, squares float64) {
				for i, v := range h {
					mean += w[i] / mass * v
					squares += w[i] / mass * w[i] / mass
				}
				for i, v := range h {
					variance += w[i] * w[i] * (v - mean) * (v - mean)
				}
				return mean, variance / (1 - squares), squares
			}
			mx, vx, _ := mean(a, h)
			my, vy, _ := mean(b, k)
			o := result.Terms[0].Outcomes[0]
			near(t, "value", o.Value, mass*(mx-my), 1e-13)
			near(t, "standard error", *o.StandardError, math.Sqrt(vx+vy), 1e-13)
			grads := func(name string) []float64 {
				input, field, _ := strings.Cut(name, ".")
				return result.Gradients[losses.Ref{Input: input, Field: field}].F64
			}
			for i, v := range gh {
				near(t, "x2.points", grads("x2.points")[i], a[i/3]*v, 1e-14)
			}
			for i, v := range gk {
				near(t, "y2.points", grads("y2.points")[i], -b[i/3]*v, 1e-14)
			}
			for i, v := range h {
				near(t, "x2.weights", grads("x2.weights")[i], v-mx, 1e-13)
			}
			for i, v := range k {
				near(t, "y2.weights", grads("y2.weights")[i], my-v, 1e-13)
			}
			for _, name := range []string{"x.points", "y.points", "y.weights"} {
				if slices.ContainsFunc(grads(name), func(v float64) bool { return v != 0 }) {
					t.Errorf("%s has the gradient %v, want 0", name, grads(name))
				}
			}
			for _, name := range []string{"x2.points", "y2.points"} {
				agree(t, "fresh", loss, in, name, losstest.Unit(r, in[name[:2]].(*losses.Measure).Points.Len()))
			}
		}
	}
}

// For n equal weights the standard error is that of the textbook: the sample variance over n. One sample tells none.
func TestStandardError(t *testing.T) {
	// One cone at 0, so that h = |z| but for a constant.
	in := losses.Inputs{"x": losstest.Cloud([]float64{1}), "y": losstest.Cloud([]float64{0}),
		"x2": losstest.Cloud([]float64{1}, []float64{2}, []float64{-6}), "y2": losstest.Cloud([]float64{0.5}, []float64{-0.5})}
	loss := dual(func(d *kantorovich.Dual) { d.FreshSource, d.FreshTarget = "x2", "y2" })
	o := losstest.Outcome(t, loss, in)
	// Means 3 and ½; deviations -2, -1, 3, whose squares sum to 14; 14/2/3.
	near(t, "value", o.Value, 2.5, 1e-15)
	near(t, "standard error", *o.StandardError, math.Sqrt(14./6), 1e-15)
	in["y2"] = losstest.Cloud([]float64{0.5})
	if o := losstest.Outcome(t, loss, in); o.StandardError != nil {
		t.Errorf("one sample gives the standard error %v, want none", *o.StandardError)
	}
}

// Any gap is met by the exact method, which does not count iterations.
func TestExactMeetsAnyGap(t *testing.T) {
	in := random(66, 40, 40, 2)
	o := losstest.Outcome(t, dual(func(d *kantorovich.Dual) {
		d.Method, d.MaxIterations, d.Gap = kantorovich.Exact, 1, losstest.Ptr(1e-15)
	}), in)
	certified(t, "a gap of 1e-15 in one iteration", o)
	// By sizes alone: 1600 pairs are solved exactly, with the same bits.
	if auto := losstest.Outcome(t, dual(nil), in); auto.Value != o.Value || *auto.Interval != *o.Interval || *auto.Solve != *o.Solve {
		t.Errorf("auto gives %+v, exact %+v", auto, o)
	}
	near(t, "entropic", losstest.Outcome(t, by(kantorovich.Entropic), in).Value, o.Value, kantorovich.DefaultGap)
}

func TestBadDuals(t *testing.T) {
	in := losses.Inputs{"x": losstest.Cloud([]float64{0, 0}), "y": losstest.Cloud([]float64{1, 1}), "x2": losstest.Cloud([]float64{2, 2}),
		"line":  losstest.Cloud([]float64{0}),
		"heavy": &losses.Measure{Points: losses.NewArray([]float64{0, 0}, 1, 2), Weights: &losses.Array{Shape: []int{1}, F64: []float64{2}}},
		"far":   losstest.Cloud([]float64{1e301, 0}),
		"q":     &losses.Gaussian{Mean: losses.NewArray([]float64{0}, 1, 1), LogVariance: losses.NewArray([]float64{0}, 1, 1)},
		"prior": &losses.Prior{Family: losses.StandardNormal{}}}
	for name, tt := range map[string]struct {
		change func(*kantorovich.Dual)
		field  string
	}{
		"fresh source alone":     {func(d *kantorovich.Dual) { d.FreshSource = "x2" }, "fresh_target"},
		"fresh target alone":     {func(d *kantorovich.Dual) { d.FreshTarget = "x2" }, "fresh_source"},
		"fresh source not fresh": {func(d *kantorovich.Dual) { d.FreshSource, d.FreshTarget = "x", "x2" }, "fresh_source"},
		"fresh target not fresh": {func(d *kantorovich.Dual) { d.FreshSource, d.FreshTarget = "x2", "y" }, "fresh_target"},
		"fresh dimension":        {func(d *kantorovich.Dual) { d.FreshSource, d.FreshTarget = "line", "x2" }, "fresh_source"},
		"fresh mass":             {func(d *kantorovich.Dual) { d.FreshSource, d.FreshTarget = "x2", "heavy" }, "fresh_target"},
		"fresh gaussian":         {func(d *kantorovich.Dual) { d.FreshSource, d.FreshTarget = "x2", "q" }, "fresh_target"},
		"fresh far":              {func(d *kantorovich.Dual) { d.FreshSource, d.FreshTarget = "x2", "far" }, "fresh_target"},
		"at dimension":           {func(d *kantorovich.Dual) { d.At = "line" }, "at"},
		"at a prior":             {func(d *kantorovich.Dual) { d.At = "prior" }, "at"},
	} {
		loss, used := dual(tt.change), losses.Inputs{}
		for _, use := range loss.Uses() {
			used[use.Input] = in[use.Input]
		}
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}}.Bind(used, 0)
		if bad, ok := err.(*losses.InputError); !ok || bad.Field != "objective.terms[0].kantorovich."+tt.field {
			t.Errorf("%s: got %v, want an error at %s", name, err, tt.field)
		}
	}
}

// A prior in the place of fresh samples is as large as what it stands beside, and other samples than a prior of another name.
func TestFreshPriors(t *testing.T) {
	r := losstest.Random(68)
	normal := &losses.Prior{Family: losses.StandardNormal{}}
	x, x2 := &losses.Measure{Points: losstest.Normal(r, 40, 2, 1, 2)}, &losses.Measure{Points: losstest.Normal(r, 60, 2, 1, 2), Weights: losstest.Weights(r, 60, 3)}
	in := losses.Inputs{"x": x, "y": normal, "x2": x2, "y2": normal}
	ahead := losstest.Outcome(t, dual(func(d *kantorovich.Dual) { d.FreshSource, d.FreshTarget = "x2", "y2" }), in)
	// The other way round h is another one, of the same size: the prior as source.
	back := losstest.Outcome(t, kantorovich.Dual{Source: "y", Target: "x", FreshSource: "y2", FreshTarget: "x2"}, in)
	// W1 is 2√2 and the mass 3.
	for _, o := range []losses.Outcome{ahead, back} {
		if math.Abs(o.Value-3*2*math.Sqrt2) > 6**o.StandardError || o.Value < 6 {
			t.Errorf("%v ± %v, want about %v", o.Value, *o.StandardError, 6*math.Sqrt2)
		}
	}
}
