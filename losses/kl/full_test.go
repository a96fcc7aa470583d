package kl_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"kantor/losses"
	"kantor/losses/internal/bigmath"
	"kantor/losses/internal/losstest"
	"kantor/losses/kl"
)

var between = kl.Gaussian{Posterior: "q", Prior: "p"}

// Variances on the diagonal of a covariance are log-variances, on either side, in all directions, in value and gradients.
func TestAxesAsCovariances(t *testing.T) {
	for name, direction := range directions {
		for _, rows := range []int{1, 5} {
			q, p := random(1, 5, 3), random(2, rows, 3)
			loss := kl.Gaussian{Posterior: "q", Prior: "p", Direction: direction}
			want := losstest.Evaluate(t, loss, losses.Inputs{"q": q, "p": p}, "q.mean", "p.mean", "q.log_variance", "p.log_variance")
			for which, in := range map[string]losses.Inputs{
				"both": {"q": promoted(q), "p": promoted(p)}, "the posterior": {"q": promoted(q), "p": p}, "the prior": {"q": q, "p": promoted(p)},
			} {
				checkPromoted(t, name+", "+which, loss, in, want)
			}
		}
	}
}

func checkPromoted(t *testing.T, name string, loss kl.Gaussian, in losses.Inputs, want *losses.Result) {
	t.Helper()
	if got := value(t, loss, in); !near(got, want.Value, 1e-13) {
		t.Errorf("%s: got %v, want %v", name, got, want.Value)
	}
	for _, input := range []string{"q", "p"} {
		g := in[input].(*losses.Gaussian)
		mean, wantMean := gradient(t, loss, in, input, "mean"), want.Gradients[losses.Ref{Input: input, Field: "mean"}].F64
		spread, wantSpread, d := []float64(nil), want.Gradients[losses.Ref{Input: input, Field: "log_variance"}].F64, 3
		if g.Covariance == nil {
			spread = gradient(t, loss, in, input, "log_variance")
		} else {
			for i, c := range gradient(t, loss, in, input, "covariance") {
				if i/d%d == i%d { // in the logarithm of a variance it is the variance times that in the variance
					spread = append(spread, c*g.Covariance.F64[i])
				}
			}
		}
		for i := range mean {
			if math.Abs(mean[i]-wantMean[i]) > 1e-13 || math.Abs(spread[i]-wantSpread[i]) > 1e-13 {
				t.Errorf("%s, %s: gradients %v and %v at %d, want %v and %v", name, input, mean[i], spread[i], i, wantMean[i], wantSpread[i])
			}
		}
	}
}

// Against determinants and traces of inverses, which is how it is written.
func TestFullGaussiansAreTheTextbooks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := rapid.IntRange(1, 6).Draw(rt, "d")
		r := losstest.Random(rapid.Uint64().Draw(rt, "seed"))
		q, p := randomFull(r, 3, d, d+4), randomFull(r, 3, d, d+4)
		want := 0.0
		for i := range 3 {
			want += textbook(q, p, i, d) / 3
		}
		if got := value(t, between, losses.Inputs{"q": q, "p": p}); !near(got, want, 1e-9) {
			rt.Errorf("D = %d: got %v, want %v", d, got, want)
		}
	})
}

func textbook(q, p *losses.Gaussian, i, d int) float64 {
	a, b := mat.NewDense(d, d, q.Covariance.F64[i*d*d:(i+1)*d*d]), mat.NewDense(d, d, p.Covariance.F64[i*d*d:(i+1)*d*d])
	var inverse, ratio mat.Dense
	if err := inverse.Inverse(b); err != nil {
		panic(err)
	}
	ratio.Mul(&inverse, a)
	delta := mat.NewVecDense(d, nil)
	delta.SubVec(mat.NewVecDense(d, q.Mean.F64[i*d:(i+1)*d]), mat.NewVecDense(d, p.Mean.F64[i*d:(i+1)*d]))
	return 0.5 * (mat.Trace(&ratio) + mat.Inner(delta, &inverse, delta) - float64(d) + math.Log(mat.Det(b)/mat.Det(a)))
}

