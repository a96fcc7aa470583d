package kl_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"kantor/losses"
	"kantor/losses/internal/bigmath"
	"kantor/losses/internal/losstest"
	"kantor/losses/kl"
)

var inf = math.Inf(1)

// Closed forms, by logits and by probabilities of any sum: KL([½,¼,¼], uniform) = ln 3 - 3/2 ln 2; certain choices cost ln K; and the mean over rows.
func TestCategoricalClosedForms(t *testing.T) {
	want := math.Log(3) - 1.5*math.Ln2
	loss := kl.Categorical{Posterior: "q"}
	for name, c := range map[string]struct {
		q               *losses.Categorical
		want, tolerance float64
	}{
		"logits":        {logits(3, 5+math.Ln2, 5, 5), want, 1e-14},
		"large logits":  {logits(3, 1e5+math.Ln2, 1e5, 1e5), want, 1e-9}, // beside 1e5 a logit of ln 2 has 36 bits
		"huge logits":   {logits(4, 1.2e308, 1.2e308, -1.2e308, -inf), math.Ln2, 1e-15},
		"probabilities": {probabilities(3, 2, 1, 1), want, 1e-14},
	} {
		if got := value(t, loss, losses.Inputs{"q": c.q}); !near(got, c.want, c.tolerance) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	certain := losses.Inputs{"q": logits(4, 0, math.Inf(-1), math.Inf(-1), math.Inf(-1), 0, 0, 0, 0)}
	if got := value(t, loss, certain); !near(got, math.Log(4)/2, 1e-15) {
		t.Errorf("a certain and a uniform row: got %v, want ½ ln 4", got)
	}
	if rows, _ := extra(t, loss, certain, "per_row"); len(rows) != 2 || !near(rows[0], math.Log(4), 1e-15) || rows[1] != 0 {
		t.Errorf("got rows %v, want ln 4 and 0", rows)
	}
	for i, g := range gradient(t, loss, certain, "q", "logits") {
		if g != 0 {
			t.Errorf("a certain and a uniform row have a gradient of %v at %d, want 0", g, i)
		}
	}
	reverse := kl.Categorical{Posterior: "q", Prior: "p", Direction: kl.Reverse}
	in := losses.Inputs{"q": logits(3, math.Ln2, 0, 0), "p": logits(3, 0, 0, 0)}
	if got, want := value(t, reverse, in), 5*math.Ln2/3-math.Log(3); !near(got, want, 1e-13) {
		t.Errorf("reversed: got %v, want %v", got, want)
	}
}

// The gradient in logits is q_k (ln(q_k/p_k) - KL)/N, in a prior's p_k - q_k; in probabilities of any sum its product with the row is 0.
func TestCategoricalGradients(t *testing.T) {
	q, p := []float64{0.5, 0.3, 0.2}, []float64{0.2, 0.2, 0.6}
	in := losses.Inputs{"q": probabilities(3, 5, 3, 2), "p": logits(3, math.Log(0.2), math.Log(0.2), math.Log(0.6))}
	loss := kl.Categorical{Posterior: "q", Prior: "p"}
	v := 0.0
	for k := range q {
		v += q[k] * math.Log(q[k]/p[k])
	}
	byMass, product := gradient(t, loss, in, "q", "probabilities"), 0.0
	for k, g := range byMass {
		if want := (math.Log(q[k]/p[k]) - v) / 10; math.Abs(g-want) > 1e-16 {
			t.Errorf("gradient %v in mass %d, want %v", g, k, want)
		}
		product += g * q[k]
	}
	if math.Abs(product) > 1e-17 {
		t.Errorf("the gradient in masses moves their sum by %v", product)
	}
	for k, g := range gradient(t, loss, in, "p", "logits") {
		if want := p[k] - q[k]; math.Abs(g-want) > 1e-15 {
			t.Errorf("gradient %v in the prior's logit %d, want %v", g, k, want)
		}
	}
	// A class that underflows in the prior pulls it up with all of the posterior's mass.
	far := losses.Inputs{"q": logits(2, 0, 0), "p": logits(2, 0, -2000)}
	if got := value(t, loss, far); !near(got, 1000-math.Ln2, 1e-15) {
		t.Errorf("got %v against a logit of -2000, want 1000 - ln 2", got)
	}
	if g := gradient(t, loss, far, "p", "logits"); g[1] != -0.5 || g[0] != 0.5 {
		t.Errorf("got the gradient %v, want ±½", g)
	}
}

func TestChoiceGradientsByFiniteDifferences(t *testing.T) {
	r := losstest.Random(20)
	normal := func(n, k int) []float64 { return losstest.Normal(r, n, k, 1, 0).F64 }
	for name, direction := range directions {
		categorical := kl.Categorical{Posterior: "q", Prior: "p", Direction: direction}
		bernoulli := kl.Bernoulli{Posterior: "q", Prior: "p", Direction: direction}
		for _, rows := range []int{1, 4} {
			slopes(t, name, categorical, losses.Inputs{"q": logits(3, normal(4, 3)...), "p": logits(3, normal(rows, 3)...)}, "q.logits", "p.logits")
			slopes(t, name, categorical, losses.Inputs{"q": probabilities(3, positive(r, 12)...), "p": probabilities(3, positive(r, 3*rows)...)},
				"q.probabilities", "p.probabilities")
			slopes(t, name, categorical, losses.Inputs{"q": logits(3, normal(4, 3)...), "p": probabilities(3, positive(r, 3*rows)...)}, "q.logits", "p.probabilities")
			slopes(t, name, bernoulli, losses.Inputs{"q": bitLogits(3, normal(4, 3)...), "p": bitLogits(3, normal(rows, 3)...)}, "q.logits", "p.logits")
			slopes(t, name, bernoulli, losses.Inputs{"q": bitProbabilities(3, unit(r, 12)...), "p": bitLogits(3, normal(rows, 3)...)}, "q.probabilities", "p.logits")
			slopes(t, name, bernoulli, losses.Inputs{"q": bitLogits(3, normal(4, 3)...), "p": bitProbabilities(3, unit(r, 3*rows)...)}, "q.logits", "p.probabilities")
		}
	}
	slopes(t, "to uniform", kl.Categorical{Posterior: "q"}, losses.Inputs{"q": logits(5, normal(3, 5)...)}, "q.logits")
	slopes(t, "to fair bits", kl.Bernoulli{Posterior: "q"}, losses.Inputs{"q": bitProbabilities(5, unit(r, 15)...)}, "q.probabilities")
}

// Near equality KL is ½Σ q δ² - ½(Σ q δ)², which the sum of q ln(q/p) loses to cancellation. The reference has 160 bits.
func TestSmallDifferencesOfChoicesKeepTheirDigits(t *testing.T) {
	for _, delta := range []float64{1e-12, -1e-9, 1e-5, -0.01, 0.3, 0.7, 3} {
		// ln((1+e^δ)/2) - δ/2 = KL([½,½], [1,e^δ]/(1+e^δ))
		exact := bigmath.Exp(bigmath.New(delta))
		exact.Add(exact, bigmath.New(1)).Quo(exact, bigmath.New(2))
		start, _ := exact.Float64()
		log := bigmath.Log(exact, math.Log(start))
		want, _ := log.Sub(log, bigmath.New(delta/2)).Float64()
		for name, in := range map[string]losses.Inputs{
			"classes": {"q": logits(2, 0, 0), "p": logits(2, 0, delta)}, "bits": {"q": bitLogits(1, 0), "p": bitLogits(1, delta)},
		} {
			var loss losses.Loss = kl.Categorical{Posterior: "q", Prior: "p"}
			if name == "bits" {
				loss = kl.Bernoulli{Posterior: "q", Prior: "p"}
			}
			if got := value(t, loss, in); !near(got, want, 1e-14) {
				t.Errorf("%s, δ = %v: got %v, want %v", name, delta, got, want)
			}
		}
	}
	// The same by masses that differ in their last bits, up to a factor.
	a, b := 1+0x1p-30, 1-0x1p-30
	masses := losses.Inputs{"q": probabilities(2, a, b), "p": probabilities(2, 1, 1)}
	if got, want := value(t, kl.Categorical{Posterior: "q", Prior: "p"}, masses), 0x1p-61; !near(got, want, 1e-14) {
		t.Errorf("got %v, want ½·4^-30 = %v", got, want)
	}
	same := losses.Inputs{"q": logits(3, 1, 2, 3), "p": logits(3, -9, -8, -7)}
	if got := value(t, kl.Categorical{Posterior: "q", Prior: "p"}, same); got != 0 {
		t.Errorf("equal up to a constant: got %v, want 0", got)
	}
}

// A class of mass where the other has none is infinite in that direction alone, with a warning and without a slope; none on either side is nothing.
func TestImpossibleClasses(t *testing.T) {
	tensors := []string{"q.probabilities", "p.probabilities"}
	some, all := probabilities(3, 0.5, 0.5, 0), probabilities(3, 0.25, 0.25, 0.5)
	forward := kl.Categorical{Posterior: "q", Prior: "p"}
	infinite(t, "posterior beyond prior", forward, losses.Inputs{"q": all, "p": some}, tensors...)
	reverse := kl.Categorical{Posterior: "q", Prior: "p", Direction: kl.Reverse}
	infinite(t, "reverse", reverse, losses.Inputs{"q": some, "p": all}, tensors...)
	symmetric := kl.Categorical{Posterior: "q", Prior: "p", Direction: kl.Symmetric}
	infinite(t, "symmetric", symmetric, losses.Inputs{"q": some, "p": all}, tensors...)
	in := losses.Inputs{"q": some, "p": all}
	if got := value(t, forward, in); !near(got, math.Ln2, 1e-15) {
		t.Errorf("got %v, want ln 2", got)
	}
	// The slope where a probability of 0 has an infinite one is 0; in the prior it is 1 less the ratio.
	for k, g := range gradient(t, forward, in, "q", "probabilities") {
		if math.Abs(g) > 1e-16 {
			t.Errorf("gradient %v at %d, want 0: the ratios are equal where there is mass", g, k)
		}
	}
	for k, want := range []float64{-1, -1, 1} {
		if g := gradient(t, forward, in, "p", "probabilities")[k]; g != want {
			t.Errorf("gradient %v in the prior at %d, want %v", g, k, want)
		}
	}
	none := losses.Inputs{"q": logits(3, 0, 0, -inf), "p": logits(3, 0, 0, -inf)}
	if got := losstest.Evaluate(t, symmetric, none, "q.logits", "p.logits"); got.Value != 0 || got.Gradients[losses.Ref{Input: "p", Field: "logits"}].F64[2] != 0 {
		t.Errorf("a class that neither has: got %v", got)
	}
	one := losses.Inputs{"q": bitProbabilities(2, 0.5, 1), "p": bitProbabilities(2, 0.5, 0)}
	infinite(t, "a bit", kl.Bernoulli{Posterior: "q", Prior: "p"}, one, tensors...)
	infinite(t, "a bit's logit", kl.Bernoulli{Posterior: "q", Prior: "p"}, losses.Inputs{"q": bitLogits(1, inf), "p": bitLogits(1, -inf)}, "q.logits", "p.logits")
}

// ln 2 for a certain bit against a fair one, the sum over bits, the mean over rows; softplus forms where an exponential overflows.
func TestBernoulliClosedForms(t *testing.T) {
	loss := kl.Bernoulli{Posterior: "q"}
	in := losses.Inputs{"q": bitProbabilities(3, 0, 1, 0.5, 0.5, 0.5, 0.25)}
	quarter := 0.25*math.Log(0.5) + 0.75*math.Log(1.5)
	if got, want := value(t, loss, in), (2*math.Ln2+quarter)/2; !near(got, want, 1e-15) {
		t.Errorf("got %v, want %v", got, want)
	}
	perDimension, _ := extra(t, loss, in, "per_dimension")
	for j, want := range []float64{math.Ln2 / 2, math.Ln2 / 2, quarter / 2} {
		if !near(perDimension[j], want, 1e-15) {
			t.Errorf("dimension %d: got %v, want %v", j, perDimension[j], want)
		}
	}
	for i, g := range gradient(t, loss, in, "q", "probabilities") {
		if want := []float64{0, 0, 0, 0, 0, -math.Log(3) / 2}[i]; math.Abs(g-want) > 1e-15 {
			t.Errorf("gradient %v at %d, want %v", g, i, want)
		}
	}
	far := losses.Inputs{"q": bitLogits(2, 800, -800), "p": bitLogits(2, -800, -800)}
	both := kl.Bernoulli{Posterior: "q", Prior: "p"}
	if got := value(t, both, far); got != 800 {
		t.Errorf("got %v for logits of ±800, want 800", got)
	}
	if g := gradient(t, both, far, "p", "logits"); g[0] != -1 || g[1] != 0 {
		t.Errorf("gradient in the prior %v, want -1 and 0", g)
	}
	certain := losses.Inputs{"q": bitLogits(2, inf, -inf)}
	if got := value(t, loss, certain); !near(got, 2*math.Ln2, 1e-15) {
		t.Errorf("got %v for certain bits, want 2 ln 2", got)
	}
	for i, g := range gradient(t, loss, certain, "q", "logits") {
		if g != 0 {
			t.Errorf("a certain bit has a gradient of %v at %d", g, i)
		}
	}
}

// Bits are choices between two classes, one for each row.
func TestBitsAreChoicesBetweenTwo(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := losstest.Random(rapid.Uint64().Draw(rt, "seed"))
		x, y := losstest.Normal(r, 6, 1, 3, 0).F64, losstest.Normal(r, 6, 1, 3, 0).F64
		pairs := func(v []float64) *losses.Categorical {
			var out []float64
			for _, l := range v {
				out = append(out, 0, l)
			}
			return logits(2, out...)
		}
		direction := rapid.SampledFrom([]kl.Direction{kl.Forward, kl.Reverse, kl.Symmetric}).Draw(rt, "direction")
		bits := value(t, kl.Bernoulli{Posterior: "q", Prior: "p", Direction: direction}, losses.Inputs{"q": bitLogits(3, x...), "p": bitLogits(3, y...)})
		classes := value(t, kl.Categorical{Posterior: "q", Prior: "p", Direction: direction}, losses.Inputs{"q": pairs(x), "p": pairs(y)})
		if !near(bits, 3*classes, 1e-12) {
			rt.Errorf("%v of bits, %v of choices", bits, 3*classes)
		}
	})
}

