package sliced_test

import (
	"math"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sliced"
)

// most is the loss over all directions.
func most(p float64, directions int) sliced.Transport {
	loss := along(p, directions)
	loss.Aggregate = sliced.Max
	return loss
}

// Of a translation by v the most is |v|^p, along v, which is smooth enough to be found to the last digits but few.
func TestMaxOfATranslation(t *testing.T) {
	in := random(30, 25, 25, 8, 1)
	x, v := in["x"].(*losses.Measure), []float64{1, -2, 0.5, 0, 3, 1, -1, 0.25}
	length := 0.0
	for _, c := range v {
		length += c * c
	}
	length = math.Sqrt(length)
	for _, p := range []float64{1, 2} {
		objective := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: most(p, 5)}}, Extras: []string{"sliced.directions"}, Gradients: []string{"y.points"}}
		result := losstest.EvaluateObjective(t, objective, losses.Inputs{"x": x, "y": moved(x, 1, v)})
		// The ascent ends where a step gains less than 1e-9 of the value.
		if want := math.Pow(length, p); result.Value > want*(1+1e-14) || result.Value < want*(1-1e-8) {
			t.Errorf("p = %v: got %v, want %v", p, result.Value, want)
		}
		term := result.Terms[0]
		if s := term.Outcomes[0].Solve; s == nil || !s.Converged || len(term.Warnings) != 0 {
			t.Errorf("p = %v: %v, warnings %v", p, s, term.Warnings)
		}
		theta := term.Extras["directions"].(*losses.Array)
		gradient := result.Gradients[losses.Ref{Input: "y", Field: "points"}].F64
		side := math.Copysign(1, theta.F64[1]*v[1])
		for k, c := range v {
			// An error of the value to second order is one of the direction to first order.
			if got := side * theta.F64[k]; math.Abs(got-c/length) > 1e-4 {
				t.Errorf("p = %v: direction %v at %d, want %v", p, got, k, c/length)
			}
			if want := p * math.Pow(length, p-1) * c / length * x.Weights.F64[0]; math.Abs(gradient[k]-want) > 1e-3 {
				t.Errorf("p = %v: gradient %v at %d, want %v", p, gradient[k], k, want)
			}
		}
	}
}

// In the plane a fine fan of directions knows the most: no direction of it is far from any other, and the root of the value changes by at most the longest
// distance times the angle.
func TestMaxInThePlane(t *testing.T) {
	for seed := range uint64(10) {
		in := random(40+seed, 15, 12, 2, 1)
		got, theta := directions(t, most(2, 20), in)
		start := losstest.EvaluateObjective(t, losses.Objective{Terms: []losses.Term{{Name: "sliced", Weight: 1, Loss: along(2, 20)}}}, in).Value
		fan := 0.0
		for k := range 1000 {
			sin, cos := math.Sincos(math.Pi * float64(k) / 1000)
			fan = max(fan, onLine(t, in, []float64{cos, sin}))
		}
		if got < start || got < fan*(1-1e-3) || math.Abs(got-onLine(t, in, theta.F64)) > 1e-14 {
			t.Errorf("seed %d: %v along %v, the fan has %v, the mean of the first ones is %v", seed, got, theta.F64, fan, start)
		}
	}
}

// onLine is W2² of the projections onto a direction.
func onLine(t *testing.T, in losses.Inputs, theta []float64) float64 {
	t.Helper()
	project := func(m *losses.Measure) *losses.Measure {
		n, d := m.Points.Shape[0], m.Points.Shape[1]
		out := make([]float64, n)
		for i := range out {
			for k := range d {
				out[i] += m.Points.F64[i*d+k] * theta[k]
			}
		}
		return &losses.Measure{Points: losses.NewArray(out, n, 1), Weights: m.Weights}
	}
	return losstest.Evaluate(t, along(2, 1), losses.Inputs{"x": project(in["x"].(*losses.Measure)), "y": project(in["y"].(*losses.Measure))}).Value
}

// The gradient holds the direction fixed: it is that of the one direction, which the value's own change with the direction adds nothing to.
func TestGradientsOfMaxByFiniteDifferences(t *testing.T) {
	r := losstest.Random(31)
	in := random(31, 30, 30, 3, 1)
	x := in["x"].(*losses.Measure)
	in["y"] = moved(x, 1, []float64{2, 0.5, -1}) // a smooth maximum: the plan is the same in all directions nearby
	for i := range in["y"].(*losses.Measure).Points.F64 {
		in["y"].(*losses.Measure).Points.F64[i] *= 1 + 1e-3*r.Float64()
	}
	for _, name := range []string{"x.points", "y.points"} {
		analytic, numeric := losstest.Directional(t, most(2, 5), in, name, losstest.Unit(r, 90), 1e-4)
		// The direction is right to the root of 1e-9.
		if math.Abs(analytic-numeric) > 1e-4*math.Abs(numeric) {
			t.Errorf("%s: got %v, by differences %v", name, analytic, numeric)
		}
	}
}

func TestMaxStopsAtMaxIterations(t *testing.T) {
	loss := most(2, 1)
	loss.MaxIterations = 1
	term := losstest.Evaluate(t, loss, random(32, 50, 50, 10, 1)).Terms[0]
	if s := term.Outcomes[0].Solve; s.Converged || s.Iterations != 1 || len(term.Warnings) != 1 || term.Warnings[0].Code != losses.NotConverged {
		t.Errorf("got %+v with %v, want NOT_CONVERGED after one step", *s, term.Warnings)
	}
}