// symmetrically is a direction of covariances that keeps them symmetric.
func symmetrically(r *rand.Rand, n, d int) []float64 {
	v := losstest.Unit(r, n*d*d)
	for i := range n {
		for j := range d {
			for k := range j {
				v[(i*d+j)*d+k] = v[(i*d+k)*d+j]
			}
		}
	}
	return v
}

func TestFullGradientsByFiniteDifferences(t *testing.T) {
	r := losstest.Random(5)
	for name, direction := range directions {
		for which, in := range map[string]losses.Inputs{
			"row by row":        {"q": randomFull(r, 4, 3, 9), "p": randomFull(r, 4, 3, 9)},
			"one prior for all": {"q": randomFull(r, 4, 3, 9), "p": randomFull(r, 1, 3, 9)},
			"from axes":         {"q": random(6, 4, 3), "p": randomFull(r, 1, 3, 9)},
			"to axes":           {"q": randomFull(r, 4, 3, 9), "p": random(7, 1, 3)},
			"to N(0,I)":         {"q": randomFull(r, 4, 3, 9)},
			"nearly the same":   almost(r, 2, 3),
		} {
			loss := kl.Gaussian{Posterior: "q", Direction: direction}
			tensors := []string{"q.mean", "q.covariance"}
			if in["q"].(*losses.Gaussian).Covariance == nil {
				tensors = []string{"q.mean", "q.log_variance"}
			}
			if in["p"] != nil {
				loss.Prior = "p"
				tensors = append(tensors, "p.mean", map[bool]string{true: "p.covariance", false: "p.log_variance"}[in["p"].(*losses.Gaussian).Covariance != nil])
			}
			for _, tensor := range tensors {
				x := losstest.Tensor(in, tensor)
				along := losstest.Unit(r, x.Len())
				if len(x.Shape) == 3 {
					along = symmetrically(r, x.Shape[0], 3)
				}
				analytic, numeric := losstest.Directional(t, loss, in, tensor, along, 1e-4)
				// Differences of order 4 at 1e-4: rounding 1e-15/1e-4, truncation 1e-16 of a fifth derivative of at most 1e5.
				if math.Abs(analytic-numeric) > 1e-9*(1+math.Abs(numeric)) {
					t.Errorf("%s, %s, %s: got %v, by differences %v", name, which, tensor, analytic, numeric)
				}
			}
		}
	}
}

// almost is two Gaussians that differ by a thousandth.
func almost(r *rand.Rand, n, d int) losses.Inputs {
	q := randomFull(r, n, d, 3*d)
	p := full(n, d, q.Mean.Float64s(), q.Covariance.Float64s())
	for i, v := range symmetrically(r, n, d) {
		p.Covariance.F64[i] += 1e-3 * v
	}
	return losses.Inputs{"q": q, "p": p}
}

// Near equality KL is ¼tr(ΔΔ), which the plain sum of traces and determinants loses to cancellation. The reference has 160 bits: rotations by 45° turn
// diag(1+δ,1-2δ) into a covariance whose entries are exact.
func TestSmallDifferencesOfCovariancesKeepTheirDigits(t *testing.T) {
	for _, exponent := range []int{-40, -30, -20, -10, -5, -2} {
		delta := math.Ldexp(1, exponent)
		in := losses.Inputs{"q": full(1, 2, []float64{0, 0}, []float64{1 - delta/2, 1.5 * delta, 1.5 * delta, 1 - delta/2})}
		want := 0.0
		for _, e := range []float64{delta, -2 * delta} { // e - ln(1+e), halved
			exact := bigmath.New(1 + e)
			log := bigmath.Log(exact, math.Log1p(e))
			part, _ := log.Sub(bigmath.New(e), log).Float64()
			want += part / 2
		}
		if got := value(t, kl.Gaussian{Posterior: "q"}, in); !near(got, want, 1e-14) {
			t.Errorf("δ = %v: got %v, want %v", delta, got, want)
		}
	}
	q := randomFull(losstest.Random(3), 4, 5, 15)
	same := losses.Inputs{"q": q, "p": full(4, 5, q.Mean.F64, q.Covariance.F64)}
	for _, field := range []string{"mean", "covariance"} {
		for i, v := range gradient(t, between, same, "q", field) {
			if v != 0 {
				t.Errorf("KL(q,q) has a gradient of %v in %s at %d, want 0", v, field, i)
			}
		}
	}
	if v := value(t, between, same); v != 0 {
		t.Errorf("KL(q,q) = %v, want 0", v)
	}
}

