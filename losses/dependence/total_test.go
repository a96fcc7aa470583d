package dependence

import (
	"context"
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"kantor/losses"
	"kantor/losses/internal/losstest"
)

var minibatch = map[string]Estimator{"stratified": Stratified, "weighted": Weighted}

// drawn is a batch of posteriors, with codes drawn from them.
func drawn(seed uint64, n, d int) losses.Inputs {
	r := losstest.Random(seed)
	mean, spread := losstest.Normal(r, n, d, 1, 0), losstest.Normal(r, n, d, 0.5, -1)
	codes := losstest.Normal(r, n, d, 1, 0)
	for i, v := range codes.F64 {
		codes.F64[i] = mean.F64[i] + math.Exp(spread.F64[i]/2)*v
	}
	return losses.Inputs{"codes": &losses.Measure{Points: codes}, "posterior": &losses.Gaussian{Mean: mean, LogVariance: spread}}
}

func estimate(e Estimator, size int64) TotalCorrelation {
	return TotalCorrelation{Codes: "codes", Posterior: "posterior", Estimator: e, DatasetSize: size}
}

// parts are the extras of a term: mutual information, total correlation, dimension-wise KL.
func parts(t *testing.T, loss TotalCorrelation, inputs losses.Inputs) (information, correlation, total float64) {
	t.Helper()
	names := []string{"total_correlation.mutual_information", "total_correlation.total_correlation", "total_correlation.dimension_wise_kl"}
	result := losstest.EvaluateObjective(t, losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}, Extras: names}, inputs)
	extra := func(name string) float64 { return result.Terms[0].Extras[name].(*losses.Array).F64[0] }
	return extra("mutual_information"), extra("total_correlation"), extra("dimension_wise_kl")
}

// T26: the three parts telescope to the mean of ln q(z|x) - ln p(z), whatever the estimator makes of q(z); so their sum says nothing about it.
func TestT26PartsTelescope(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n, d := rapid.IntRange(2, 20).Draw(rt, "n"), rapid.IntRange(1, 5).Draw(rt, "d")
		inputs := drawn(rapid.Uint64().Draw(rt, "seed"), n, d)
		size := int64(n) + rapid.Int64Range(0, 1e6).Draw(rt, "more")
		codes, q := inputs["codes"].(*losses.Measure).Points.F64, inputs["posterior"].(*losses.Gaussian)
		want, scale := 0.0, 0.0
		for i, z := range codes {
			delta, v := z-q.Mean.F64[i], q.LogVariance.F64[i]
			want += 0.5 * (z*z - v - delta*delta*math.Exp(-v)) / float64(n)
			scale += (z*z + math.Abs(v) + delta*delta*math.Exp(-v) + math.Log(float64(size))) / float64(n)
		}
		for name, e := range minibatch {
			if got := losstest.Outcome(t, estimate(e, size), inputs).Value; math.Abs(got-want) > 1e-13*scale {
				rt.Errorf("%s: %v, want %v", name, got, want)
			}
		}
	})
}

// T26: of the stratified weights 1/N is on the diagonal, one off it in each row is (N-M)/(NM), the others 1/M; they sum to 1.
func TestT26StratifiedWeights(t *testing.T) {
	for _, n := range []int{2, 3, 8} {
		p := &sampled{TotalCorrelation: estimate(Stratified, 100), n: n}
		p.weigh()
		m := float64(n - 1)
		for i := range n {
			sum, odd := 0.0, 0
			for j := range n {
				w := math.Exp(p.weight(i, j))
				sum += w
				switch {
				case i == j && math.Abs(w-0.01) > 1e-15:
					t.Errorf("%d rows: weight %v at [%d,%d], want .01", n, w, i, j)
				case i != j && math.Abs(w-(100-m)/(100*m)) < 1e-12:
					odd++
				case i != j && math.Abs(w-1/m) > 1e-15:
					t.Errorf("%d rows: weight %v at [%d,%d], want %v", n, w, i, j, 1/m)
				}
			}
			if math.Abs(sum-1) > 1e-14 || odd != 1 {
				t.Errorf("%d rows: row %d sums to %v and has %d odd weights", n, i, sum, odd)
			}
		}
	}
}

// Where all posteriors are one, q(z) is that one by stratified weights, which sum to 1: no information and, its axes being independent, no total correlation.
// Weighted ones sum to 1/N, which is a bias of ln N for every density.
func TestEqualPosteriors(t *testing.T) {
	n, d := 6, 3
	inputs := drawn(1, n, d)
	q, codes := inputs["posterior"].(*losses.Gaussian), inputs["codes"].(*losses.Measure).Points.F64
	kl := 0.0
	for i, z := range codes {
		q.Mean.F64[i], q.LogVariance.F64[i] = q.Mean.F64[i%d], q.LogVariance.F64[i%d]
		delta, v := z-q.Mean.F64[i], q.LogVariance.F64[i]
		kl += 0.5 * (z*z - v - delta*delta*math.Exp(-v)) / float64(n)
	}
	bias := math.Log(1000)
	for name, want := range map[string][3]float64{
		"stratified": {0, 0, kl},
		"weighted":   {bias, float64(d-1) * bias, kl - float64(d)*bias},
	} {
		information, correlation, total := parts(t, estimate(minibatch[name], 1000), inputs)
		for i, got := range []float64{information, correlation, total} {
			if math.Abs(got-want[i]) > 1e-12 {
				t.Errorf("%s: part %d is %v, want %v", name, i, got, want[i])
			}
		}
	}
}