// In binary32 the inputs are rounded, the arithmetic is not; gradients come back in binary32.
func TestChoicesInBinary32(t *testing.T) {
	single := &losses.Array{Shape: []int{1, 3}, F32: []float32{1, 2, 3}}
	q := &losses.Categorical{Logits: single}
	result := losstest.Evaluate(t, kl.Categorical{Posterior: "q"}, losses.Inputs{"q": q}, "q.logits")
	want := losstest.Evaluate(t, kl.Categorical{Posterior: "q"}, losses.Inputs{"q": logits(3, 1, 2, 3)}, "q.logits")
	if result.Value != want.Value {
		t.Errorf("got %v, want %v", result.Value, want.Value)
	}
	ref := losses.Ref{Input: "q", Field: "logits"}
	for i, g := range result.Gradients[ref].F32 {
		if g != float32(want.Gradients[ref].F64[i]) {
			t.Errorf("gradient %v at %d, want %v rounded", g, i, want.Gradients[ref].F64[i])
		}
	}
}

// The result does not depend on how many rows are computed at once: hundreds of rows with one prior are the mean of each by itself.
func TestRowsOfChoices(t *testing.T) {
	r := losstest.Random(30)
	n, k := 100, 7
	x, y := losstest.Normal(r, n, k, 1, 0).F64, losstest.Normal(r, 1, k, 1, 0).F64
	loss := kl.Categorical{Posterior: "q", Prior: "p", Direction: kl.Symmetric}
	all := losstest.Evaluate(t, loss, losses.Inputs{"q": logits(k, x...), "p": logits(k, y...)}, "q.logits", "p.logits")
	mean, shared := 0.0, make([]float64, k)
	for i := range n {
		one := losstest.Evaluate(t, loss, losses.Inputs{"q": logits(k, x[i*k:(i+1)*k]...), "p": logits(k, y...)}, "q.logits", "p.logits")
		mean += one.Value / float64(n)
		for j, g := range one.Gradients[losses.Ref{Input: "q", Field: "logits"}].F64 {
			if got := all.Gradients[losses.Ref{Input: "q", Field: "logits"}].F64[i*k+j]; math.Abs(got-g/float64(n)) > 1e-17 {
				t.Errorf("row %d: gradient %v, want %v", i, got, g/float64(n))
			}
		}
		for j, g := range one.Gradients[losses.Ref{Input: "p", Field: "logits"}].F64 {
			shared[j] += g / float64(n)
		}
	}
	if !near(all.Value, mean, 1e-14) {
		t.Errorf("got %v, want %v", all.Value, mean)
	}
	for j, g := range all.Gradients[losses.Ref{Input: "p", Field: "logits"}].F64 {
		if math.Abs(g-shared[j]) > 1e-15 {
			t.Errorf("the prior's gradient is %v at %d, want %v", g, j, shared[j])
		}
	}
}

