package sinkhorn_test

import (
	"math"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sinkhorn"
)

// ulp is the relative rounding of binary64; a test multiplies it by the number of operations behind a value.
const ulp = 0x1p-52

func divergence(change func(*sinkhorn.Divergence)) sinkhorn.Divergence {
	d := sinkhorn.Divergence{Source: "x", Target: "y"}
	if change != nil {
		change(&d)
	}
	return d
}

// contains is strict: an interval has no tolerance.
func contains(t *testing.T, name string, o losses.Outcome, exact float64) {
	t.Helper()
	if o.Interval == nil {
		t.Errorf("%s: no interval", name)
		return
	}
	if exact < o.Interval.Lower || exact > o.Interval.Upper {
		t.Errorf("%s: the exact value %v is outside of %v", name, exact, *o.Interval)
	}
	if o.Value < o.Interval.Lower || o.Value > o.Interval.Upper {
		t.Errorf("%s: the value %v is outside of %v", name, o.Value, *o.Interval)
	}
}

// T1: between two Diracs there is one plan, so every ε gives the cost, where KL is infinite.
func TestT1Diracs(t *testing.T) {
	for _, tt := range []struct {
		cost     losses.Cost
		value    float64
		gradient float64
	}{
		{losses.HalfSquaredEuclidean, 4.5, -3},
		{losses.SquaredEuclidean, 9, -6},
		{losses.Euclidean, 3, -1},
	} {
		for _, epsilon := range []float64{1e-3, 1, 1e3} {
			for _, debias := range []sinkhorn.Debias{sinkhorn.Self, sinkhorn.None} {
				in := losses.Inputs{"x": losstest.Cloud([]float64{0}), "y": losstest.Cloud([]float64{3})}
				d := divergence(func(d *sinkhorn.Divergence) { d.Cost, d.Epsilon, d.Debias = tt.cost, &epsilon, debias })
				result := losstest.Evaluate(t, d, in, "x.points", "y.points")
				o := result.Terms[0].Outcomes[0]
				contains(t, tt.cost.String(), o, tt.value)
				if math.Abs(o.Value-tt.value) > 64*ulp*(tt.value+epsilon) {
					t.Errorf("%v, ε=%v: got %v, want %v", tt.cost, epsilon, o.Value, tt.value)
				}
				x, y := result.Gradients[losses.Ref{Input: "x", Field: "points"}].F64[0], result.Gradients[losses.Ref{Input: "y", Field: "points"}].F64[0]
				if math.Abs(x-tt.gradient) > 64*ulp*(9+epsilon)/epsilon || math.Abs(y+tt.gradient) > 64*ulp*(9+epsilon)/epsilon {
					t.Errorf("%v, ε=%v: gradients %v, %v, want %v and its opposite", tt.cost, epsilon, x, y, tt.gradient)
				}
				if !o.Solve.Converged {
					t.Errorf("%v, ε=%v: not converged: %+v", tt.cost, epsilon, *o.Solve)
				}
			}
		}
	}
}

// T8: S of a translated measure is the cost of the translation, for every ε. The points and the shift are dyadic, so the translated points are exact and
// so is the value; the interval holds it however early the iteration stops.
func TestT8Translation(t *testing.T) {
	r := losstest.Random(1)
	const n, d = 40, 3
	x := losstest.Normal(r, n, d, 1, 0)
	shift := []float64{0.5, -1.25, 2}
	moved := losses.NewArray(make([]float64, n*d), n, d)
	for i, v := range x.F64 {
		x.F64[i] = math.Round(v*1024) / 1024
		moved.F64[i] = x.F64[i] + shift[i%d]
	}
	w := losstest.Weights(r, n, 1)
	in := losses.Inputs{"x": &losses.Measure{Points: x, Weights: w}, "y": &losses.Measure{Points: moved, Weights: w}}
	want := 0.5*0.25 + 0.5*1.5625 + 0.5*4
	for _, epsilon := range []float64{0.1, 1, 10} {
		for _, iterations := range []int{1, 5, 0} {
			o := losstest.Outcome(t, divergence(func(d *sinkhorn.Divergence) { d.Epsilon, d.MaxIterations = &epsilon, iterations }), in)
			contains(t, "translation", o, want)
			if o.Solve.Converged && math.Abs(o.Value-want) > o.Interval.Upper-o.Interval.Lower {
				t.Errorf("ε=%v: got %v, want %v", epsilon, o.Value, want)
			}
		}
	}
}

