package sinkhorn_test

import (
	"math"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sinkhorn"
)

// samplesLoss is a plain port of SamplesLoss("sinkhorn", p=2) for checking: every step as the library takes it, on whole matrices.
type samplesLoss struct {
	x, y, a, b    []float64
	d             int
	power         float64
	blur, scaling float64
	rho           float64 // 0: balanced
	diameter      float64 // 0: that of the bounding box
}

func (s samplesLoss) cost(x, y []float64) [][]float64 {
	out := make([][]float64, len(x)/s.d)
	for i := range out {
		for j := range len(y) / s.d {
			square := 0.0
			for k := range s.d {
				diff := x[i*s.d+k] - y[j*s.d+k]
				square += diff * diff
			}
			if s.power == 1 {
				out[i] = append(out[i], math.Sqrt(math.Max(square, 1e-8)))
			} else {
				out[i] = append(out[i], square/2)
			}
		}
	}
	return out
}

func (s samplesLoss) softmin(epsilon float64, c [][]float64, w, dual []float64) []float64 {
	damping := 1.0
	if s.rho > 0 {
		damping = 1 / (1 + epsilon/s.rho)
	}
	out := make([]float64, len(c))
	for i, row := range c {
		top := math.Inf(-1)
		for j := range row {
			top = math.Max(top, math.Log(w[j])+(dual[j]-row[j])/epsilon)
		}
		sum := 0.0
		for j := range row {
			sum += math.Exp(math.Log(w[j]) + (dual[j]-row[j])/epsilon - top)
		}
		out[i] = -damping * epsilon * (top + math.Log(sum))
	}
	return out
}

func transpose(c [][]float64) [][]float64 {
	out := make([][]float64, len(c[0]))
	for i := range out {
		for _, row := range c {
			out[i] = append(out[i], row[i])
		}
	}
	return out
}

func mean(x, y []float64) []float64 {
	out := make([]float64, len(x))
	for i := range x {
		out[i] = (x[i] + y[i]) / 2
	}
	return out
}

// potentials are those after the last step, f, g and the self ones, and its temperature.
func (s samplesLoss) potentials() (f, g, fa, gb []float64, e float64) {
	xy, xx, yy := s.cost(s.x, s.y), s.cost(s.x, s.x), s.cost(s.y, s.y)
	yx := transpose(xy)
	square := 0.0
	for k := range s.d {
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, c := range [][]float64{s.x, s.y} {
			for i := k; i < len(c); i += s.d {
				lo, hi = math.Min(lo, c[i]), math.Max(hi, c[i])
			}
		}
		square += (hi - lo) * (hi - lo)
	}
	diameter := s.diameter
	if diameter == 0 {
		diameter = math.Sqrt(square)
	}
	schedule := []float64{math.Pow(diameter, s.power)}
	for e := 0; ; e++ {
		l := s.power*math.Log(diameter) + float64(e)*s.power*math.Log(s.scaling)
		if l <= s.power*math.Log(s.blur) {
			break
		}
		schedule = append(schedule, math.Exp(l))
	}
	schedule = append(schedule, math.Pow(s.blur, s.power))
	zeroX, zeroY := make([]float64, len(s.a)), make([]float64, len(s.b))
	e = schedule[0]
	f, g = s.softmin(e, xy, s.b, zeroY), s.softmin(e, yx, s.a, zeroX)
	fa, gb = s.softmin(e, xx, s.a, zeroX), s.softmin(e, yy, s.b, zeroY)
	for _, e := range schedule {
		f1, g1 := s.softmin(e, xy, s.b, g), s.softmin(e, yx, s.a, f)
		fa1, gb1 := s.softmin(e, xx, s.a, fa), s.softmin(e, yy, s.b, gb)
		f, g, fa, gb = mean(f, f1), mean(g, g1), mean(fa, fa1), mean(gb, gb1)
	}
	e = schedule[len(schedule)-1]
	f, g = s.softmin(e, xy, s.b, g), s.softmin(e, yx, s.a, f)
	fa, gb = s.softmin(e, xx, s.a, fa), s.softmin(e, yy, s.b, gb)
	return f, g, fa, gb, e
}

