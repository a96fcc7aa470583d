package gaussian_test

import (
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"kantor/losses"
	"kantor/losses/gaussian"
	"kantor/losses/internal/losstest"
)

// checkGradients compares derivatives along random directions, of covariances symmetric ones, with differences of order 4. Their truncation is h⁴ times a
// fifth derivative, their rounding some 1e-14 over h.
func checkGradients(t *testing.T, loss gaussian.Bures, in losses.Inputs, names ...string) {
	t.Helper()
	r := losstest.Random(11)
	for _, name := range names {
		tensor := losstest.Tensor(in, name)
		direction := losstest.Unit(r, tensor.Len())
		switch {
		case strings.HasSuffix(name, ".weights"):
			direction = losstest.UnitBalanced(r, tensor.F64)
		case strings.HasSuffix(name, ".covariance"):
			d := tensor.Shape[len(tensor.Shape)-1]
			for at := 0; at < tensor.Len(); at += d * d {
				for i := range d {
					for j := range i {
						direction[at+j*d+i] = direction[at+i*d+j]
					}
				}
			}
		}
		analytic, numeric := losstest.Directional(t, loss, in, name, direction, 1e-4)
		if math.Abs(analytic-numeric) > 1e-6*(1e-3+math.Abs(numeric)) {
			t.Errorf("%s: got %v, by differences %v", name, analytic, numeric)
		}
	}
}

func TestGradientsByFiniteDifferences(t *testing.T) {
	r := losstest.Random(21)
	for range 10 {
		n, d := 1+r.IntN(3), 1+r.IntN(5)
		for _, rows := range []int{1, n} {
			checkGradients(t, between, losses.Inputs{"q": randomAxes(r, n, d), "p": randomAxes(r, rows, d)}, "q.mean", "q.log_variance", "p.mean", "p.log_variance")
			checkGradients(t, between, losses.Inputs{"q": randomFull(r, n, d, 3*d), "p": randomFull(r, rows, d, 3*d)}, "q.mean", "q.covariance", "p.mean", "p.covariance")
			checkGradients(t, between, losses.Inputs{"q": randomAxes(r, n, d), "p": randomFull(r, rows, d, 3*d)}, "q.mean", "q.log_variance", "p.mean", "p.covariance")
			checkGradients(t, between, losses.Inputs{"q": randomFull(r, n, d, 3*d), "p": randomAxes(r, rows, d)}, "q.mean", "q.covariance", "p.mean", "p.log_variance")
		}
		checkGradients(t, gaussian.Bures{Posterior: "q"}, losses.Inputs{"q": randomFull(r, n, d, 3*d)}, "q.mean", "q.covariance")
		m := &losses.Measure{Points: losstest.Normal(r, 4*d+1, d, 1, 2), Weights: losstest.Weights(r, 4*d+1, 3)}
		checkGradients(t, gaussian.Bures{Posterior: "q"}, losses.Inputs{"q": m}, "q.points", "q.weights")
		checkGradients(t, between, losses.Inputs{"q": randomAxes(r, 1, d), "p": m}, "q.log_variance", "p.points", "p.weights")
		other := &losses.Measure{Points: losstest.Normal(r, 3*d+1, d, 0.5, 0), Weights: losstest.Weights(r, 3*d+1, 1)}
		checkGradients(t, between, losses.Inputs{"q": m, "p": other}, "q.points", "q.weights", "p.points", "p.weights")
	}
}

// One input as both sides: the value is 0, and the two gradients cancel.
func TestAnInputAgainstItself(t *testing.T) {
	r := losstest.Random(22)
	loss := gaussian.Bures{Posterior: "q", Prior: "q"}
	for _, c := range []struct {
		in    losses.Input
		names []string
	}{
		{randomAxes(r, 3, 4), []string{"q.mean", "q.log_variance"}},
		{randomFull(r, 3, 4, 9), []string{"q.mean", "q.covariance"}},
		{&losses.Measure{Points: losstest.Normal(r, 30, 4, 1, 1)}, []string{"q.points", "q.weights"}},
	} {
		result := losstest.Evaluate(t, loss, losses.Inputs{"q": c.in}, c.names...)
		if result.Value > 1e-28 { // the square of some ten roundings
			t.Errorf("%T: value %v, want 0", c.in, result.Value)
		}
		for ref, gradient := range result.Gradients {
			for i, v := range gradient.F64 {
				if math.Abs(v) > 1e-13 {
					t.Errorf("%v: gradient %v at %d, want 0", ref, v, i)
				}
			}
		}
	}
}

