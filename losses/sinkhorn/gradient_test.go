package sinkhorn_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sinkhorn"
)

// Derivatives along random directions, by differences of order 4 with step h: their truncation is h⁴ times a fifth derivative, of the order of 1/ε⁴ here,
// and their rounding is that of a value, about 1e-14, over h.
const (
	step           = 1e-3
	differenceSlop = 1e-9
)

func checkGradients(t *testing.T, d sinkhorn.Divergence, in losses.Inputs) {
	t.Helper()
	r := losstest.Random(11)
	for _, name := range []string{"x.points", "y.points", "x.weights", "y.weights"} {
		tensor := losstest.Tensor(in, name)
		for range 2 {
			direction := losstest.Unit(r, tensor.Len())
			h := step
			if len(tensor.Shape) == 1 {
				direction = losstest.UnitBalanced(r, tensor.F64)
				h = 1e-3 * floor(tensor.F64) // weights stay positive
			}
			analytic, numeric := losstest.Directional(t, d, in, name, direction, h)
			if math.Abs(analytic-numeric) > differenceSlop*max(1, step/h)*(1+math.Abs(numeric)) {
				t.Errorf("%+v, %s: got %v, by differences %v", d, name, analytic, numeric)
			}
		}
	}
}

// floor is the smallest positive weight.
func floor(w []float64) float64 {
	least := math.Inf(1)
	for _, v := range w {
		if v > 0 {
			least = min(least, v)
		}
	}
	return least
}

// T14: every gradient by differences.
func TestT14GradientsByFiniteDifferences(t *testing.T) {
	zeros := pair(23, 9, 8, 2, 1)
	w := zeros["x"].(*losses.Measure).Weights.F64
	w[3] += w[2]
	w[2] = 0
	for name, in := range map[string]losses.Inputs{
		"non-uniform weights": pair(20, 9, 7, 2, 1),
		"mass 3":              pair(21, 6, 9, 3, 3),
		"D=1":                 pair(22, 5, 8, 1, 1),
		"a weight of 0":       zeros,
	} {
		t.Run(name, func(t *testing.T) {
			for _, cost := range []losses.Cost{losses.HalfSquaredEuclidean, losses.SquaredEuclidean, losses.Euclidean} {
				for _, debias := range []sinkhorn.Debias{sinkhorn.Self, sinkhorn.None} {
					d := divergence(precise(0.7))
					d.Cost, d.Debias, d.Tolerance = cost, debias, losstest.Ptr(1e-13)
					checkGradients(t, d, in)
				}
			}
		})
	}
}

// With the Euclidean cost a pair of coincident points adds |h| to the cost, whose derivative at 0 is taken as 0; moving both together is smooth.
func TestCoincidentPointsEuclidean(t *testing.T) {
	in := losses.Inputs{"x": losstest.Cloud([]float64{0, 0}, []float64{1, 0.5}), "y": losstest.Cloud([]float64{0, 0}, []float64{2, 1})}
	d := divergence(precise(0.5))
	d.Cost = losses.Euclidean
	g := losstest.Evaluate(t, d, in, "x.points", "y.points").Gradients
	for ref, gradient := range g {
		for _, v := range gradient.F64 {
			if math.IsNaN(v) {
				t.Errorf("%v has NaN: %v", ref, gradient.F64)
			}
		}
	}
	// Translation moves source and target together, which changes nothing: the gradients sum to 0.
	for k := range 2 {
		sum := 0.0
		for _, gradient := range g {
			sum += gradient.F64[k] + gradient.F64[2+k]
		}
		if math.Abs(sum) > 1e-9 { // the plan's marginals are exact to 1e-10
			t.Errorf("the gradients sum to %v along axis %d, want 0", sum, k)
		}
	}
}

// T14: for C = ½d² the gradients in the source points sum to mean(x) - mean(y), times the mass.
func TestT14GradientsSumToTheDifferenceOfMeans(t *testing.T) {
	for _, debias := range []sinkhorn.Debias{sinkhorn.Self, sinkhorn.None} {
		in := pair(30, 25, 35, 4, 2)
		d := divergence(precise(0.5))
		d.Debias = debias
		g := losstest.Evaluate(t, d, in, "x.points").Gradients[losses.Ref{Input: "x", Field: "points"}].F64
		x, y := in["x"].(*losses.Measure), in["y"].(*losses.Measure)
		for k := range 4 {
			sum, want := 0.0, 0.0
			for i := range 25 {
				sum += g[i*4+k]
				want += x.Weights.F64[i] * x.Points.F64[i*4+k]
			}
			for j := range 35 {
				want -= y.Weights.F64[j] * y.Points.F64[j*4+k]
			}
			// The columns' marginal is off by at most 1e-10 of the mass, at points below 5.
			if math.Abs(sum-want) > 1e-9 {
				t.Errorf("%v, axis %d: got %v, want %v", debias, k, sum, want)
			}
		}
	}
}

// Centred: <a, ∂S/∂a> = 0.
func TestWeightGradientIsCentred(t *testing.T) {
	in := pair(31, 12, 9, 2, 2)
	for _, name := range []string{"x", "y"} {
		g := losstest.Evaluate(t, divergence(nil), in, name+".weights").Gradients[losses.Ref{Input: name, Field: "weights"}].F64
		mean := 0.0
		for i, v := range g {
			mean += in[name].(*losses.Measure).Weights.F64[i] * v
		}
		if math.Abs(mean) > 1e-14 {
			t.Errorf("%s: <weights, gradient> = %v", name, mean)
		}
	}
}

