package kantorovich_test

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kantorovich"
)

func dual(change func(*kantorovich.Dual)) kantorovich.Dual {
	d := kantorovich.Dual{Source: "x", Target: "y"}
	if change != nil {
		change(&d)
	}
	return d
}

// by is a dual of one method.
func by(method kantorovich.Method) kantorovich.Dual {
	return dual(func(d *kantorovich.Dual) { d.Method = method })
}

// methods are those that a value can come from.
var methods = []kantorovich.Method{kantorovich.Entropic, kantorovich.Exact}

// eachMethod runs a test by both methods.
func eachMethod(t *testing.T, test func(t *testing.T, d kantorovich.Dual)) {
	for _, method := range methods {
		t.Run(map[kantorovich.Method]string{kantorovich.Entropic: "entropic", kantorovich.Exact: "exact"}[method], func(t *testing.T) { test(t, by(method)) })
	}
}

// check is strict on the interval, and on the promise that a converged value is within the gap.
func check(t *testing.T, name string, o losses.Outcome, exact float64) {
	t.Helper()
	if exact < o.Interval.Lower || exact > o.Interval.Upper {
		t.Errorf("%s: the exact value %v is outside of %v", name, exact, *o.Interval)
	}
	if o.Value < o.Interval.Lower || o.Value > o.Interval.Upper {
		t.Errorf("%s: the value %v is outside of %v", name, o.Value, *o.Interval)
	}
	if !o.Solve.Converged || o.Interval.Upper-o.Interval.Lower > kantorovich.DefaultGap*o.Interval.Upper*(1+1e-9) {
		t.Errorf("%s: %v is wider than the gap, %+v", name, *o.Interval, *o.Solve)
	}
}

// T1: W1 between Diracs is their distance, with gradient ∓1.
func TestDiracs(t *testing.T) {
	eachMethod(t, func(t *testing.T, d kantorovich.Dual) {
		in := losses.Inputs{"x": losstest.Cloud([]float64{0}), "y": losstest.Cloud([]float64{3})}
		result := losstest.Evaluate(t, d, in, "x.points", "y.points")
		check(t, "Diracs", result.Terms[0].Outcomes[0], 3)
		if result.Value != 3 {
			t.Errorf("got %v, want 3", result.Value)
		}
		x, y := result.Gradients[losses.Ref{Input: "x", Field: "points"}].F64[0], result.Gradients[losses.Ref{Input: "y", Field: "points"}].F64[0]
		if x != -1 || y != 1 {
			t.Errorf("gradients %v and %v, want -1 and 1", x, y)
		}
	})
}

// T3: the same weights on other labels.
func TestLabelsMatter(t *testing.T) {
	eachMethod(t, func(t *testing.T, d kantorovich.Dual) {
		p, q := []float64{0.5, 0.5, 0}, []float64{0.25, 0.25, 0.5}
		for _, tt := range []struct {
			labels []float64
			want   float64
		}{
			{[]float64{1, 10, 1000}, 497.25},
			{[]float64{1, 2, 3}, 0.75},
			{[]float64{1000, 1, 10}, 249.75},
		} {
			in := losses.Inputs{"x": losstest.Weighted(tt.labels, p), "y": losstest.Weighted(slices.Clone(tt.labels), q)}
			check(t, "labels", losstest.Outcome(t, d, in), tt.want)
		}
	})
}

// T8: W1 of a translated measure is the length of the translation; T5: it grows tenfold under x → 10x.
func TestTranslationAndScale(t *testing.T) {
	eachMethod(t, func(t *testing.T, d kantorovich.Dual) {
		r := losstest.Random(1)
		const n = 40
		x := losstest.Normal(r, n, 3, 1, 0)
		y, x10, y10 := losses.NewArray(make([]float64, 3*n), n, 3), losses.NewArray(make([]float64, 3*n), n, 3), losses.NewArray(make([]float64, 3*n), n, 3)
		shift := []float64{2, -1, 2} // of length 3
		for i, v := range x.F64 {
			x.F64[i] = math.Round(v*1024) / 1024
			y.F64[i] = x.F64[i] + shift[i%3]
			x10.F64[i], y10.F64[i] = 10*x.F64[i], 10*y.F64[i]
		}
		check(t, "translation", losstest.Outcome(t, d, losses.Inputs{"x": &losses.Measure{Points: x}, "y": &losses.Measure{Points: y}}), 3)
		check(t, "ten times", losstest.Outcome(t, d, losses.Inputs{"x": &losses.Measure{Points: x10}, "y": &losses.Measure{Points: y10}}), 30)
	})
}

