package kantorovich_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/internal/split"
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

// halved are inputs of n points each with uniform weights.
func halved(seed uint64, n, d int) losses.Inputs {
	r := losstest.Random(seed)
	return pair(&losses.Measure{Points: losstest.Normal(r, n, d, 0.7, 0.2)}, &losses.Measure{Points: losstest.Normal(r, n, d, 1, 0)})
}

func divided(cost losses.Cost) kantorovich.Transport {
	loss := transport(cost)
	loss.Split = true
	return loss
}

// batches are the four batches of a split as measures with weights, in the order of [split.Halves].
func batches(t *testing.T, in losses.Inputs) (halves split.Halves, measures [4]*losses.Measure) {
	t.Helper()
	seed := losses.Seed{Term: "transport"}
	a, b, err := in.Pair("x", "y", seed)
	if err != nil {
		t.Fatal(err)
	}
	if halves, err = split.Of(in, a, b, "", "", seed); err != nil {
		t.Fatal(err)
	}
	for k, h := range halves {
		w := losses.NewArray(h.W, h.N)
		measures[k] = &losses.Measure{Points: losses.NewArray(h.X, h.N, h.D), Weights: &w}
	}
	return halves, measures
}

// combined is ¼ Σ_kl OT(X_k,Y_l) - ½ OT(X₁,X₂) - ½ OT(Y₁,Y₂) from six evaluations.
func combined(t *testing.T, cost losses.Cost, m [4]*losses.Measure) float64 {
	t.Helper()
	total := 0.0
	for k, share := range map[[2]int]float64{{0, 2}: 0.25, {0, 3}: 0.25, {1, 2}: 0.25, {1, 3}: 0.25, {0, 1}: -0.5, {2, 3}: -0.5} {
		total += share * losstest.Outcome(t, transport(cost), pair(m[k[0]], m[k[1]])).Value
	}
	return total
}

// Split transport is the sum of its six problems, its gradients in the points are those by differences, and, for the half squared cost, those in the source
// sum to the difference of the means.
func TestSplitIsItsSixProblems(t *testing.T) {
	for seed := range uint64(6) {
		r := losstest.Random(900 + seed)
		d := 1 + int(seed%3)
		in := halved(900+seed, 16, d)
		_, measures := batches(t, in)
		for _, cost := range costs {
			o := losstest.Outcome(t, divided(cost), in)
			near(t, cost.String(), certified(t, cost.String(), o), combined(t, cost, measures), 1e-13)
			for _, tensor := range []string{"x.points", "y.points"} {
				agree(t, cost.String(), divided(cost), in, tensor, losstest.Unit(r, 16*d))
			}
		}
		g := losstest.Evaluate(t, divided(losses.HalfSquaredEuclidean), in, "x.points").Gradients[losses.Ref{Input: "x", Field: "points"}].F64
		for k := range d {
			sum, means := 0.0, 0.0
			for i := range 16 {
				sum += g[i*d+k]
				means += (in["x"].(*losses.Measure).Points.F64[i*d+k] - in["y"].(*losses.Measure).Points.F64[i*d+k]) / 16
			}
			near(t, "sum over the source", sum, means, 1e-14)
		}
	}
}

// The gradient in the weights is that for changes that keep the mass of each half, whose weights are twice the input's: twice the shares of the potentials of
// the problems that a half stands in, centred in it. Those are gradients: transport between equal weights is degenerate, so a grain of mass that moves from point
// to point has other slopes to the left and to the right, and the gradient of each problem lies between.
func TestSplitWeightGradient(t *testing.T) {
	in := halved(950, 8, 2)
	halves, measures := batches(t, in)
	cost := losses.SquaredEuclidean
	g := losstest.Evaluate(t, divided(cost), in, "x.weights").Gradients[losses.Ref{Input: "x", Field: "weights"}].F64
	want := make([]float64, 4) // in the weights of X₁
	for other, share := range map[int]float64{1: -0.5, 2: 0.25, 3: 0.25} {
		p := extra(t, transport(cost), pair(measures[0], measures[other]), "potentials").(*losses.Potentials)
		for i, f := range p.Source {
			want[i] += share * (f - (p.Source[0]+p.Source[1]+p.Source[2]+p.Source[3])/4)
		}
		const grain = 1e-6
		slope := func(sign float64) float64 {
			w := measures[0].Weights.F64
			before := losstest.Outcome(t, transport(cost), pair(measures[0], measures[other])).Value
			w[0], w[1] = 0.25+sign*grain, 0.25-sign*grain
			after := losstest.Outcome(t, transport(cost), pair(measures[0], measures[other])).Value
			w[0], w[1] = 0.25, 0.25
			return (after - before) / (sign * grain)
		}
		if f := p.Source[0] - p.Source[1]; f < slope(-1)-1e-8 || f > slope(1)+1e-8 {
			t.Errorf("moving a grain from point 1 to point 0 has the slope %v by potentials, want %v to %v", f, slope(-1), slope(1))
		}
	}
	whole := make([]float64, 8)
	halves[0].AddRows(whole, 2, want, 1)
	for i, v := range whole {
		if v != 0 {
			near(t, fmt.Sprintf("weight %d", i), g[i], v, 1e-14)
		}
	}
}

// With second batches the formula is over whole ones, and each of the four has a gradient.
func TestSecondBatches(t *testing.T) {
	r := losstest.Random(960)
	const n, d = 9, 2
	in := losses.Inputs{}
	var measures [4]*losses.Measure
	for k, name := range []string{"x", "x2", "y", "y2"} {
		measures[k] = &losses.Measure{Points: losstest.Normal(r, n, d, 1, float64(k/2))}
		in[name] = measures[k]
	}
	for _, cost := range costs {
		loss := divided(cost)
		loss.SecondSource, loss.SecondTarget = "x2", "y2"
		near(t, cost.String(), certified(t, cost.String(), losstest.Outcome(t, loss, in)), combined(t, cost, measures), 1e-13)
		for _, name := range []string{"x", "x2", "y", "y2"} {
			agree(t, cost.String(), loss, in, name+".points", losstest.Unit(r, n*d))
		}
	}
}

// Between samples of one distribution the mean of the split estimate is 0, where transport itself is far above. Forty independent estimates have a mean whose
// standard error they tell; five of those make a failure a chance of 1e-6, and the seeds are fixed.
func TestSplitIsCentredWhereDistributionsAgree(t *testing.T) {
	const count = 40
	for _, cost := range []losses.Cost{losses.HalfSquaredEuclidean, losses.Euclidean} {
		sum, squares, least := 0.0, 0.0, math.Inf(1)
		for seed := range uint64(count) {
			r := losstest.Random(2000 + seed)
			in := pair(&losses.Measure{Points: losstest.Normal(r, 64, 8, 1, 0)}, &losses.Measure{Points: losstest.Normal(r, 64, 8, 1, 0)})
			u := losstest.Outcome(t, divided(cost), in).Value
			sum, squares, least = sum+u, squares+u*u, min(least, losstest.Outcome(t, transport(cost), in).Value)
		}
		mean := sum / count
		deviation := math.Sqrt((squares/count - mean*mean) / (count - 1))
		if math.Abs(mean) > 5*deviation || least < 50*deviation {
			t.Errorf("%v: the mean is %v ± %v, the least plain value %v; want 0, and far above", cost, mean, deviation, least)
		}
	}
}
