package sinkhorn_test

import (
	"math"
	"slices"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sinkhorn"
)

// pair is a random problem with weights of its own.
func pair(seed uint64, n, m, d int, mass float64) losses.Inputs {
	r := losstest.Random(seed)
	return losses.Inputs{
		"x": &losses.Measure{Points: losstest.Normal(r, n, d, 0.7, 0.2), Weights: losstest.Weights(r, n, mass)},
		"y": &losses.Measure{Points: losstest.Normal(r, m, d, 1, 0), Weights: losstest.Weights(r, m, mass)},
	}
}

// precise solves to where a marginal error moves a value by less than rounding does: the value is of second order in it.
func precise(epsilon float64) func(*sinkhorn.Divergence) {
	return func(d *sinkhorn.Divergence) { d.Epsilon, d.Tolerance = &epsilon, losstest.Ptr(1e-10) }
}

// same compares values of two problems that are equal in exact arithmetic, each solved to a marginal error of 1e-10: the values carry the square of that,
// and rounding in sums over some thousand pairs.
func same(t *testing.T, name string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-12*(1+math.Abs(want)) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

// moved returns inputs with points changed by f and the weights as they were.
func moved(in losses.Inputs, f func(point []float64) []float64) losses.Inputs {
	out := losses.Inputs{}
	for name, input := range in {
		m := input.(*losses.Measure)
		n, d := m.Points.Shape[0], m.Points.Shape[1]
		var x []float64
		for i := range n {
			x = append(x, f(slices.Clone(m.Points.F64[i*d:(i+1)*d]))...)
		}
		out[name] = &losses.Measure{Points: losses.NewArray(x, n, d), Weights: m.Weights}
	}
	return out
}

func TestSymmetries(t *testing.T) {
	in := pair(1, 20, 30, 2, 1)
	for _, cost := range []losses.Cost{losses.HalfSquaredEuclidean, losses.SquaredEuclidean, losses.Euclidean} {
		d := divergence(precise(0.3))
		d.Cost = cost
		want := losstest.Outcome(t, d, in).Value
		value := func(in losses.Inputs) float64 { return losstest.Outcome(t, d, in).Value }

		same(t, cost.String()+": source and target exchanged", value(losses.Inputs{"x": in["y"], "y": in["x"]}), want)
		same(t, cost.String()+": translation", value(moved(in, func(p []float64) []float64 { return []float64{p[0] + 3, p[1] - 2} })), want)
		sin, cos := math.Sincos(0.7)
		same(t, cost.String()+": rotation", value(moved(in, func(p []float64) []float64 {
			return []float64{cos*p[0] - sin*p[1], sin*p[0] + cos*p[1]}
		})), want)

		power := 4.0 // x → 2x multiplies squared costs by 4, distances by 2; the temperature goes along
		if cost == losses.Euclidean {
			power = 2
		}
		scaled := divergence(precise(0.3 * power))
		scaled.Cost = cost
		same(t, cost.String()+": scaling", losstest.Outcome(t, scaled, moved(in, func(p []float64) []float64 {
			return []float64{2 * p[0], 2 * p[1]}
		})).Value, power*want)
	}
}

func TestOrderOfPointsDoesNotMatter(t *testing.T) {
	in := pair(2, 20, 30, 2, 1)
	m := in["x"].(*losses.Measure)
	reversed := &losses.Measure{Points: losses.NewArray(nil, 20, 2), Weights: &losses.Array{Shape: []int{20}}}
	for i := 19; i >= 0; i-- {
		reversed.Points.F64 = append(reversed.Points.F64, m.Points.F64[2*i:2*i+2]...)
		reversed.Weights.F64 = append(reversed.Weights.F64, m.Weights.F64[i])
	}
	d := divergence(precise(0.3))
	same(t, "reversed", losstest.Outcome(t, d, losses.Inputs{"x": reversed, "y": in["y"]}).Value, losstest.Outcome(t, d, in).Value)
}

// Splitting a point's mass over two copies, or adding a point of weight 0, changes nothing.
func TestSplitMass(t *testing.T) {
	in := pair(3, 10, 12, 2, 1)
	m := in["x"].(*losses.Measure)
	x, w := slices.Clone(m.Points.F64), slices.Clone(m.Weights.F64)
	w[4] *= 0.25
	w = append(w, 3*w[4], 0)
	x = append(x, x[8], x[9], 50, 50)
	weights := losses.NewArray(w, 12)
	split := &losses.Measure{Points: losses.NewArray(x, 12, 2), Weights: &weights}
	d := divergence(precise(0.3))
	same(t, "split", losstest.Outcome(t, d, losses.Inputs{"x": split, "y": in["y"]}).Value, losstest.Outcome(t, d, in).Value)
}

// Half-squared at ε and squared at 2ε are the same problem in other units, so the bits agree but for the factor 2 (the libraries' two conventions).
func TestSquaredIsTwiceHalfSquared(t *testing.T) {
	in := pair(4, 30, 25, 3, 1)
	half := losstest.Evaluate(t, divergence(func(d *sinkhorn.Divergence) { d.Epsilon = losstest.Ptr(0.5) }), in, "x.points", "x.weights")
	full := losstest.Evaluate(t, divergence(func(d *sinkhorn.Divergence) {
		d.Epsilon, d.Cost = losstest.Ptr(1), losses.SquaredEuclidean
	}), in, "x.points", "x.weights")
	if full.Value != 2*half.Value {
		t.Errorf("got %v, want twice %v", full.Value, half.Value)
	}
	for ref, g := range half.Gradients {
		for i, v := range g.F64 {
			if got := full.Gradients[ref].F64[i]; got != 2*v {
				t.Fatalf("%v[%d]: got %v, want twice %v", ref, i, got, v)
			}
		}
	}
	if e := full.Terms[0].Outcomes[0].Solve.Epsilon; e != 1 {
		t.Errorf("epsilon: got %v, want 1", e)
	}
}

func TestBlurIsTheRootOfEpsilon(t *testing.T) {
	in := pair(5, 10, 10, 2, 1)
	for cost, want := range map[losses.Cost]float64{losses.HalfSquaredEuclidean: 0.25, losses.SquaredEuclidean: 0.25, losses.Euclidean: 0.5} {
		o := losstest.Outcome(t, divergence(func(d *sinkhorn.Divergence) { d.Blur, d.Cost = losstest.Ptr(0.5), cost }), in)
		if o.Solve.Epsilon != want {
			t.Errorf("%v: blur 0.5 gives ε = %v, want %v", cost, o.Solve.Epsilon, want)
		}
	}
}

// A fifth of the mean cost to the mean: for ±1 on the line the mean cost is ½, 1 and 1; a target of one point takes the source's cost to it.
func TestDefaultTemperature(t *testing.T) {
	two, one := losstest.Cloud([]float64{-1}, []float64{1}), losstest.Cloud([]float64{3})
	for _, tt := range []struct {
		cost losses.Cost
		x, y losses.Input
		want float64
	}{
		{cost: losses.HalfSquaredEuclidean, x: one, y: two, want: 0.1},
		{cost: losses.SquaredEuclidean, x: one, y: two, want: 0.2},
		{cost: losses.Euclidean, x: one, y: two, want: 0.2},
		{cost: losses.HalfSquaredEuclidean, x: two, y: one, want: (0.5*4 + 0.5*16) / 2 / 5},
		{cost: losses.HalfSquaredEuclidean, x: one, y: one, want: 1},
	} {
		o := losstest.Outcome(t, divergence(func(d *sinkhorn.Divergence) { d.Cost = tt.cost }), losses.Inputs{"x": tt.x, "y": tt.y})
		if math.Abs(o.Solve.Epsilon-tt.want) > 4*ulp*tt.want {
			t.Errorf("%v: got ε = %v, want %v", tt.cost, o.Solve.Epsilon, tt.want)
		}
	}
}

// S ≥ 0 (Feydy et al. 2019, theorem 1), so the upper end of an interval is never below 0; and S(a,a) = 0 lies in its interval.
func TestPositiveAndZeroOnTheDiagonal(t *testing.T) {
	for seed := range uint64(40) {
		r := losstest.Random(100 + seed)
		n, m, dim := 1+r.IntN(30), 1+r.IntN(30), 1+r.IntN(20)
		in := pair(200+seed, n, m, dim, 1)
		for _, cost := range []losses.Cost{losses.HalfSquaredEuclidean, losses.Euclidean} {
			d := divergence(func(d *sinkhorn.Divergence) { d.Cost = cost })
			if o := losstest.Outcome(t, d, in); o.Interval.Upper < 0 {
				t.Errorf("seed %d: %v is all below 0", seed, *o.Interval)
			}
			o := losstest.Outcome(t, d, losses.Inputs{"x": in["x"], "y": in["x"]})
			contains(t, "S(a,a)", o, 0)
		}
	}
}

// An offset of all points by 1e4 costs only the digits that it costs the points themselves (1e4 holds 2^-40 of a unit).
func TestOffset(t *testing.T) {
	in := pair(7, 30, 30, 3, 1)
	in = moved(in, func(p []float64) []float64 {
		for i := range p {
			p[i] = math.Round(p[i]*0x1p20) / 0x1p20 // so that the offset is exact
		}
		return p
	})
	far := moved(in, func(p []float64) []float64 {
		for i := range p {
			p[i] += 1e4
		}
		return p
	})
	for _, debias := range []sinkhorn.Debias{sinkhorn.Self, sinkhorn.None} {
		d := divergence(precise(0.3))
		d.Debias = debias
		a, b := losstest.Outcome(t, d, in), losstest.Outcome(t, d, far)
		same(t, "offset", b.Value, a.Value)
		if b.Interval.Lower > a.Interval.Upper || a.Interval.Lower > b.Interval.Upper {
			t.Errorf("%v and %v have nothing in common", *a.Interval, *b.Interval)
		}
	}
}

// Numbers rounded to binary32 are other numbers. S moves by at most its Lipschitz constant in the points, the cost's gradient, times the rounding.
func TestSinglePrecisionDrift(t *testing.T) {
	in := pair(8, 40, 40, 8, 1)
	single := losses.Inputs{}
	for name, input := range in {
		m := input.(*losses.Measure)
		x := make([]float32, m.Points.Len())
		for i := range x {
			x[i] = float32(m.Points.F64[i])
		}
		single[name] = &losses.Measure{Points: losses.Array{Shape: m.Points.Shape, F32: x}, Weights: m.Weights}
	}
	d := divergence(precise(0.8))
	a := losstest.Outcome(t, d, in)
	result := losstest.Evaluate(t, d, single, "x.points")
	// |x| < 5 here: a rounding of 5·2^-24 in each of 2·8 coordinates, times a gradient |x-y| < 10, twice for the self terms.
	if diff := math.Abs(result.Value - a.Value); diff > 2*10*16*5*0x1p-24 {
		t.Errorf("binary32 points move the value by %v", diff)
	}
	if g := result.Gradients[losses.Ref{Input: "x", Field: "points"}]; g.F32 == nil || g.F64 != nil {
		t.Error("the gradient of binary32 points is not in binary32")
	}
}