// The units of the axes do not matter, however far apart they are: a common affine map changes nothing.
func TestUnitsOfAxesDoNotMatter(t *testing.T) {
	r := losstest.Random(8)
	q, p := randomFull(r, 3, 3, 9), randomFull(r, 3, 3, 9)
	want := value(t, between, losses.Inputs{"q": q, "p": p})
	units := []float64{1e-60, 1, 1e70}
	for _, g := range []*losses.Gaussian{q, p} {
		for i := range g.Mean.F64 {
			g.Mean.F64[i] *= units[i%3]
		}
		for i := range g.Covariance.F64 {
			g.Covariance.F64[i] *= units[i%3] * units[i/3%3]
		}
	}
	if got := value(t, between, losses.Inputs{"q": q, "p": p}); !near(got, want, 1e-12) {
		t.Errorf("got %v, want %v in other units", got, want)
	}
	// Half of the logarithm of e^1000: variances that binary64 has no number for, on the side that is given by its logarithms.
	tiny := losses.Inputs{"q": gaussian(1, 1, []float64{0}, []float64{-1000}), "p": full(1, 1, []float64{0}, []float64{1})}
	if got := value(t, between, tiny); !near(got, 499.5, 1e-14) {
		t.Errorf("got %v for the variance e^-1000, want 499.5", got)
	}
}

// A singular covariance, of either side and in every direction, is infinitely far; one with a negative eigenvalue is none.
func TestSingularCovariances(t *testing.T) {
	r := losstest.Random(9)
	regular := randomFull(r, 2, 3, 9)
	for which, singular := range map[string]*losses.Gaussian{
		"rank 2": randomFull(r, 2, 3, 2), "rank 1": full(2, 3, make([]float64, 6), append(ones(9), ones(9)...)), "0": full(2, 3, make([]float64, 6), make([]float64, 18)),
	} {
		for name, direction := range directions {
			loss := kl.Gaussian{Posterior: "q", Prior: "p", Direction: direction}
			infinite(t, which+" posterior "+name, loss, losses.Inputs{"q": singular, "p": regular}, "q.mean", "q.covariance", "p.mean", "p.covariance")
			infinite(t, which+" prior "+name, loss, losses.Inputs{"q": regular, "p": singular}, "q.mean", "q.covariance", "p.mean", "p.covariance")
			infinite(t, which+" posterior of axes "+name, loss, losses.Inputs{"q": random(1, 2, 3), "p": singular}, "q.log_variance", "p.covariance")
		}
	}
	// Nearly dependent axes are not singular: the variance of the one given the other is 2^-40.
	c := math.Sqrt(1 - 0x1p-40)
	thin := losses.Inputs{"q": full(1, 2, []float64{0, 0}, []float64{1, c, c, 1})}
	if got, want := value(t, kl.Gaussian{Posterior: "q"}, thin), 20*math.Ln2; !near(got, want, 1e-3) {
		t.Errorf("got %v for a thin covariance, want %v", got, want)
	}
	for _, entries := range [][]float64{{1, 2, 2, 1}, {-1, 0, 0, 1}, {1e-300, 0.5, 0.5, 1}} {
		bad := full(1, 2, []float64{0, 0}, entries)
		refused(t, kl.Gaussian{Posterior: "q"}, losses.Inputs{"q": bad}, "posterior")
		refused(t, between, losses.Inputs{"q": gaussian(1, 2, []float64{0, 0}, []float64{0, 0}), "p": bad}, "prior")
	}
}

