package sliced_test

import (
	"math"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sliced"
)

// checkGradients compares derivatives along random directions with differences of order 4. A value is a polynomial of degree p in the points, and linear in
// the weights, until two projections swap or the plan changes; a step of 1e-6 is far from that for most problems, and what rounding leaves, some 1e-15 over
// the step, is below the tolerance. Where a kink is near, a second step size decides.
func checkGradients(t *testing.T, loss sliced.Transport, in losses.Inputs) {
	t.Helper()
	r := losstest.Random(11)
	for _, name := range []string{"x.points", "y.points", "x.weights", "y.weights"} {
		tensor := losstest.Tensor(in, name)
		direction := losstest.Unit(r, tensor.Len())
		if len(tensor.Shape) == 1 {
			direction = losstest.UnitBalanced(r, tensor.F64)
		}
		analytic, numeric := 0.0, 0.0
		for _, h := range []float64{1e-6, 1e-7} {
			if analytic, numeric = losstest.Directional(t, loss, in, name, direction, h); math.Abs(analytic-numeric) <= 1e-6*(1e-2+math.Abs(numeric)) {
				break
			}
		}
		if math.Abs(analytic-numeric) > 1e-6*(1e-2+math.Abs(numeric)) {
			t.Errorf("p = %v, %s: got %v, by differences %v", *loss.P, name, analytic, numeric)
		}
	}
}

func TestGradientsByFiniteDifferences(t *testing.T) {
	zeros := random(23, 9, 8, 2, 1)
	w := zeros["x"].(*losses.Measure).Weights.F64
	w[3] += w[2]
	w[2] = 0
	for name, in := range map[string]losses.Inputs{
		"non-uniform weights": random(20, 9, 7, 2, 1),
		"mass 3":              random(21, 6, 9, 3, 3),
		"D=1":                 random(22, 5, 8, 1, 1),
		"a weight of 0":       zeros,
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range []float64{1, 2} {
				checkGradients(t, along(p, 7), in)
			}
		})
	}
}

// As many points as points, all of one weight, take a shorter way, and so do their gradients.
func TestGradientsOfUniformWeights(t *testing.T) {
	r := losstest.Random(24)
	in := losses.Inputs{"x": &losses.Measure{Points: losstest.Normal(r, 8, 3, 1, 0)}, "y": &losses.Measure{Points: losstest.Normal(r, 8, 3, 1, 1)}}
	for _, p := range []float64{1, 2} {
		for _, name := range []string{"x.points", "y.points"} {
			direction := losstest.Unit(r, 24)
			analytic, numeric := losstest.Directional(t, along(p, 7), in, name, direction, 1e-6)
			if math.Abs(analytic-numeric) > 1e-6*(1e-2+math.Abs(numeric)) {
				t.Errorf("p = %v, %s: got %v, by differences %v", p, name, analytic, numeric)
			}
		}
	}
}

// In uniform weights the value has a kink, because every mass on the left is a tie; the gradient is the mean of the two derivatives along any axis.
func TestGradientsInUniformWeightsAreInTheMiddle(t *testing.T) {
	r := losstest.Random(25)
	in := losses.Inputs{"x": losstest.Weighted(losstest.Normal(r, 4, 1, 1, 0).F64, []float64{0.25, 0.25, 0.25, 0.25}),
		"y": losstest.Weighted(losstest.Normal(r, 4, 1, 1, 1).F64, []float64{0.25, 0.25, 0.25, 0.25})}
	for _, p := range []float64{1, 2} {
		gradient := losstest.Evaluate(t, along(p, 1), in, "x.weights").Gradients[losses.Ref{Input: "x", Field: "weights"}].F64
		start := losstest.Evaluate(t, along(p, 1), in).Value
		w := losstest.Tensor(in, "x.weights").F64
		// Mass from one point to its neighbour on the line passes one tie only.
		for i := range 4 {
			for j := range 4 {
				x := losstest.Tensor(in, "x.points").F64
				between := 0
				for _, v := range x {
					if (v-x[i])*(v-x[j]) < 0 {
						between++
					}
				}
				if i == j || between > 0 {
					continue
				}
				const h = 1e-6
				change := func(s float64) float64 {
					w[i], w[j] = 0.25+s, 0.25-s
					defer func() { w[i], w[j] = 0.25, 0.25 }()
					return losstest.Evaluate(t, along(p, 1), in).Value
				}
				ahead, behind := (change(h)-start)/h, (start-change(-h))/h
				if got, want := gradient[i]-gradient[j], (ahead+behind)/2; math.Abs(got-want) > 1e-8 {
					t.Errorf("p = %v, from %d to %d: derivative %v, want the middle of %v and %v", p, j, i, got, behind, ahead)
				}
			}
		}
	}
}

// A measure against itself costs nothing, and has no gradient in anything: also if one input is both, whose gradients are added.
func TestAMeasureAgainstItself(t *testing.T) {
	x := random(26, 12, 3, 3, 1)["x"].(*losses.Measure)
	copied := *x
	for _, p := range []float64{1, 2} {
		for _, in := range []losses.Inputs{{"x": x, "y": &copied}, {"x": x}} {
			loss := along(p, 5)
			if in["y"] == nil {
				loss.Target = "x"
			}
			result := losstest.Evaluate(t, loss, in, "x.points", "x.weights")
			if result.Value != 0 {
				t.Errorf("p = %v: value %v, want 0", p, result.Value)
			}
			for ref, gradient := range result.Gradients {
				for i, v := range gradient.F64 {
					if math.Abs(v) > 1e-15 {
						t.Errorf("p = %v: gradient of %v is %v at %d, want 0", p, ref, v, i)
					}
				}
			}
		}
	}
}

// Masses have to stay the same, so a constant means nothing in a gradient in weights, and there is none.
func TestGradientsInWeightsAreCentred(t *testing.T) {
	in := random(27, 9, 7, 3, 2)
	result := losstest.Evaluate(t, along(2, 6), in, "x.weights", "y.weights")
	for name := range in {
		sum := 0.0
		for i, v := range result.Gradients[losses.Ref{Input: name, Field: "weights"}].F64 {
			sum += v * losstest.Tensor(in, name+".weights").F64[i]
		}
		if math.Abs(sum) > 1e-14 {
			t.Errorf("%s: <weights, gradient> = %v, want 0", name, sum)
		}
	}
}