func (s samplesLoss) value() float64 {
	f, g, fa, gb, e := s.potentials()
	total := 0.0
	for _, side := range []struct{ w, f, self []float64 }{{s.a, f, fa}, {s.b, g, gb}} {
		for i, w := range side.w {
			if s.rho > 0 {
				total += w * (s.rho + e/2) * (math.Exp(-side.self[i]/s.rho) - math.Exp(-side.f[i]/s.rho))
			} else {
				total += w * (side.f[i] - side.self[i])
			}
		}
	}
	return total
}

// The profile matches the library's steps to 1e-12, relative: some 20 steps of sums over 60 terms.
func TestGeomLossProfileStepForStep(t *testing.T) {
	in := pair(60, 50, 60, 3, 1)
	x, y := in["x"].(*losses.Measure), in["y"].(*losses.Measure)
	for _, cost := range []losses.Cost{losses.HalfSquaredEuclidean, losses.Euclidean} {
		for _, reach := range []float64{0, 1.5} {
			for _, schedule := range []struct{ scaling, diameter float64 }{{0.5, 0}, {0.8, 0}, {0.5, 20}, {0.8, 0.7}, {0.5, 0.1}} {
				scaling := schedule.scaling
				d := divergence(func(d *sinkhorn.Divergence) {
					d.Profile, d.Cost, d.Blur, d.Scaling = sinkhorn.GeomLoss, cost, losstest.Ptr(0.2), &scaling
				})
				s := samplesLoss{x: x.Points.F64, y: y.Points.F64, a: x.Weights.F64, b: y.Weights.F64, d: 3, power: 2, blur: 0.2, scaling: scaling,
					diameter: schedule.diameter}
				if schedule.diameter > 0 {
					d.Diameter = &schedule.diameter
				}
				if cost == losses.Euclidean {
					s.power = 1
				}
				if reach > 0 {
					d.Reach = &reach
					s.rho = math.Pow(reach, s.power)
				}
				want := s.value()
				o := losstest.Outcome(t, d, in)
				if math.Abs(o.Value-want) > 1e-12*math.Abs(want) {
					t.Errorf("%v, reach %v, scaling %v: got %v, want %v", cost, reach, scaling, o.Value, want)
				}
				if o.Solve.MarginalError <= 0 || o.Value < o.Interval.Lower || o.Value > o.Interval.Upper {
					t.Errorf("%v, reach %v: %+v with %v", cost, reach, *o.Solve, *o.Interval)
				}
			}
		}
	}
}

// Its potentials are SamplesLoss's, with the constant that the schedule left between f and g.
func TestGeomLossProfilePotentials(t *testing.T) {
	in := pair(64, 30, 20, 2, 1)
	x, y := in["x"].(*losses.Measure), in["y"].(*losses.Measure)
	f, g, fa, gb, _ := samplesLoss{x: x.Points.F64, y: y.Points.F64, a: x.Weights.F64, b: y.Weights.F64, d: 2, power: 2, blur: 0.2, scaling: 0.5}.potentials()
	d := divergence(func(d *sinkhorn.Divergence) { d.Profile, d.Blur = sinkhorn.GeomLoss, losstest.Ptr(0.2) })
	o := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: d}}, Extras: []string{"sinkhorn.potentials"}}
	p := losstest.EvaluateObjective(t, o, in).Terms[0].Extras["potentials"].(*losses.Potentials)
	if p.Gauge != losses.NoGauge {
		t.Errorf("gauge %v, want none", p.Gauge)
	}
	for name, s := range map[string]struct{ got, want []float64 }{"f": {p.Source, f}, "g": {p.Target, g}, "f self": {p.SourceSelf, fa}, "g self": {p.TargetSelf, gb}} {
		for i, want := range s.want {
			// As of the value: some ten steps of sums over 30 terms, of costs of order 10.
			if !(math.Abs(s.got[i]-want) <= 1e-12) {
				t.Errorf("%s at %d: got %v, want %v", name, i, s.got[i], want)
			}
		}
	}
}

