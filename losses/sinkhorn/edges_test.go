package sinkhorn_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sinkhorn"
)

// A point without weight changes nothing, however far it is, and nothing pulls at it: its potential is far outside of the others' range.
func TestFarPointWithoutWeight(t *testing.T) {
	x, plain := losstest.Cloud([]float64{0}, []float64{1}), losstest.Cloud([]float64{0.25}, []float64{0.5})
	for _, epsilon := range []float64{1, 0.1, 1e-2, 1e-4} {
		for _, rho := range []*float64{nil, losstest.Ptr(epsilon / 2), losstest.Ptr(1)} {
			d := divergence(func(d *sinkhorn.Divergence) { d.Epsilon, d.Rho = &epsilon, rho })
			want := losstest.Evaluate(t, d, losses.Inputs{"x": x, "y": plain}, "y.points")
			in := losses.Inputs{"x": x, "y": losstest.Weighted([]float64{0.25, 0.5, 50}, []float64{0.5, 0.5, 0})}
			got := losstest.Evaluate(t, d, in, "y.points")
			if math.Abs(got.Value-want.Value) > 1e-9 || math.IsNaN(got.Value) {
				t.Errorf("ε=%v: got %v, want %v as without the point", epsilon, got.Value, want.Value)
			}
			ref := losses.Ref{Input: "y", Field: "points"}
			for j, g := range append(want.Gradients[ref].F64, 0) {
				if diff := math.Abs(got.Gradients[ref].F64[j] - g); !(diff <= 1e-3) {
					t.Errorf("ε=%v: gradient %d is %v, want %v as without the point", epsilon, j, got.Gradients[ref].F64[j], g)
				}
			}
		}
	}
}

// Where all mass is left rather than carried, down to less than the smallest number, nothing pulls.
func TestNothingIsCarried(t *testing.T) {
	in := losses.Inputs{"x": losstest.Cloud([]float64{0}), "y": losstest.Cloud([]float64{3})}
	for _, epsilon := range []float64{0.1, 1e-2, 1e-4} {
		for _, ratio := range []float64{1, 100} {
			d := divergence(func(d *sinkhorn.Divergence) { d.Epsilon, d.Rho = &epsilon, losstest.Ptr(ratio*epsilon) })
			g := losstest.Evaluate(t, d, in, "x.points").Gradients[losses.Ref{Input: "x", Field: "points"}].F64[0]
			// The plan between Diracs of mass 1 is e^{-c/(ε+2ρ)} (TestUnbalancedDiracs), and pulls with the distance, 3.
			want := -3 * math.Exp(-4.5/(epsilon*(1+2*ratio)))
			if !(math.Abs(g-want) <= 3*sinkhorn.DefaultTolerance) {
				t.Errorf("ε=%v, ρ=%v: got %v, want %v", epsilon, ratio*epsilon, g, want)
			}
		}
	}
}

// However early iterations end, the interval holds the value: that of two points far apart from each other against themselves is ε log 2. From a start at a
// temperature far above, sums over a kernel at ε come near the largest number, and scalings near the smallest.
func TestIntervalAfterFewIterations(t *testing.T) {
	in := losses.Inputs{"x": losstest.Cloud([]float64{0.75}, []float64{-1.09})}
	for n := 1; n <= 12; n++ {
		for log := -16; log <= -8; log++ {
			epsilon := math.Ldexp(1.69, log) // exp(-C/ε) vanishes beside 1
			d := divergence(func(d *sinkhorn.Divergence) {
				d.Target, d.Debias, d.MaxIterations, d.Epsilon = "x", sinkhorn.None, n, &epsilon
			})
			o := losstest.Outcome(t, d, in)
			if want := epsilon * math.Ln2; o.Interval == nil || o.Interval.Lower > want || o.Interval.Upper < want {
				t.Errorf("ε=%v, %d iterations: %v is not in %v", epsilon, n, want, o.Interval)
			}
		}
	}
}

// A point beyond the reach of all others, whose sums over the kernel vanish in every sweep, does not keep the others from converging.
func TestPointBeyondReach(t *testing.T) {
	in := losses.Inputs{"x": losstest.Cloud([]float64{0}, []float64{399}, []float64{311}), "y": losstest.Cloud([]float64{0}, []float64{399})}
	for _, cost := range []losses.Cost{losses.HalfSquaredEuclidean, losses.Euclidean} {
		d := divergence(func(d *sinkhorn.Divergence) {
			d.Cost, d.Debias, d.Epsilon, d.Rho = cost, sinkhorn.None, losstest.Ptr(1e-3), losstest.Ptr(1e-3)
		})
		// Each sweep takes errors to a quarter, after some that find the points that are near.
		if o := losstest.Outcome(t, d, in); !o.Solve.Converged || o.Solve.Iterations > 100 {
			t.Errorf("%v: %+v, want convergence within 100 iterations", cost, *o.Solve)
		}
	}
}