// On the line it is ∫|F-G|, by the weighted merge of the two distribution functions.
func TestOnTheLine(t *testing.T) {
	eachMethod(t, func(t *testing.T, d kantorovich.Dual) {
		for seed := range uint64(20) {
			r := losstest.Random(10 + seed)
			n, m := 1+r.IntN(40), 1+r.IntN(40)
			in := losses.Inputs{
				"x": &losses.Measure{Points: losstest.Normal(r, n, 1, 1, 0), Weights: losstest.Weights(r, n, 2)},
				"y": &losses.Measure{Points: losstest.Normal(r, m, 1, 2, 1), Weights: losstest.Weights(r, m, 2)},
			}
			check(t, "line", losstest.Outcome(t, d, in), merged(in))
		}
	})
}

// merged is ∫|F-G| of two measures on the line.
func merged(in losses.Inputs) float64 {
	type jump struct{ at, by float64 }
	var jumps []jump
	for name, sign := range map[string]float64{"x": 1, "y": -1} {
		m := in[name].(*losses.Measure)
		for i, at := range m.Points.F64 {
			jumps = append(jumps, jump{at, sign * m.Weights.F64[i]})
		}
	}
	slices.SortFunc(jumps, func(a, b jump) int { return cmp.Compare(a.at, b.at) })
	total, difference := 0.0, 0.0
	for i, j := range jumps {
		if i > 0 {
			total += math.Abs(difference) * (j.at - jumps[i-1].at)
		}
		difference += j.by
	}
	return total
}

// Funnels: u(z) = min_n |z-c_n| + b_n, y ~ P and x = c_n + κ(y - c_n) for the cone that is active at y. Every point moves straight down its cone, so u is
// optimal and W1 = (1-κ) Σ |y-c_n|, exactly, for the samples themselves.
func TestFunnels(t *testing.T) {
	for _, d := range []int{1, 2, 8, 16} {
		r := losstest.Random(50)
		const n, cones, kappa = 60, 5, 0.4
		c := losstest.Normal(r, cones, d, 1.5, 0).F64
		b := losstest.Normal(r, 1, cones, 0.3, 0).F64
		y, x := losstest.Normal(r, n, d, 1, 0), losses.NewArray(make([]float64, n*d), n, d)
		want := 0.0
		for i := range n {
			point := y.F64[i*d : (i+1)*d]
			active, least := 0, math.Inf(1)
			for k := range cones {
				if u := distance(point, c[k*d:(k+1)*d]) + b[k]; u < least {
					active, least = k, u
				}
			}
			for j, v := range point {
				center := c[active*d+j]
				x.F64[i*d+j] = center + kappa*(v-center)
			}
			want += distance(point, x.F64[i*d:(i+1)*d]) / n
		}
		in := losses.Inputs{"x": &losses.Measure{Points: x}, "y": &losses.Measure{Points: y}}
		for _, method := range methods {
			check(t, "funnels", losstest.Outcome(t, by(method), in), want)
		}
	}
}

func distance(x, y []float64) float64 {
	s := 0.0
	for i := range x {
		s += (x[i] - y[i]) * (x[i] - y[i])
	}
	return math.Sqrt(s)
}

// potential rebuilds h(z) = min_j |z-y_j| - g_j from its values at the target: h is 1-Lipschitz, so max_j h(y_j) - |z-y_j| and min_j h(y_j) + |z-y_j|
// enclose it, and the second is h itself, each cone's tip being at or above h.
func potential(y *losses.Measure, h []float64, z []float64) float64 {
	d, least := y.Points.Shape[1], math.Inf(1)
	for j, v := range h {
		least = min(least, distance(z, y.Points.F64[j*d:(j+1)*d])+v)
	}
	return least
}

func withPotentials(t *testing.T, d kantorovich.Dual, in losses.Inputs, gradients ...string) (*losses.Result, *losses.Potentials) {
	t.Helper()
	result := losstest.EvaluateObjective(t, losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: d}},
		Extras: []string{"kantorovich.potentials"}, Gradients: gradients}, in)
	return result, result.Terms[0].Extras["potentials"].(*losses.Potentials)
}