func ones(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 1
	}
	return out
}

func TestFullGaussiansRefuse(t *testing.T) {
	large := full(1, 513, make([]float64, 513), make([]float64, 513*513))
	refused(t, kl.Gaussian{Posterior: "q"}, losses.Inputs{"q": large}, "posterior")
	one := full(1, 1, []float64{0}, []float64{1})
	refused(t, kl.Gaussian{Posterior: "q", Allowance: allow(0.1, -1)}, losses.Inputs{"q": one}, "free_bits")
	if _, term := extra(t, kl.Gaussian{Posterior: "q"}, losses.Inputs{"q": one}, "per_dimension"); len(term.Warnings) != 1 ||
		term.Warnings[0].Code != losses.ExtraUnavailable {
		t.Errorf("covariances have no dimensions, got %v", term)
	}
	rows, _ := extra(t, kl.Gaussian{Posterior: "q"}, losses.Inputs{"q": full(2, 1, []float64{1, 2}, []float64{1, 1})}, "per_row")
	if len(rows) != 2 || rows[0] != 0.5 || rows[1] != 2 {
		t.Errorf("got rows %v, want ½ and 2", rows)
	}
}

// The capacity of a divergence between covariances turns its gradient round.
func TestCapacityOfCovariances(t *testing.T) {
	in := losses.Inputs{"q": randomFull(losstest.Random(11), 3, 2, 9)}
	plain := kl.Gaussian{Posterior: "q"}
	v := value(t, plain, in)
	below, g := kl.Gaussian{Posterior: "q", Allowance: allow(-1, v+1)}, gradient(t, plain, in, "q", "covariance")
	if got := value(t, below, in); math.Abs(got-1) > 1e-14 {
		t.Errorf("got %v, want 1", got)
	}
	for i, w := range gradient(t, below, in, "q", "covariance") {
		if w != -g[i] {
			t.Errorf("gradient %v at %d, want %v", w, i, -g[i])
		}
	}
}

// The numbers do not depend on how the rows are cut, nor on what stands beside them: a batch is its problems.
func TestBatchesOfTheFamily(t *testing.T) {
	r := losstest.Random(12)
	n, d := 40, 3
	q := randomFull(r, 2*n, d, 9)
	p := randomFull(r, 1, d, 9)
	batch := &losses.Gaussian{Mean: losses.NewArray(q.Mean.F64, 2, n, d), Covariance: array(q.Covariance.F64, 2, n, d, d)}
	together := losstest.Evaluate(t, between, losses.Inputs{"q": batch, "p": p}, "q.covariance", "p.covariance")
	sum := make([]float64, d*d)
	for b := range 2 {
		one := full(n, d, q.Mean.F64[b*n*d:(b+1)*n*d], q.Covariance.F64[b*n*d*d:(b+1)*n*d*d])
		alone := losstest.Evaluate(t, between, losses.Inputs{"q": one, "p": p}, "q.covariance", "p.covariance")
		if got := together.Terms[0].Outcomes[b].Value; got != alone.Value {
			t.Errorf("problem %d: %v in the batch, %v alone", b, got, alone.Value)
		}
		for i, v := range alone.Gradients[losses.Ref{Input: "q", Field: "covariance"}].F64 {
			if got := together.Gradients[losses.Ref{Input: "q", Field: "covariance"}].F64[b*n*d*d+i]; got != v {
				t.Fatalf("problem %d: gradient %v in the batch, %v alone", b, got, v)
			}
		}
		for i, v := range alone.Gradients[losses.Ref{Input: "p", Field: "covariance"}].F64 {
			sum[i] += v
		}
	}
	for i, v := range together.Gradients[losses.Ref{Input: "p", Field: "covariance"}].F64 {
		if v != sum[i] {
			t.Errorf("the shared prior's gradient is %v at %d, want %v", v, i, sum[i])
		}
	}
}