// The annealing passes through temperatures at which binary32 resolves the costs, and ends at one where it does not: the value is that of the same numbers in
// binary64.
func TestSingleFarBelowTheCosts(t *testing.T) {
	r := losstest.Random(70)
	x, y := losstest.Normal(r, 12, 26, 1, 0), losstest.Normal(r, 25, 26, 1, 0)
	copy(y.F64[:6*26], x.F64) // so that some mass is carried
	x32, y32 := single(x), single(y)
	x, y = losses.NewArray(x32.Float64s(), x.Shape...), losses.NewArray(y32.Float64s(), y.Shape...)
	for _, epsilon := range []float64{1e-3, 1e-5, 1e-7, 1e-9} {
		for _, part := range []float64{0x1p-6, 1, 8} {
			d := divergence(func(d *sinkhorn.Divergence) {
				d.Epsilon, d.Rho, d.Debias, d.MaxIterations = &epsilon, losstest.Ptr(part*epsilon), sinkhorn.None, 1000
			})
			got := losstest.Outcome(t, d, losses.Inputs{"x": &losses.Measure{Points: x32}, "y": &losses.Measure{Points: y32}})
			want := losstest.Outcome(t, d, losses.Inputs{"x": &losses.Measure{Points: x}, "y": &losses.Measure{Points: y}})
			// Both values are within their tolerance of the optimum, in units of ε and ρ.
			if diff := math.Abs(got.Value - want.Value); !(diff <= 2*sinkhorn.DefaultTolerance*epsilon*(1+part)) || !got.Solve.Converged {
				t.Errorf("ε=%v, ρ=%vε: %v and %+v in binary32, want %v as in binary64", epsilon, part, got.Value, *got.Solve, want.Value)
			}
		}
	}
}

// Nothing holds the potential of a point without weight, and beside a point that is far from all others its e^{-f/ρ} overflows: it counts for nothing in the
// GeomLoss profile either.
func TestGeomLossProfileOfAPointWithoutWeight(t *testing.T) {
	y := losstest.Cloud([]float64{0}, []float64{2})
	d := divergence(func(d *sinkhorn.Divergence) {
		d.Profile, d.Epsilon, d.Rho = sinkhorn.GeomLoss, losstest.Ptr(1e-5), losstest.Ptr(1e-3)
	})
	got := losstest.Evaluate(t, d, losses.Inputs{"x": losstest.Weighted([]float64{0, 2}, []float64{1, 0}), "y": y}, "x.points")
	want := losstest.Evaluate(t, d, losses.Inputs{"x": losstest.Cloud([]float64{0}), "y": y}, "x.points")
	if !(math.Abs(got.Value-want.Value) <= 1e-12*want.Value) {
		t.Errorf("got %v, want %v as without the point", got.Value, want.Value)
	}
	ref := losses.Ref{Input: "x", Field: "points"}
	if g := got.Gradients[ref].F64; g[1] != 0 || !(math.Abs(g[0]-want.Gradients[ref].F64[0]) <= 1e-12) {
		t.Errorf("the gradient is %v, want %v and 0", g, want.Gradients[ref].F64)
	}
}

// The unit of length is the caller's: at any power of two that binary32 holds as a coordinate, also where it does not hold its square or what that is
// divided by, values and gradients are those at 1 in that unit.
func TestAnyUnitOfLength(t *testing.T) {
	const n, d = 40, 3
	rng := rand.New(rand.NewPCG(1, 2))
	x, y := make([]float64, n*d), make([]float64, n*d)
	for i := range x {
		x[i], y[i] = rng.NormFloat64(), rng.NormFloat64()+0.5
	}
	evaluate := func(cost losses.Cost, unit float64, blur *float64) (losses.Outcome, []float32) {
		measure := func(points []float64) *losses.Measure {
			m := &losses.Measure{Points: losses.Array{Shape: []int{n, d}, F32: make([]float32, n*d)}}
			for i, v := range points {
				m.Points.F32[i] = float32(float64(float32(v)) * unit)
			}
			return m
		}
		loss := divergence(func(d *sinkhorn.Divergence) { d.Cost = cost })
		if blur != nil {
			loss.Blur = losstest.Ptr(*blur * unit)
		}
		result := losstest.Evaluate(t, loss, losses.Inputs{"x": measure(x), "y": measure(y)}, "x.points")
		return result.Terms[0].Outcomes[0], result.Gradients[losses.Ref{Input: "x", Field: "points"}].F32
	}
	for _, cost := range []losses.Cost{losses.HalfSquaredEuclidean, losses.Euclidean} {
		for _, blur := range []*float64{nil, losstest.Ptr(1.0), losstest.Ptr(0.1)} {
			want, gradient := evaluate(cost, 1, blur)
			for _, log := range []int{-60, -40, 40, 55, 62, 66, 80, 100} {
				unit := math.Ldexp(1, log)
				inCost, inGradient := unit, 1.0
				if cost != losses.Euclidean {
					inCost, inGradient = unit*unit, unit
				}
				got, scaled := evaluate(cost, unit, blur)
				// Both lie in intervals of the same value, and stop within the tolerance.
				if lo, hi := got.Interval.Lower/inCost, got.Interval.Upper/inCost; !(lo <= want.Interval.Upper && hi >= want.Interval.Lower) || !got.Solve.Converged {
					t.Errorf("%v, unit 2^%d: got %v in [%v, %v], want it to meet %v", cost, log, got.Value/inCost, lo, hi, want.Interval)
				}
				// Plans whose marginals are off by the tolerance at most pull a point by that mass more or less, over no more than the diameter, at most 10.
				for i, g := range scaled {
					if diff := math.Abs(float64(g)/inGradient - float64(gradient[i])); !(diff <= 2*10*sinkhorn.DefaultTolerance) {
						t.Fatalf("%v, unit 2^%d: gradient %d is %v, want %v", cost, log, i, float64(g)/inGradient, gradient[i])
					}
				}
			}
		}
	}
}