func random(seed uint64, n, m, d int) losses.Inputs {
	r := losstest.Random(seed)
	return losses.Inputs{
		"x": &losses.Measure{Points: losstest.Normal(r, n, d, 0.7, 0.2), Weights: losstest.Weights(r, n, 1)},
		"y": &losses.Measure{Points: losstest.Normal(r, m, d, 1, 0), Weights: losstest.Weights(r, m, 1)},
	}
}

// The Lipschitz constant is at most 1 on 1e5 random pairs, off the support too.
func TestPotentialIsLipschitz(t *testing.T) {
	eachMethod(t, func(t *testing.T, d kantorovich.Dual) {
		in := random(60, 40, 30, 3)
		_, p := withPotentials(t, d, in)
		y := in["y"].(*losses.Measure)
		r := losstest.Random(61)
		for range 100_000 {
			u, v := losstest.Normal(r, 1, 3, 2, 0).F64, losstest.Normal(r, 1, 3, 2, 0).F64
			hu, hv := potential(y, p.Target, u), potential(y, p.Target, v)
			if math.Abs(hu-hv) > distance(u, v)*(1+1e-12) {
				t.Fatalf("|h(u)-h(v)| = %v over |u-v| = %v", math.Abs(hu-hv), distance(u, v))
			}
		}
		// And between the points it was computed at, source and target.
		x := in["x"].(*losses.Measure)
		for i, hi := range p.Source {
			for j, hj := range p.Target {
				if dist := distance(x.Points.F64[i*3:(i+1)*3], y.Points.F64[j*3:(j+1)*3]); math.Abs(hi-hj) > dist*(1+1e-12) {
					t.Fatalf("|h(x_%d)-h(y_%d)| = %v over %v", i, j, math.Abs(hi-hj), dist)
				}
			}
		}
	})
}

func TestPotentialsGiveTheValue(t *testing.T) {
	eachMethod(t, func(t *testing.T, d kantorovich.Dual) {
		in := random(62, 30, 20, 2)
		result, p := withPotentials(t, d, in)
		x, y := in["x"].(*losses.Measure), in["y"].(*losses.Measure)
		source, target := 0.0, 0.0
		for i, h := range p.Source {
			source += x.Weights.F64[i] * h
		}
		for j, h := range p.Target {
			target += y.Weights.F64[j] * h
		}
		if p.Gauge != losses.ZeroTargetMean || math.Abs(target) > 1e-14 || math.Abs(source-result.Value) > 1e-13 {
			t.Errorf("gauge %v: means %v and %v, want %v and 0", p.Gauge, source, target, result.Value)
		}
	})
}

// The gradient in the source points is that of the frozen potential: central differences of h alone, which the points that move do not change.
func TestSourceGradientIsThatOfTheFrozenPotential(t *testing.T) {
	in := random(63, 30, 20, 3)
	result, p := withPotentials(t, by(kantorovich.Entropic), in, "x.points")
	x, y := in["x"].(*losses.Measure), in["y"].(*losses.Measure)
	g := result.Gradients[losses.Ref{Input: "x", Field: "points"}].F64
	const h = 1e-6
	for i := range 30 {
		z := slices.Clone(x.Points.F64[i*3 : (i+1)*3])
		for k := range z {
			at := z[k]
			z[k] = at + h
			up := potential(y, p.Target, z)
			z[k] = at - h
			down := potential(y, p.Target, z)
			z[k] = at
			want := x.Weights.F64[i] * (up - down) / (2 * h)
			// The truncation is h² over the distance squared, the rounding 1e-16/h.
			if math.Abs(g[i*3+k]-want) > 1e-9 {
				t.Errorf("point %d, axis %d: got %v, by differences %v", i, k, g[i*3+k], want)
			}
		}
	}
}