func TestChoicesRefuse(t *testing.T) {
	q, bits := logits(3, 1, 2, 3, 4, 5, 6), bitLogits(3, 1, 2, 3, 4, 5, 6)
	toPrior, bitsToPrior := kl.Categorical{Posterior: "q", Prior: "p"}, kl.Bernoulli{Posterior: "q", Prior: "p"}
	refused(t, kl.Categorical{Posterior: "q"}, losses.Inputs{"q": bits}, "posterior")
	refused(t, kl.Bernoulli{Posterior: "q"}, losses.Inputs{"q": q}, "posterior")
	refused(t, toPrior, losses.Inputs{"q": q, "p": bits}, "prior")
	refused(t, bitsToPrior, losses.Inputs{"q": bits, "p": q}, "prior")
	refused(t, toPrior, losses.Inputs{"q": q, "p": logits(2, 1, 2)}, "prior")
	refused(t, toPrior, losses.Inputs{"q": q, "p": logits(3, make([]float64, 9)...)}, "prior")
	refused(t, bitsToPrior, losses.Inputs{"q": bits, "p": bitLogits(2, 1, 2)}, "prior")
	negative := -1.0
	for field, bad := range map[string]kl.Allowance{"free_bits": {FreeBits: &negative}, "capacity": allow(0.5, 0.5)} {
		refused(t, kl.Categorical{Posterior: "q", Allowance: bad}, losses.Inputs{"q": q}, field)
		refused(t, kl.Bernoulli{Posterior: "q", Allowance: bad}, losses.Inputs{"q": bits}, field)
	}
}