// Posteriors that do not overlap tell the row: the information is ln N by stratified weights, the entropy of the dataset; by weighted ones ln NB, which is more
// than there is.
func TestPosteriorsApart(t *testing.T) {
	n := 5
	inputs := drawn(2, n, 1)
	q, codes := inputs["posterior"].(*losses.Gaussian), inputs["codes"].(*losses.Measure).Points.F64
	for i := range codes {
		q.Mean.F64[i], q.LogVariance.F64[i], codes[i] = float64(100*i), 0, float64(100*i)+0.25
	}
	for name, want := range map[string]float64{"stratified": math.Log(700), "weighted": math.Log(700 * 5)} {
		information, correlation, _ := parts(t, estimate(minibatch[name], 700), inputs)
		if math.Abs(information-want) > 1e-12 || math.Abs(correlation) > 1e-12 { // of one axis there is no total correlation
			t.Errorf("%s: information %v, want %v; total correlation %v, want 0", name, information, want, correlation)
		}
	}
}

func TestGradientsByFiniteDifferences(t *testing.T) {
	for name, e := range minibatch {
		for _, shape := range [][2]int{{2, 1}, {7, 3}, {12, 2}} {
			inputs := drawn(uint64(shape[0]), shape[0], shape[1])
			loss := estimate(e, 50)
			loss.MutualInformation, loss.Correlation, loss.DimensionWiseKl = losstest.Ptr(0.7), losstest.Ptr(4), losstest.Ptr(-1.3)
			for _, tensor := range []string{"codes.points", "posterior.mean", "posterior.log_variance"} {
				direction := losstest.Unit(losstest.Random(3), shape[0]*shape[1])
				analytic, numeric := losstest.Directional(t, loss, inputs, tensor, direction, 1e-3)
				if math.Abs(analytic-numeric) > 1e-8*max(1, math.Abs(numeric)) {
					t.Errorf("%s %v %s: gradient %v, finite differences %v", name, shape, tensor, analytic, numeric)
				}
			}
		}
	}
}

// The order of the axes is nobody's: the parts stay.
func TestAxesInAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n, d := rapid.IntRange(2, 12).Draw(rt, "n"), rapid.IntRange(2, 4).Draw(rt, "d")
		seed := rapid.Uint64().Draw(rt, "seed")
		one, other := drawn(seed, n, d), drawn(seed, n, d)
		order := losstest.Random(seed).Perm(d)
		for _, tensor := range []string{"codes.points", "posterior.mean", "posterior.log_variance"} {
			from, to := losstest.Tensor(one, tensor).F64, losstest.Tensor(other, tensor).F64
			for at := range to {
				to[at] = from[at/d*d+order[at%d]]
			}
		}
		for name, e := range minibatch {
			i, c, k := parts(t, estimate(e, 99), one)
			i2, c2, k2 := parts(t, estimate(e, 99), other)
			if off := math.Abs(i-i2) + math.Abs(c-c2) + math.Abs(k-k2); off > 1e-12*(1+math.Abs(i)+math.Abs(c)+math.Abs(k)) {
				rt.Errorf("%s: parts %v, %v, %v became %v, %v, %v", name, i, c, k, i2, c2, k2)
			}
		}
	})
}

// A variance that underflows makes densities infinite: the value is +Inf, with a warning, and the gradients are 0.
func TestInfiniteDensities(t *testing.T) {
	inputs := drawn(4, 3, 2)
	inputs["posterior"].(*losses.Gaussian).LogVariance.F64[0] = -1e4
	result := losstest.Evaluate(t, estimate(Stratified, 10), inputs, "codes.points", "posterior.mean", "posterior.log_variance")
	if !math.IsInf(result.Value, 1) || len(result.Terms[0].Warnings) != 1 || result.Terms[0].Warnings[0].Code != losses.InfiniteValue {
		t.Errorf("value %v, warnings %v, want +Inf and INFINITE_VALUE", result.Value, result.Terms[0].Warnings)
	}
	for ref, gradient := range result.Gradients {
		for _, v := range gradient.F64 {
			if v != 0 {
				t.Errorf("%v has %v, want 0", ref, v)
			}
		}
	}
}

func TestEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, loss := range map[string]losses.Loss{
		"total_correlation": estimate(Stratified, 1e6), "dip": Dip{Posterior: "posterior"},
		"transport": TotalCorrelation{Codes: "codes", Estimator: Transported},
	} {
		inputs := drawn(5, 3000, 8)
		used := losses.Inputs{}
		for _, use := range loss.Uses() {
			used[use.Input] = inputs[use.Input]
		}
		e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}}.Bind(used, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Evaluate(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want that of the context", name, err)
		}
	}
}