// The default tolerance leaves the gradient within 1 % of the converged one, over the temperatures that people use and down to far below the distances between
// points, in both number formats.
func TestDefaultToleranceGivesTheGradientToOnePercent(t *testing.T) {
	for _, tt := range []struct {
		d    int
		blur float64
	}{{2, 0.05}, {2, 0.14}, {2, 0.5}, {8, 0.9}, {32, 0.05}, {32, 0.57}} {
		for _, single := range []bool{false, true} {
			in := pair(40, 80, 80, tt.d, 1)
			if single {
				in = single32(in)
			}
			gradient := func(tolerance *float64) []float64 {
				d := divergence(func(d *sinkhorn.Divergence) { d.Blur, d.Tolerance = &tt.blur, tolerance })
				return losstest.Evaluate(t, d, in, "x.points").Gradients[losses.Ref{Input: "x", Field: "points"}].Float64s()
			}
			got, want := gradient(nil), gradient(losstest.Ptr(1e-8))
			diff, norm := 0.0, 0.0
			for i := range want {
				diff += (got[i] - want[i]) * (got[i] - want[i])
				norm += want[i] * want[i]
			}
			if relative := math.Sqrt(diff / norm); relative > 0.01 {
				t.Errorf("D=%d, blur %v, float32 %v: the gradient is off by %.2g", tt.d, tt.blur, single, relative)
			}
		}
	}
}

// single32 is the same inputs in float32.
func single32(in losses.Inputs) losses.Inputs {
	out := losses.Inputs{}
	for name, input := range in {
		m := *input.(*losses.Measure)
		m.Points = losses.Array{Shape: m.Points.Shape, F32: narrowed(m.Points.F64)}
		out[name] = &m
	}
	return out
}

func narrowed(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

// The same input as source and target of one term gets both gradients, which cancel.
func TestOneInputOnBothSides(t *testing.T) {
	in := losses.Inputs{"x": pair(41, 10, 10, 2, 1)["x"]}
	d := sinkhorn.Divergence{Source: "x", Target: "x", Tolerance: losstest.Ptr(1e-12)}
	for i, v := range losstest.Evaluate(t, d, in, "x.points").Gradients[losses.Ref{Input: "x", Field: "points"}].F64 {
		if math.Abs(v) > 1e-10 {
			t.Errorf("gradient of S(a,a) at %d: %v", i, v)
		}
	}
}

func TestPotentials(t *testing.T) {
	in := pair(42, 12, 15, 2, 2)
	d := divergence(precise(0.5))
	result := losstest.EvaluateObjective(t, losses.Objective{
		Terms:  []losses.Term{{Weight: 1, Loss: d}},
		Extras: []string{"sinkhorn.potentials"}, Gradients: []string{"x.weights"},
	}, in)
	p := result.Terms[0].Extras["potentials"].(*losses.Potentials)
	x, y := in["x"].(*losses.Measure), in["y"].(*losses.Measure)
	dot := func(w *losses.Array, f []float64) (s float64) {
		for i, v := range f {
			s += w.At(i) * v
		}
		return s
	}
	if p.Gauge != losses.EqualMeans || math.Abs(dot(x.Weights, p.Source)-dot(y.Weights, p.Target)) > 1e-13 {
		t.Errorf("gauge %v, means %v and %v, want equal means", p.Gauge, dot(x.Weights, p.Source), dot(y.Weights, p.Target))
	}
	// S = <a, f_ab - f_aa> + <b, g_ab - g_bb>: the terms ε m(m-1) cancel.
	s := dot(x.Weights, p.Source) + dot(y.Weights, p.Target) - dot(x.Weights, p.SourceSelf) - dot(y.Weights, p.TargetSelf)
	same(t, "S from potentials", s, result.Value)
	// The weight gradient is f_ab - f_aa up to a constant.
	g := result.Gradients[losses.Ref{Input: "x", Field: "weights"}].F64
	for i := range g {
		if got, want := g[i]-g[0], p.Source[i]-p.SourceSelf[i]-p.Source[0]+p.SourceSelf[0]; math.Abs(got-want) > 1e-9 {
			t.Errorf("weight gradient %d: got %v, want %v", i, got, want)
		}
	}
}

func ExampleDivergence() {
	blur := 0.5
	objective := losses.Objective{
		Terms:     []losses.Term{{Weight: 1, Loss: sinkhorn.Divergence{Source: "codes", Target: "prior", Blur: &blur}}},
		Gradients: []string{"codes.points"},
	}
	evaluation, err := objective.Bind(losses.Inputs{
		"codes": &losses.Measure{Points: losses.NewArray([]float64{0, 1}, 2, 1)},
		"prior": &losses.Measure{Points: losses.NewArray([]float64{3, 4}, 2, 1)},
	}, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, _ := evaluation.Evaluate(context.Background())
	fmt.Printf("%.3f %.3f\n", result.Value, result.Gradients[losses.Ref{Input: "codes", Field: "points"}].F64)
	// Output: 4.500 [-1.500 -1.500]
}