// Clouds that are smaller than the blur: the schedule is that of a diameter below the last temperature, on which the library raises no error. The value of two
// points is half their squared distance, or it, whose difference from the floor of distances is what is left of the latter.
func TestGeomLossProfileOfSmallClouds(t *testing.T) {
	for _, cost := range []losses.Cost{losses.HalfSquaredEuclidean, losses.Euclidean} {
		for _, distance := range []float64{1e-2, 1e-3, 1e-12, 1e-30, 1e-60} {
			x, y := []float64{0, distance / 2}, []float64{distance}
			s := samplesLoss{x: x, y: y, a: []float64{0.5, 0.5}, b: []float64{1}, d: 1, power: 2, blur: 0.05, scaling: 0.5, rho: 0.25}
			d := divergence(func(d *sinkhorn.Divergence) { d.Profile, d.Cost, d.Rho = sinkhorn.GeomLoss, cost, losstest.Ptr(0.25) })
			if cost == losses.Euclidean {
				s.power = 1
			}
			got, want := losstest.Outcome(t, d, losses.Inputs{"x": losstest.Weighted(x, s.a), "y": losstest.Weighted(y, s.b)}), s.value()
			// Potentials are at most the costs and ε, and rounded relative to that.
			if diff := math.Abs(got.Value - want); !(diff <= 1e-16) || got.Solve.Iterations != 2 {
				t.Errorf("%v, distance %v: got %v after %d steps, want %v after 2", cost, distance, got.Value, got.Solve.Iterations, want)
			}
		}
	}
}

// Where all points are one there is no first temperature, and nothing to anneal. Nor is there where the diameter, squared, is less than any number.
func TestGeomLossProfileOfOnePlace(t *testing.T) {
	for _, cost := range []losses.Cost{losses.HalfSquaredEuclidean, losses.Euclidean} {
		for _, rho := range []*float64{nil, losstest.Ptr(1.0)} {
			for _, distance := range []float64{0, 1e-20, 1e-200} { // of which binary32 does not hold the second's square
				x, y := losstest.Cloud([]float64{0.5}, []float64{0.5}), losstest.Cloud([]float64{0.5})
				if distance > 0 {
					x, y = losstest.Cloud([]float64{0}, []float64{0}), losstest.Cloud([]float64{distance})
				}
				inputs := []losses.Inputs{{"x": x, "y": y},
					{"x": &losses.Measure{Points: single(x.Points)}, "y": &losses.Measure{Points: single(y.Points)}}}
				for _, in := range inputs {
					d := divergence(func(d *sinkhorn.Divergence) { d.Profile, d.Cost, d.Rho = sinkhorn.GeomLoss, cost, rho })
					result := losstest.Evaluate(t, d, in, "x.points", "y.points", "x.weights", "y.weights")
					o := result.Terms[0].Outcomes[0]
					rounding := 1e-16
					if in["x"].(*losses.Measure).Points.F32 != nil {
						rounding = 0x1p-21 * o.Solve.Epsilon // half-ulps of binary32 in exponents and their sums
					}
					if !(math.Abs(o.Value) <= rounding) || o.Interval == nil || !(o.Solve.MarginalError <= 1e-2) {
						t.Errorf("%v, distance %v: got %v in %v, %+v, want 0", cost, distance, o.Value, o.Interval, *o.Solve)
					}
					for ref, g := range result.Gradients {
						for _, v := range g.Float64s() {
							if !(math.Abs(v) <= rounding) {
								t.Errorf("%v, distance %v: the gradient in %s.%s is %v, want 0", cost, distance, ref.Input, ref.Field, v)
							}
						}
					}
				}
			}
		}
	}
}

// Far below where the schedule's few steps get to, and below the floor of its distances, the plan of its potentials overflows, and the marginal error is the
// largest number.
func TestGeomLossProfileWhosePlanOverflows(t *testing.T) {
	in := losses.Inputs{"x": losstest.Cloud([]float64{0}), "y": losstest.Cloud([]float64{1})}
	d := divergence(func(d *sinkhorn.Divergence) {
		d.Profile, d.Cost, d.Blur = sinkhorn.GeomLoss, losses.Euclidean, losstest.Ptr(1e-7)
	})
	o := losstest.Outcome(t, d, in)
	if o.Solve.Converged || o.Solve.MarginalError != math.MaxFloat64 || o.Interval != nil {
		t.Errorf("%+v in %v, want a marginal error of %v and no interval", *o.Solve, o.Interval, math.MaxFloat64)
	}
}

