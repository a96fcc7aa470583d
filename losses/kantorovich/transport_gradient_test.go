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

// agree compares a gradient along a direction of norm 1 with central differences of order 4. Away from ties the pairs that carry mass stay the same for a small
// step, and the value is as smooth as the cost in points, and linear in weights. Flows are small more often than reduced costs are, so weights move less; what
// rounding leaves is 1e-16 over the step.
func agree(t *testing.T, name string, loss losses.Loss, in losses.Inputs, tensor string, direction []float64) {
	t.Helper()
	step := 1e-5
	if strings.HasSuffix(tensor, "weights") {
		step = 1e-6
	}
	analytic, numeric := losstest.Directional(t, loss, in, tensor, direction, step)
	if math.Abs(analytic-numeric) > 1e-6*(math.Abs(numeric)+1e-3) {
		t.Errorf("%s, %s: gradient %v, by differences %v", name, tensor, analytic, numeric)
	}
}

// Weights that are all different make the optimum one and non-degenerate.
func TestGradientsAgainstDifferences(t *testing.T) {
	for seed := range uint64(8) {
		r := losstest.Random(700 + seed)
		for _, d := range []int{1, 2, 5} {
			in := random(700+seed, 8+int(seed), 12, d)
			terms := map[string]losses.Loss{"dual": by(kantorovich.Exact)}
			for _, cost := range costs {
				terms[cost.String()] = transport(cost)
			}
			if d == 1 {
				terms["p=1.5"], terms["p=4"] = powered(1.5), powered(4)
			}
			for name, loss := range terms {
				for _, side := range []string{"x", "y"} {
					m := in[side].(*losses.Measure)
					agree(t, fmt.Sprintf("%s in dimension %d", name, d), loss, in, side+".points", losstest.Unit(r, m.Points.Len()))
					agree(t, fmt.Sprintf("%s in dimension %d", name, d), loss, in, side+".weights", losstest.UnitBalanced(r, m.Weights.F64))
				}
			}
		}
	}
}

// The same at a point without mass: a grain of mass that moves there from elsewhere changes the value by the difference of the potentials. The value is
// linear until another pair takes part, so a grain of 1e-6 is a difference.
func TestWeightGradientAtPointsWithoutMass(t *testing.T) {
	for seed := range uint64(10) {
		in := random(750+seed, 9, 11, 2)
		w := in["x"].(*losses.Measure).Weights
		w.F64[1] += w.F64[0]
		w.F64[0] = 0
		for name, loss := range map[string]losses.Loss{"transport": transport(losses.HalfSquaredEuclidean), "dual": by(kantorovich.Exact)} {
			result := losstest.Evaluate(t, loss, in, "x.weights", "x.points")
			g := result.Gradients[losses.Ref{Input: "x", Field: "weights"}].F64
			grain := 1e-6
			w.F64[0], w.F64[2] = w.F64[0]+grain, w.F64[2]-grain
			near(t, name, (losstest.Outcome(t, loss, in).Value-result.Value)/grain, g[0]-g[2], 1e-8)
			w.F64[0], w.F64[2] = 0, w.F64[2]+grain
			if pull := result.Gradients[losses.Ref{Input: "x", Field: "points"}].F64[:2]; pull[0] != 0 || pull[1] != 0 {
				t.Errorf("%s: a point without mass has the gradient %v", name, pull)
			}
		}
	}
}

// For the half squared cost the gradients in the source points sum to the difference of the means; for any cost all gradients in points sum to 0, and those in
// weights are centred.
func TestGradientsOfTransportAddUp(t *testing.T) {
	for seed := range uint64(20) {
		in := random(800+seed, 20, 25, 3)
		for _, cost := range costs {
			got := losstest.Evaluate(t, transport(cost), in, "x.points", "y.points", "x.weights", "y.weights").Gradients
			for k := range 3 {
				var sums, means [2]float64
				for s, name := range []string{"x", "y"} {
					m := in[name].(*losses.Measure)
					for i, w := range m.Weights.F64 {
						sums[s] += got[losses.Ref{Input: name, Field: "points"}].F64[3*i+k]
						means[s] += w * m.Points.F64[3*i+k]
					}
				}
				near(t, "sum over all points", sums[0]+sums[1], 0, 1e-14)
				if cost == losses.HalfSquaredEuclidean {
					near(t, "sum over the source", sums[0], means[0]-means[1], 1e-14)
				}
			}
			for _, name := range []string{"x", "y"} {
				mean := 0.0
				for i, w := range in[name].(*losses.Measure).Weights.F64 {
					mean += w * got[losses.Ref{Input: name, Field: "weights"}].F64[i]
				}
				near(t, "<weights, gradient>", mean, 0, 1e-14)
			}
		}
	}
}

// Points that coincide pull nowhere, whatever the cost: a measure against itself is at its minimum.
func TestGradientWherePointsCoincide(t *testing.T) {
	for _, d := range []int{1, 3} {
		x := random(850, 12, 12, d)["x"]
		for _, loss := range []losses.Loss{transport(losses.Euclidean), transport(losses.HalfSquaredEuclidean), by(kantorovich.Exact), powered(1)} {
			for ref, g := range losstest.Evaluate(t, loss, losses.Inputs{"x": x, "y": x}, "x.points").Gradients {
				if slices.ContainsFunc(g.F64, func(v float64) bool { return v != 0 }) {
					t.Errorf("%s: %v is %v, want 0", loss.Kind(), ref, g.F64)
				}
			}
		}
	}
	x := random(850, 12, 12, 1)["x"]
	if g := losstest.Evaluate(t, powered(1.01), losses.Inputs{"x": x, "y": x}, "x.points").Gradients[losses.Ref{Input: "x", Field: "points"}]; slices.Max(g.F64) != 0 {
		t.Errorf("p=1.01: %v, want 0", g.F64)
	}
}
