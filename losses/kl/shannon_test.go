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

var shannon = kl.JensenShannon{Source: "q", Target: "p"}

// What excludes each other is ln 2 apart, a row, a bit, or a unit of mass; what is the same 0.
func TestJensenShannonClosedForms(t *testing.T) {
	for name, c := range map[string]struct {
		q, p losses.Input
		want float64
	}{
		"apart":           {probabilities(2, 1, 0), probabilities(2, 0, 1), math.Ln2},
		"logits apart":    {logits(2, 0, -inf), logits(2, -inf, 0), math.Ln2},
		"the same":        {probabilities(3, 1, 2, 3), logits(3, 0, math.Ln2, math.Log(3)), 0},
		"three bits":      {bitProbabilities(3, 1, 0, 0.5), bitLogits(3, -inf, inf, 0), 2 * math.Ln2},
		"far points":      {losstest.Weighted([]float64{0}, []float64{3}), losstest.Weighted([]float64{1e-300}, []float64{3}), 3 * math.Ln2},
		"half of it":      {losstest.Weighted([]float64{0, 1}, []float64{0.5, 0.5}), losstest.Weighted([]float64{1, 2}, []float64{0.5, 0.5}), math.Ln2 / 2},
		"mean over rows":  {probabilities(2, 1, 0, 1, 0), probabilities(2, 0, 1), math.Ln2},
		"a row and a row": {probabilities(2, 1, 0, 1, 0), probabilities(2, 0, 1, 1, 0), math.Ln2 / 2},
		"quarter":         {probabilities(2, 1, 1), probabilities(2, 3, 1), entropy(0.625) - (entropy(0.5)+entropy(0.75))/2},
	} {
		if got := value(t, shannon, losses.Inputs{"q": c.q, "p": c.p}); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// entropy is that of a bit.
func entropy(p float64) float64 { return -p*math.Log(p) - (1-p)*math.Log(1-p) }

// Where they are near it is δ²/32 for two classes, with all digits.
func TestSmallJensenShannonKeepsItsDigits(t *testing.T) {
	for _, delta := range []float64{1e-10, 1e-5, 0.1, 1, 2} {
		// With u the tangent of δ/4, JS of σ(δ/2) and σ(-δ/2) is ½[(1-u)ln(1-u) + (1+u)ln(1+u)].
		half := bigmath.Exp(bigmath.New(delta / 2))
		u := bigmath.New(0).Sub(half, bigmath.New(1))
		u.Quo(u, half.Add(half, bigmath.New(1)))
		want := bigmath.New(0)
		for _, sign := range []float64{-1, 1} {
			side := bigmath.New(sign)
			side.Mul(side, u).Add(side, bigmath.New(1))
			start, _ := side.Float64()
			want.Add(want, side.Mul(side, bigmath.Log(side, math.Log(start))))
		}
		exact, _ := want.Float64()
		in := losses.Inputs{"q": bitLogits(1, delta/2), "p": bitLogits(1, -delta/2)}
		if got := value(t, shannon, in); !near(got, exact/2, 1e-14) {
			t.Errorf("δ = %v: got %v, want %v", delta, got, exact/2)
		}
	}
}

// Its root is a metric (Endres, Schindelin 2003), at most √ln 2.
func TestRootOfJensenShannonIsAMetric(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := losstest.Random(rapid.Uint64().Draw(rt, "seed"))
		k := rapid.IntRange(2, 6).Draw(rt, "k")
		spread := rapid.SampledFrom([]float64{0.01, 1, 20}).Draw(rt, "spread")
		var at [3]*losses.Categorical
		for i := range at {
			at[i] = logits(k, losstest.Normal(r, 1, k, spread, 0).F64...)
		}
		root := func(i, j int) float64 { return math.Sqrt(value(t, shannon, losses.Inputs{"q": at[i], "p": at[j]})) }
		ab, bc, ac := root(0, 1), root(1, 2), root(0, 2)
		if ac > (ab+bc)*(1+1e-12) {
			rt.Errorf("%v is more than %v + %v", ac, ab, bc)
		}
		if back := root(1, 0); !near(back, ab, 1e-12) || root(0, 0) != 0 || ab > math.Sqrt(math.Ln2)*(1+1e-15) {
			rt.Errorf("%v there and %v back, %v to itself, want at most √ln 2", ab, back, root(0, 0))
		}
	})
}

func TestJensenShannonGradients(t *testing.T) {
	r := losstest.Random(50)
	normal := func(n, k int) []float64 { return losstest.Normal(r, n, k, 1, 0).F64 }
	for _, rows := range []int{1, 4} {
		slopes(t, "logits", shannon, losses.Inputs{"q": logits(3, normal(4, 3)...), "p": logits(3, normal(rows, 3)...)}, "q.logits", "p.logits")
		slopes(t, "masses", shannon, losses.Inputs{"q": probabilities(3, positive(r, 12)...), "p": probabilities(3, positive(r, 3*rows)...)},
			"q.probabilities", "p.probabilities")
		slopes(t, "bits", shannon, losses.Inputs{"q": bitLogits(3, normal(4, 3)...), "p": bitProbabilities(3, unit(r, 3*rows)...)}, "q.logits", "p.probabilities")
	}
	in := losses.Inputs{"q": losstest.Weighted([]float64{1, 2, 1, 3}, []float64{1, 1, 2, 4}), "p": losstest.Weighted([]float64{3, 2, 4}, []float64{2, 3, 3})}
	for _, input := range []string{"q", "p"} {
		along := losstest.UnitBalanced(r, losstest.Tensor(in, input+".weights").F64)
		analytic, numeric := losstest.Directional(t, shannon, in, input+".weights", along, 1e-3)
		if math.Abs(analytic-numeric) > 1e-9 {
			t.Errorf("weights of %s: got %v, by differences %v", input, analytic, numeric)
		}
	}
	// Apart there is nothing to climb: flat where KL is infinite.
	for _, g := range gradient(t, shannon, losses.Inputs{"q": probabilities(2, 1, 0), "p": probabilities(2, 0, 1)}, "q", "probabilities") {
		if g != 0 {
			t.Errorf("gradient %v where both are certain, want 0", g)
		}
	}
	rows, _ := extra(t, shannon, losses.Inputs{"q": probabilities(2, 1, 0, 1, 0), "p": probabilities(2, 0, 1, 1, 0)}, "per_row")
	if len(rows) != 2 || !near(rows[0], math.Ln2, 1e-15) || rows[1] != 0 {
		t.Errorf("got rows %v, want ln 2 and 0", rows)
	}
	if _, term := extra(t, shannon, in, "per_row"); len(term.Extras) != 0 || len(term.Warnings) != 1 || term.Warnings[0].Code != losses.ExtraUnavailable {
		t.Errorf("measures have no rows, got %v", term)
	}
}

func TestJensenShannonRefuses(t *testing.T) {
	q, bits, x := logits(2, 1, 2), bitLogits(2, 1, 2), losstest.Cloud([]float64{0})
	for _, p := range []losses.Input{bits, x, random(1, 1, 2), logits(3, 1, 2, 3), logits(2, 1, 2, 3, 4)} {
		refused(t, shannon, losses.Inputs{"q": q, "p": p}, "target")
	}
	refused(t, shannon, losses.Inputs{"q": bits, "p": q}, "target")
	refused(t, shannon, losses.Inputs{"q": x, "p": q}, "target")
	refused(t, shannon, losses.Inputs{"q": x, "p": losstest.Weighted([]float64{0}, []float64{2})}, "target")
	refused(t, shannon, losses.Inputs{"q": random(1, 1, 2), "p": q}, "source")
}