// Entropic transport without self terms lies between transport and transport + ε log N for a permutation of N points (its plan has the entropy log N).
// Convex gradients: y = ∇φ(x) is optimal (Brenier 1991), so transport is Σ ½|x-∇φ(x)|²/N. A permutation hides the pairing.
func TestConvexGradientAtSmallTemperature(t *testing.T) {
	r := losstest.Random(2)
	const n, d = 30, 2
	x := losstest.Normal(r, n, d, 1, 0)
	y := losses.NewArray(make([]float64, n*d), n, d)
	transport := 0.0
	for i, to := range r.Perm(n) {
		for j := range d {
			v := x.F64[i*d+j]
			image := 2*v + math.Tanh(v) + float64(j) // the gradient of a sum of convex functions of the coordinates
			y.F64[to*d+j] = image
			transport += 0.5 * (v - image) * (v - image) / n
		}
	}
	in := losses.Inputs{"x": &losses.Measure{Points: x}, "y": &losses.Measure{Points: y}}
	epsilon := 1e-3
	o := losstest.Outcome(t, divergence(func(d *sinkhorn.Divergence) { d.Epsilon, d.Debias = &epsilon, sinkhorn.None }), in)
	if o.Interval.Upper < transport || o.Interval.Lower > transport+epsilon*math.Log(n) {
		t.Errorf("%+v with %v: want an interval that meets [%v, %v]", o, *o.Interval, transport, transport+epsilon*math.Log(n))
	}
	if !o.Solve.Converged {
		t.Errorf("not converged: %+v", *o.Solve)
	}
}

// The same sandwich around an assignment that is solved by looking at all of them.
func TestAssignmentByEnumeration(t *testing.T) {
	r := losstest.Random(3)
	const n, d = 7, 3
	x, y := losstest.Normal(r, n, d, 1, 0), losstest.Normal(r, n, d, 1, 1)
	best := math.Inf(1)
	permute(n, func(p []int) {
		total := 0.0
		for i, j := range p {
			for k := range d {
				diff := x.F64[i*d+k] - y.F64[j*d+k]
				total += diff * diff / n
			}
		}
		best = min(best, total)
	})
	in := losses.Inputs{"x": &losses.Measure{Points: x}, "y": &losses.Measure{Points: y}}
	for _, epsilon := range []float64{1, 0.1, 0.01} {
		o := losstest.Outcome(t, divergence(func(d *sinkhorn.Divergence) {
			d.Epsilon, d.Debias, d.Cost = &epsilon, sinkhorn.None, losses.SquaredEuclidean
		}), in)
		if o.Interval.Upper < best || o.Interval.Lower > best+epsilon*math.Log(n) {
			t.Errorf("ε=%v: %v does not meet [%v, %v]", epsilon, *o.Interval, best, best+epsilon*math.Log(n))
		}
	}
}

// permute calls visit with every permutation of 0..n (Heap 1963).
func permute(n int, visit func([]int)) {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	var rec func(int)
	rec = func(k int) {
		if k == 1 {
			visit(p)
			return
		}
		for i := range k {
			rec(k - 1)
			if k%2 == 0 {
				p[i], p[k-1] = p[k-1], p[i]
			} else {
				p[0], p[k-1] = p[k-1], p[0]
			}
		}
	}
	rec(n)
}