// A covariance that is learnt through its factor, A = LLᵀ, singular because L is d x r: the value is smooth in L, with the derivative 2(I-T)L that the gradient
// in A gives by the chain rule, also where A has no neighbours of its own rank in most directions.
func TestGradientThroughASingularFactor(t *testing.T) {
	r := losstest.Random(23)
	for range 20 {
		d := 2 + r.IntN(4)
		rank := 1 + r.IntN(d-1)
		l, v := mat.NewDense(d, rank, losstest.Normal(r, d, rank, 1, 0).F64), mat.NewDense(d, rank, losstest.Unit(r, d*rank))
		p := randomFull(r, 1, d, 2*d)
		at := func(h float64) *losses.Gaussian {
			var moved, a mat.Dense
			moved.Scale(h, v)
			moved.Add(&moved, l)
			a.Mul(&moved, moved.T())
			return full(1, d, make([]float64, d), a.RawMatrix().Data)
		}
		value := func(h float64) float64 { return losstest.Evaluate(t, between, losses.Inputs{"q": at(h), "p": p}).Value }
		gradient := losstest.Evaluate(t, between, losses.Inputs{"q": at(0), "p": p}, "q.covariance").Gradients[losses.Ref{Input: "q", Field: "covariance"}].F64
		analytic := 2 * mat.Trace(product(v.T(), mat.NewDense(d, d, gradient), l))
		const h = 1e-4
		numeric := (8*(value(h)-value(-h)) - (value(2*h) - value(-2*h))) / (12 * h)
		// Rounding of 1e-16 in A, whose root counts where A is singular: 1e-8 of noise is left out, not of the value.
		if math.Abs(analytic-numeric) > 1e-6*(1+math.Abs(numeric)) {
			t.Errorf("d = %d, rank %d: got %v, by differences %v", d, rank, analytic, numeric)
		}
	}
}

// A measure is the Gaussian of its moments, in the convention that divides by the mass: value, map, and with ten times the mass the same.
func TestMeasureIsItsMoments(t *testing.T) {
	r := losstest.Random(24)
	for _, n := range []int{50, 700, 3000} {
		d := 5
		m := &losses.Measure{Points: losstest.Normal(r, n, d, 1, 100), Weights: losstest.Weights(r, n, 10)}
		mean, covariance := make([]float64, d), make([]float64, d*d)
		for i, v := range m.Points.F64 {
			mean[i%d] += m.Weights.F64[i/d] / 10 * v
		}
		for i := range n {
			for j := range d {
				for k := range d {
					covariance[j*d+k] += m.Weights.F64[i] / 10 * (m.Points.F64[i*d+j] - mean[j]) * (m.Points.F64[i*d+k] - mean[k])
				}
			}
		}
		p := randomFull(r, 1, d, 9)
		want, got := losses.Inputs{"q": full(1, d, mean, covariance), "p": p}, losses.Inputs{"q": m, "p": p}
		// An offset of 100 in the sums here, n of them.
		if a, b := losstest.Evaluate(t, between, got).Value, losstest.Evaluate(t, between, want).Value; math.Abs(a-b) > 1e-12*b {
			t.Errorf("%d points: got %v, by moments %v", n, a, b)
		}
		theirs := extra(t, want, "map")
		for i, v := range extra(t, got, "map").F64 {
			if math.Abs(v-theirs.F64[i]) > 1e-10 {
				t.Errorf("%d points: map %v at %d, by moments %v", n, v, i, theirs.F64[i])
			}
		}
		sum := 0.0
		for i, g := range losstest.Evaluate(t, between, got, "q.weights").Gradients[losses.Ref{Input: "q", Field: "weights"}].F64 {
			sum += m.Weights.F64[i] * g
		}
		if math.Abs(sum) > 1e-10 { // thousands of terms of some hundreds, each with its rounding
			t.Errorf("%d points: <weights, gradient> = %v, want 0", n, sum)
		}
		warnings := losstest.Evaluate(t, between, got).Terms[0].Warnings
		if few := n < 10*d; few != (len(warnings) == 1 && warnings[0].Code == losses.FewPoints) {
			t.Errorf("%d points: warnings %v", n, warnings)
		}
	}
	thin := &losses.Measure{Points: losstest.Normal(r, 49, 5, 1, 0)}
	if w := losstest.Evaluate(t, gaussian.Bures{Posterior: "q"}, losses.Inputs{"q": thin}).Terms[0].Warnings; len(w) != 1 || w[0].Code != losses.FewPoints {
		t.Errorf("49 points of dimension 5: warnings %v, want FEW_POINTS", w)
	}
}

// Extreme units: squares of the points leave binary64, the root of their moments does not.
func TestMeasuresInExtremeUnits(t *testing.T) {
	r := losstest.Random(25)
	m := &losses.Measure{Points: losstest.Normal(r, 40, 2, 1, 0)}
	p := randomAxes(r, 1, 2)
	want := losstest.Evaluate(t, between, losses.Inputs{"q": m, "p": p}).Value
	for _, exponent := range []int{-500, 500} {
		scaled := &losses.Measure{Points: losses.NewArray(m.Points.Float64s(), 40, 2)}
		for i := range scaled.Points.F64 {
			scaled.Points.F64[i] = math.Ldexp(scaled.Points.F64[i], exponent)
		}
		prior := axes(1, 2, append([]float64(nil), p.Mean.F64...), append([]float64(nil), p.LogVariance.F64...))
		for i := range 2 {
			prior.Mean.F64[i] = math.Ldexp(prior.Mean.F64[i], exponent)
			prior.LogVariance.F64[i] += 2 * float64(exponent) * math.Ln2
		}
		got := losstest.Evaluate(t, between, losses.Inputs{"q": scaled, "p": prior}, "q.points")
		// A logarithm of 700 is right to 1e-13, and a variance with it.
		if math.Abs(math.Ldexp(got.Value, -2*exponent)-want) > 1e-12*want {
			t.Errorf("in units of 2^%d: %v, want %v", exponent, math.Ldexp(got.Value, -2*exponent), want)
		}
	}
}