// With g fixed the value does not change when everything moves together, so the gradients of all points sum to 0.
func TestGradientsOfAllPointsCancel(t *testing.T) {
	eachMethod(t, func(t *testing.T, d kantorovich.Dual) {
		in := random(64, 30, 20, 2)
		result := losstest.Evaluate(t, d, in, "x.points", "y.points", "x.weights", "y.weights")
		for k := range 2 {
			sum := 0.0
			for _, name := range []string{"x", "y"} {
				for i, v := range result.Gradients[losses.Ref{Input: name, Field: "points"}].F64 {
					if i%2 == k {
						sum += v
					}
				}
			}
			if math.Abs(sum) > 1e-13 {
				t.Errorf("axis %d: the gradients sum to %v", k, sum)
			}
		}
		for _, name := range []string{"x", "y"} {
			mean := 0.0
			for i, v := range result.Gradients[losses.Ref{Input: name, Field: "weights"}].F64 {
				mean += in[name].(*losses.Measure).Weights.F64[i] * v
			}
			if math.Abs(mean) > 1e-14 {
				t.Errorf("%s: <weights, gradient> = %v, want 0", name, mean)
			}
		}
	})
}

// The gradient of a good dual is close to that of W1 itself: for a translation by v it is v/|v|, shared by weight.
func TestGradientOfATranslation(t *testing.T) {
	eachMethod(t, func(t *testing.T, d kantorovich.Dual) {
		r := losstest.Random(65)
		const n = 30
		x, y := losstest.Normal(r, n, 2, 0.1, 0), losses.NewArray(make([]float64, 2*n), n, 2)
		for i, v := range x.F64 {
			y.F64[i] = v + []float64{30, 40}[i%2]
		}
		g := losstest.Evaluate(t, d, losses.Inputs{"x": &losses.Measure{Points: x}, "y": &losses.Measure{Points: y}}, "x.points").
			Gradients[losses.Ref{Input: "x", Field: "points"}].F64
		for i, v := range g {
			// All directions from x to y lie within (spread 0.5)/50 of the translation's.
			if want := []float64{-0.6, -0.8}[i%2] / n; math.Abs(v-want) > 0.02/n {
				t.Errorf("gradient %d: got %v, want about %v", i, v, want)
			}
		}
	})
}

// W1 of a measure to itself is 0, which the bounds enclose as closely as rounding lets them: that is converged.
func TestIdenticalMeasures(t *testing.T) {
	eachMethod(t, func(t *testing.T, d kantorovich.Dual) {
		for seed := range uint64(5) {
			in := random(70+seed, 30, 5, 3)
			o := losstest.Outcome(t, d, losses.Inputs{"x": in["x"], "y": in["x"]})
			if o.Interval.Lower > 0 || o.Interval.Upper < 0 || o.Interval.Upper > 1e-10 || !o.Solve.Converged {
				t.Errorf("got %v, %+v, want an interval around 0 as wide as rounding", *o.Interval, *o.Solve)
			}
		}
		point := losses.Inputs{"x": losstest.Cloud([]float64{1, 2}), "y": losstest.Cloud([]float64{1, 2}, []float64{1, 2})}
		if o := losstest.Outcome(t, d, point); o.Value != 0 || !o.Solve.Converged {
			t.Errorf("all points in one place: got %v, %+v", o.Value, *o.Solve)
		}
	})
}

func TestStopsAtMaxIterations(t *testing.T) {
	in := random(66, 40, 40, 2)
	result := losstest.Evaluate(t, dual(func(d *kantorovich.Dual) {
		d.Method, d.MaxIterations, d.Gap = kantorovich.Entropic, 5, losstest.Ptr(1e-6)
	}), in)
	term := result.Terms[0]
	if o := term.Outcomes[0]; o.Solve.Converged || o.Solve.Iterations > 5 || o.Interval.Lower > o.Interval.Upper {
		t.Errorf("got %+v with %v", *o.Solve, *o.Interval)
	}
	if len(term.Warnings) != 1 || term.Warnings[0].Code != losses.NotConverged {
		t.Errorf("warnings: %v, want NOT_CONVERGED", term.Warnings)
	}
}

func TestBadParameters(t *testing.T) {
	in := random(67, 4, 4, 2)
	for field, d := range map[string]kantorovich.Dual{
		"objective.terms[0].kantorovich.gap":            dual(func(d *kantorovich.Dual) { d.Gap = losstest.Ptr(0) }),
		"objective.terms[0].kantorovich.max_iterations": dual(func(d *kantorovich.Dual) { d.MaxIterations = -1 }),
	} {
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: d}}}.Bind(in, 0)
		if bad, ok := err.(*losses.InputError); !ok || bad.Field != field {
			t.Errorf("got %v, want an error at %s", err, field)
		}
	}
}