// T11: entropic transport between Gaussians on the line in closed form (Janati, Muzellec, Peyré, Cuturi 2020, theorem 1). A grid of step h over 8 standard
// deviations replaces the integrals by the trapezoidal rule, whose error for such densities, exp(-2π²σ²/h²), is far below rounding.
func TestT11GaussiansOnAGrid(t *testing.T) {
	for _, tt := range []struct{ m1, v1, m2, v2, epsilon, want float64 }{
		{0, 1, 1, 0.25, 0.5, 0.612345854317947},
		{0, 0.25, 0, 1, 0.1, 0.124381288080790},
	} {
		in := losses.Inputs{"x": gaussianGrid(tt.m1, tt.v1), "y": gaussianGrid(tt.m2, tt.v2)}
		tolerance := 1e-9
		o := losstest.Outcome(t, divergence(func(d *sinkhorn.Divergence) { d.Epsilon, d.Tolerance = &tt.epsilon, &tolerance }), in)
		if got := closedFormS(tt.m1-tt.m2, tt.v1, tt.v2, tt.epsilon); math.Abs(got-tt.want) > 1e-14 {
			t.Errorf("the closed form gives %v, want %v", got, tt.want)
		}
		// The grid is cut at 8 standard deviations, where the tails weigh 1e-15; the value is off by the marginal error times that of
		// potentials, which in the tails can be as large as the temperature.
		if math.Abs(o.Value-tt.want) > 1e-10 {
			t.Errorf("ε=%v: got %v, want %v (%+v)", tt.epsilon, o.Value, tt.want, *o.Solve)
		}
	}
}

// closedFormS is S for C = ½d² between N(m1,A) and N(m2,B) on the line.
func closedFormS(shift, a, b, epsilon float64) float64 {
	f := func(a, b float64) float64 {
		d := math.Sqrt(4*a*b + epsilon*epsilon)
		return a + b - d + epsilon*(1-math.Log(2*epsilon)) + epsilon*math.Log(epsilon+d)
	}
	return 0.5 * (shift*shift + f(a, b) - f(a, a)/2 - f(b, b)/2)
}

func gaussianGrid(mean, variance float64) *losses.Measure {
	const n = 121
	sigma := math.Sqrt(variance)
	x, w := make([]float64, n), make([]float64, n)
	total := 0.0
	for i := range n {
		z := -8 + 16*float64(i)/(n-1)
		x[i], w[i] = mean+sigma*z, math.Exp(-z*z/2)
		total += w[i]
	}
	for i := range w {
		w[i] /= total
	}
	return losstest.Weighted(x, w)
}

// T3: the same weights on other labels. KL cannot tell these apart; transport can. W2² is met from above by entropic transport, which exceeds it by no more
// than ε times the entropy of a plan, at most log 3 + log 3.
func TestT3LabelsMatter(t *testing.T) {
	p, q := []float64{0.5, 0.5, 0}, []float64{0.25, 0.25, 0.5}
	for _, tt := range []struct {
		labels []float64
		want   float64
	}{
		{[]float64{1, 10, 1000}, 490070.25},
		{[]float64{1, 2, 3}, 0.75},
		{[]float64{1000, 1, 10}, 245045.25},
	} {
		in := losses.Inputs{"x": losstest.Weighted(tt.labels, p), "y": losstest.Weighted(append([]float64(nil), tt.labels...), q)}
		epsilon := tt.want * 1e-3
		o := losstest.Outcome(t, divergence(func(d *sinkhorn.Divergence) {
			d.Cost, d.Debias, d.Epsilon = losses.SquaredEuclidean, sinkhorn.None, &epsilon
		}), in)
		if o.Interval.Upper < tt.want || o.Interval.Lower > tt.want+2*epsilon*math.Log(3) {
			t.Errorf("labels %v: %v does not meet [%v, %v]", tt.labels, *o.Interval, tt.want, tt.want+2*epsilon*math.Log(3))
		}
	}
}
