package kl_test

import (
	"math"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/bigmath"
	"kantor/losses/internal/losstest"
	"kantor/losses/kl"
)

func gaussian(n, d int, mean, logVariance []float64) *losses.Gaussian {
	return &losses.Gaussian{Mean: losses.NewArray(mean, n, d), LogVariance: losses.NewArray(logVariance, n, d)}
}

func random(seed uint64, n, d int) *losses.Gaussian {
	r := losstest.Random(seed)
	return &losses.Gaussian{Mean: losstest.Normal(r, n, d, 1, 0.3), LogVariance: losstest.Normal(r, n, d, 0.7, -0.5)}
}

// Row T25: KL to N(0,I) is ½ Σ (μ² + e^v - v - 1), the sum over axes and the mean over rows, with the slopes μ and ½(e^v - 1) over the rows. μ = ½, variance ¼ gives ½(¼ + ¼ + ln 4 - 1) = 0.443147180559945…
func TestT25ToTheStandardNormal(t *testing.T) {
	in := losses.Inputs{"q": gaussian(1, 1, []float64{0.5}, []float64{math.Log(0.25)})}
	result := losstest.Evaluate(t, kl.Gaussian{Posterior: "q"}, in, "q.mean", "q.log_variance")
	if want := 0.5 * (math.Ln2*2 - 0.5); math.Abs(result.Value-want) > 4*0x1p-53 {
		t.Errorf("got %v, want %v", result.Value, want)
	}
	mean := result.Gradients[losses.Ref{Input: "q", Field: "mean"}].F64[0]
	logVariance := result.Gradients[losses.Ref{Input: "q", Field: "log_variance"}].F64[0]
	if mean != 0.5 || math.Abs(logVariance+0.375) > 0x1p-53 {
		t.Errorf("gradients %v, %v, want μ = 0.5 and ½(e^v-1) = -0.375", mean, logVariance)
	}
	if o := result.Terms[0].Outcomes[0]; o.Interval != nil || o.Solve != nil {
		t.Errorf("a closed form came with %v, %v", o.Interval, o.Solve)
	}
	const n, d = 7, 5
	q, want := random(25, n, d), 0.0
	result = losstest.Evaluate(t, kl.Gaussian{Posterior: "q"}, losses.Inputs{"q": q}, "q.mean", "q.log_variance")
	for i, mu := range q.Mean.F64 {
		v := q.LogVariance.F64[i]
		want += 0.5 * (mu*mu + math.Exp(v) - v - 1) / n
		mean, logVariance := result.Gradients[losses.Ref{Input: "q", Field: "mean"}].F64[i], result.Gradients[losses.Ref{Input: "q", Field: "log_variance"}].F64[i]
		if math.Abs(mean-mu/n) > 1e-15 || math.Abs(logVariance-0.5*math.Expm1(v)/n) > 1e-15 {
			t.Errorf("at %d: gradients %v, %v, want %v, %v", i, mean, logVariance, mu/n, 0.5*math.Expm1(v)/n)
		}
	}
	if math.Abs(result.Value-want) > 1e-13 {
		t.Errorf("got %v, want %v", result.Value, want)
	}
}

// The sum over dimensions and the mean over rows: the convention of the evidence lower bound, checked where they differ.
func TestSumOverDimensionsMeanOverRows(t *testing.T) {
	in := losses.Inputs{"q": gaussian(2, 3, []float64{1, 2, 3, 0, 0, 0}, make([]float64, 6))}
	result := losstest.EvaluateObjective(t, losses.Objective{
		Terms: []losses.Term{{Weight: 1, Loss: kl.Gaussian{Posterior: "q"}}}, Extras: []string{"kl.per_dimension"}}, in)
	if result.Value != 0.5*(1+4+9)/2 {
		t.Errorf("got %v, want 3.5", result.Value)
	}
	extra := result.Terms[0].Extras["per_dimension"].(*losses.Array)
	for j, want := range []float64{0.25, 1, 2.25} {
		if extra.F64[j] != want {
			t.Errorf("dimension %d: got %v, want %v", j, extra.F64[j], want)
		}
	}
}

// Against the textbook form with determinants and traces, written another way.
func TestToAnotherGaussian(t *testing.T) {
	q, p := random(1, 5, 3), random(2, 5, 3)
	want := 0.0
	for i := range 15 {
		s, u := math.Exp(q.LogVariance.F64[i]), math.Exp(p.LogVariance.F64[i])
		delta := q.Mean.F64[i] - p.Mean.F64[i]
		want += 0.5 * (math.Log(u/s) + (s+delta*delta)/u - 1) / 5
	}
	got := losstest.Evaluate(t, kl.Gaussian{Posterior: "q", Prior: "p"}, losses.Inputs{"q": q, "p": p}).Value
	if math.Abs(got-want) > 60*0x1p-52*want {
		t.Errorf("got %v, want %v", got, want)
	}
	if zero := losstest.Evaluate(t, kl.Gaussian{Posterior: "q", Prior: "p"}, losses.Inputs{"q": q, "p": q}).Value; zero != 0 {
		t.Errorf("KL(q,q) = %v, want 0", zero)
	}
}

// Near equality KL is ¼δ², which the plain sum of e^δ - δ - 1 loses to cancellation. The reference has 160 bits.
func TestSmallDifferencesKeepTheirDigits(t *testing.T) {
	for _, delta := range []float64{1e-12, -1e-9, 1e-4, -0.1, 0.499, -0.499, 0.5, -0.5, 3} {
		in := losses.Inputs{"q": gaussian(1, 1, []float64{0}, []float64{delta})}
		got := losstest.Evaluate(t, kl.Gaussian{Posterior: "q"}, in).Value
		exact := bigmath.Exp(bigmath.New(delta))
		exact.Sub(exact, bigmath.New(1)).Sub(exact, bigmath.New(delta))
		want, _ := exact.Float64()
		want /= 2
		if math.Abs(got-want) > 32*0x1p-53*want {
			t.Errorf("δ = %v: got %v, want %v", delta, got, want)
		}
	}
}