// Without an interval the marginal error is still that of the last potentials, from one step more.
func TestGeomLossProfileMeasuresWithoutInterval(t *testing.T) {
	in := pair(63, 40, 30, 2, 1)
	for _, reach := range []float64{0, 1.5} {
		d := divergence(func(d *sinkhorn.Divergence) { d.Profile, d.Blur = sinkhorn.GeomLoss, losstest.Ptr(0.2) })
		if reach > 0 {
			d.Reach = &reach
		}
		with := losstest.Outcome(t, d, in)
		d.WithoutInterval = true
		without := losstest.Outcome(t, d, in)
		if without.Value != with.Value || without.Interval != nil {
			t.Errorf("reach %v: %v with %v, want %v alone", reach, without.Value, without.Interval, with.Value)
		}
		if got, want := without.Solve.MarginalError, with.Solve.MarginalError; !(math.Abs(got-want) <= 1e-9*want) {
			t.Errorf("reach %v: the marginal error is %v, with an interval %v", reach, got, want)
		}
	}
}

// What the profile reports of its gradient, balanced, is that of the last step with what came before held fixed. At many steps it agrees with the
// divergence's own.
func TestGeomLossProfileGradientConverges(t *testing.T) {
	in := pair(61, 20, 25, 2, 1)
	exact := losstest.Evaluate(t, divergence(precise(0.25)), in, "x.points", "x.weights")
	d := divergence(func(d *sinkhorn.Divergence) {
		d.Profile, d.Epsilon, d.Scaling = sinkhorn.GeomLoss, losstest.Ptr(0.25), losstest.Ptr(0.99)
	})
	profile := losstest.Evaluate(t, d, in, "x.points", "x.weights")
	for ref, want := range exact.Gradients {
		diff, norm := 0.0, 0.0
		for i, v := range want.F64 {
			diff += math.Pow(profile.Gradients[ref].F64[i]-v, 2)
			norm += v * v
		}
		// Each of the 690 steps changes the temperature by 2 %, which the potentials trail by.
		if math.Sqrt(diff/norm) > 0.02 {
			t.Errorf("%v: off by %v", ref, math.Sqrt(diff/norm))
		}
	}
}

func TestGeomLossProfileParameters(t *testing.T) {
	in := pair(62, 5, 5, 2, 1)
	for field, d := range map[string]sinkhorn.Divergence{
		"scaling": divergence(func(d *sinkhorn.Divergence) { d.Profile, d.Scaling = sinkhorn.GeomLoss, losstest.Ptr(1) }),
		"cost":    divergence(func(d *sinkhorn.Divergence) { d.Profile, d.Cost = sinkhorn.GeomLoss, losses.SquaredEuclidean }),

		"diameter": divergence(func(d *sinkhorn.Divergence) { d.Profile, d.Diameter = sinkhorn.GeomLoss, losstest.Ptr(math.Inf(1)) }),
	} {
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: d}}}.Bind(in, 0)
		if bad, ok := err.(*losses.InputError); !ok || bad.Field != "objective.terms[0].sinkhorn."+field {
			t.Errorf("got %v, want an error at %s", err, field)
		}
	}
	o := losstest.Outcome(t, divergence(func(d *sinkhorn.Divergence) { d.Profile = sinkhorn.GeomLoss }), in)
	if math.Abs(o.Solve.Epsilon-0.0025) > 1e-18 {
		t.Errorf("the default temperature is %v, want that of blur 0.05", o.Solve.Epsilon)
	}
	d := divergence(func(d *sinkhorn.Divergence) { d.Profile, d.Reach = sinkhorn.GeomLoss, losstest.Ptr(1) })
	warnings := losstest.Evaluate(t, d, in, "x.points").Terms[0].Warnings
	if len(warnings) == 0 || warnings[len(warnings)-1].Code != sinkhorn.GradientDiffers {
		t.Errorf("warnings: %v, want %s", warnings, sinkhorn.GradientDiffers)
	}
}