func TestGradientsByFiniteDifferences(t *testing.T) {
	r := losstest.Random(3)
	for name, in := range map[string]losses.Inputs{
		"to N(0,I)":         {"q": random(4, 6, 4)},
		"row by row":        {"q": random(4, 6, 4), "p": random(5, 6, 4)},
		"one prior for all": {"q": random(4, 6, 4), "p": random(5, 1, 4)},
	} {
		loss := kl.Gaussian{Posterior: "q"}
		names := []string{"q.mean", "q.log_variance"}
		if in["p"] != nil {
			loss.Prior = "p"
			names = append(names, "p.mean", "p.log_variance")
		}
		for _, tensor := range names {
			direction := losstest.Unit(r, losstest.Tensor(in, tensor).Len())
			analytic, numeric := losstest.Directional(t, loss, in, tensor, direction, 1e-3)
			// Differences of order 4 at 1e-3: truncation 1e-12 of a fifth derivative of order 10, rounding 1e-15/1e-3.
			if math.Abs(analytic-numeric) > 1e-10*(1+math.Abs(numeric)) {
				t.Errorf("%s, %s: got %v, by differences %v", name, tensor, analytic, numeric)
			}
		}
	}
}

// One Gaussian on both sides gets the sum of both gradients, which is 0: KL(q,q) has its minimum there.
func TestPosteriorAsItsOwnPrior(t *testing.T) {
	in := losses.Inputs{"q": random(6, 3, 2)}
	g := losstest.Evaluate(t, kl.Gaussian{Posterior: "q", Prior: "q"}, in, "q.mean", "q.log_variance").Gradients
	for ref, gradient := range g {
		for i, v := range gradient.F64 {
			if v != 0 {
				t.Errorf("%v[%d] = %v, want 0", ref, i, v)
			}
		}
	}
}

// A value that overflows is +Inf with a warning, and with weight 0 it stays out of the total: never NaN.
func TestOverflow(t *testing.T) {
	for name, q := range map[string]*losses.Gaussian{
		"a variance":            gaussian(2, 1, []float64{0, 0}, []float64{0, 800}),
		"a distance":            gaussian(2, 1, []float64{1e200, 0}, []float64{0, 0}),
		"a variance and a mean": gaussian(2, 1, []float64{1e200, 1}, []float64{-800, 800}),
	} {
		in := losses.Inputs{"q": q}
		result := losstest.Evaluate(t, kl.Gaussian{Posterior: "q"}, in)
		term := result.Terms[0]
		if !math.IsInf(result.Value, 1) || len(term.Warnings) != 1 || term.Warnings[0].Code != losses.InfiniteValue {
			t.Errorf("%s: got %v with %v, want +Inf and a warning", name, result.Value, term.Warnings)
		}
		silent := losstest.EvaluateObjective(t, losses.Objective{
			Terms: []losses.Term{{Weight: 0, Loss: kl.Gaussian{Posterior: "q"}}}, Gradients: []string{"q.mean", "q.log_variance"}}, in)
		if silent.Value != 0 || !math.IsInf(silent.Terms[0].Outcomes[0].Value, 1) {
			t.Errorf("%s: weight 0 gives a total of %v", name, silent.Value)
		}
		for ref, g := range silent.Gradients {
			for _, v := range g.F64 {
				if v != 0 {
					t.Errorf("%s: weight 0 gives %v a gradient of %v", name, ref, v)
				}
			}
		}
	}
	// Where the means agree a prior variance that underflows divides nothing by nothing.
	equal := losses.Inputs{"q": gaussian(1, 1, []float64{2}, []float64{-800}), "p": gaussian(1, 1, []float64{2}, []float64{-800})}
	if v := losstest.Evaluate(t, kl.Gaussian{Posterior: "q", Prior: "p"}, equal, "q.mean").Value; v != 0 {
		t.Errorf("equal Gaussians of variance e^-800: got %v, want 0", v)
	}
}

func TestBadInputs(t *testing.T) {
	q := random(7, 4, 2)
	for _, tt := range []struct {
		loss  kl.Gaussian
		in    losses.Inputs
		field string
	}{
		{kl.Gaussian{Posterior: "q"}, losses.Inputs{"q": losstest.Cloud([]float64{1})}, "objective.terms[0].kl.posterior"},
		{kl.Gaussian{Posterior: "q", Prior: "p"}, losses.Inputs{"q": q, "p": losstest.Cloud([]float64{1})}, "objective.terms[0].kl.prior"},
		{kl.Gaussian{Posterior: "q", Prior: "p"}, losses.Inputs{"q": q, "p": random(8, 3, 2)}, "objective.terms[0].kl.prior"},
		{kl.Gaussian{Posterior: "q", Prior: "p"}, losses.Inputs{"q": q, "p": random(8, 4, 3)}, "objective.terms[0].kl.prior"},
		{kl.Gaussian{Posterior: "q"}, losses.Inputs{"q": gaussian(1, 2, []float64{1, 2}, []float64{0, math.Inf(-1)})}, `inputs["q"].log_variance`},
	} {
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: tt.loss}}}.Bind(tt.in, 0)
		if bad, ok := err.(*losses.InputError); !ok || bad.Field != tt.field {
			t.Errorf("got %v, want an error at %s", err, tt.field)
		}
	}
}
