package kl_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
	"pgregory.net/rapid"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kantorovich"
	"kantor/losses/kl"
)

// Row T1: between the points 0 and a KL is infinite, in both directions and however near they are, and has no slope.
func TestT1PointsAreInfinitelyFar(t *testing.T) {
	for _, a := range []float64{1e-300, 1, 1e300} {
		in := measures(losstest.Weighted([]float64{0}, []float64{1}), losstest.Weighted([]float64{a}, []float64{1}))
		for name, direction := range directions {
			infinite(t, name, kl.Discrete{Source: "x", Target: "y", Direction: direction}, in, "x.points", "y.points", "x.weights", "y.weights")
		}
	}
}

// Row T1: the divergence of Jensen and Shannon is ln 2 between them, and as flat, where W1 is the distance and its slope 1.
func TestT1JensenShannonIsFlatBetweenPoints(t *testing.T) {
	for _, a := range []float64{1e-3, 1, 1e3} {
		in := losses.Inputs{"q": losstest.Weighted([]float64{0}, []float64{1}), "p": losstest.Weighted([]float64{a}, []float64{1})}
		result := losstest.Evaluate(t, shannon, in, "q.points")
		if slope := result.Gradients[losses.Ref{Input: "q", Field: "points"}].F64[0]; math.Abs(result.Value-math.Ln2) > 1e-15 || slope != 0 {
			t.Errorf("a = %v: %v with the slope %v, want ln 2 and 0", a, result.Value, slope)
		}
		w1 := kantorovich.Transport{Source: "q", Target: "p", P: losstest.Ptr(1)}
		result = losstest.Evaluate(t, w1, in, "q.points")
		if slope := result.Gradients[losses.Ref{Input: "q", Field: "points"}].F64[0]; result.Value != a || slope != -1 {
			t.Errorf("a = %v: W1 is %v with the slope %v, want the distance and -1", a, result.Value, slope)
		}
	}
}

// Row T2: KL([½,½,0], [¼,¼,½]) = ln 2, and the reverse is infinite: as choices and as measures.
func TestT2KullbackLeiblerHasADirection(t *testing.T) {
	q, p := []float64{0.5, 0.5, 0}, []float64{0.25, 0.25, 0.5}
	choices := losses.Inputs{"q": probabilities(3, q...), "p": probabilities(3, p...)}
	points := measures(losstest.Weighted([]float64{1, 2, 3}, q), losstest.Weighted([]float64{1, 2, 3}, p))
	if got := value(t, kl.Categorical{Posterior: "q", Prior: "p"}, choices); !near(got, math.Ln2, 1e-15) {
		t.Errorf("choices: got %v, want ln 2", got)
	}
	if got := value(t, discrete, points); !near(got, math.Ln2, 1e-15) {
		t.Errorf("measures: got %v, want ln 2", got)
	}
	infinite(t, "choices", kl.Categorical{Posterior: "q", Prior: "p", Direction: kl.Reverse}, choices, "q.probabilities", "p.probabilities")
	infinite(t, "measures", kl.Discrete{Source: "x", Target: "y", Direction: kl.Reverse}, points, "x.weights", "y.weights")
}

// Row T3: the same weights on other labels have the same KL, bit for bit, and other transport.
func TestT3KullbackLeiblerDoesNotSeeLabels(t *testing.T) {
	for _, tt := range []struct {
		labels []float64
		w1, w2 float64
	}{{[]float64{1, 10, 1000}, 497.25, 490070.25}, {[]float64{1, 2, 3}, 0.75, 0.75}, {[]float64{1000, 1, 10}, 249.75, 245045.25}} {
		in := measures(losstest.Weighted(tt.labels, []float64{0.5, 0.5, 0}), losstest.Weighted(tt.labels, []float64{0.25, 0.25, 0.5}))
		if got := value(t, discrete, in); got != math.Ln2 {
			t.Errorf("labels %v: KL = %v, want ln 2", tt.labels, got)
		}
		for p, want := range map[float64]float64{1: tt.w1, 2: tt.w2} {
			if got := value(t, kantorovich.Transport{Source: "x", Target: "y", P: &p}, in); !near(got, want, 1e-13) {
				t.Errorf("labels %v: W_%v^%v = %v, want %v", tt.labels, p, p, got, want)
			}
		}
	}
}

// simplex is k random masses of sum 1.
func simplex(r *rand.Rand, k int) []float64 {
	out := make([]float64, k)
	for i := range out {
		out[i] = r.ExpFloat64()
	}
	floats.Scale(1/floats.Sum(out), out)
	return out
}

// onLine is masses at 0, 1, 2, ...
func onLine(masses []float64) *losses.Measure {
	at := make([]float64, len(masses))
	for i := range at {
		at[i] = float64(i)
	}
	return losstest.Weighted(at, masses)
}

// Row T4, data processing: what a channel K makes of two measures is nearer than they are, in KL and JS, and f(Y) tells no more of X than Y does.
func TestT4NothingIsLearntByProcessing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := losstest.Random(rapid.Uint64().Draw(rt, "seed"))
		k, m := rapid.IntRange(2, 8).Draw(rt, "k"), rapid.IntRange(1, 8).Draw(rt, "m")
		p, q := simplex(r, k), simplex(r, k)
		after := [2][]float64{make([]float64, m), make([]float64, m)}
		for i := range k {
			row := simplex(r, m)
			floats.AddScaled(after[0], p[i], row)
			floats.AddScaled(after[1], q[i], row)
		}
		for _, loss := range []losses.Loss{discrete, kl.Discrete{Source: "x", Target: "y", Direction: kl.Symmetric}, kl.JensenShannon{Source: "x", Target: "y"}} {
			before := value(t, loss, measures(onLine(p), onLine(q)))
			if got := value(t, loss, measures(onLine(after[0]), onLine(after[1]))); got > before*(1+1e-12)+1e-15 {
				rt.Errorf("%T: %v after the channel, %v before", loss, got, before)
			}
		}
		joint := simplex(r, k*m)
		merged := make([]float64, k*m) // Y's values are merged two by two
		for i, v := range joint {
			merged[i-i%m%2] += v
		}
		if after, before := information(t, merged, m), information(t, joint, m); after > before*(1+1e-12)+1e-15 {
			rt.Errorf("I(X;f(Y)) = %v is more than I(X;Y) = %v", after, before)
		}
	})
}

// information is I(X;Y) of a joint table with m columns: KL of it from the product of its marginals.
func information(t *testing.T, joint []float64, m int) float64 {
	t.Helper()
	k := len(joint) / m
	x, y, product := make([]float64, k), make([]float64, m), make([]float64, len(joint))
	for i, v := range joint {
		x[i/m] += v
		y[i%m] += v
	}
	for i := range product {
		product[i] = x[i/m] * y[i%m]
	}
	return value(t, discrete, measures(onLine(joint), onLine(product)))
}

// Row T22: a linear β-VAE is reverse water-filling (Cover, Thomas 2006, theorem 10.3.3). Data of the covariance spectrum λ have at θ = βσ² the rate Σ½ln(λ_j/θ)₊, of
// which kl tells, and the distortion Σ min(λ_j,θ) + Σ_{j>d} λ_j; and no encoder near the optimum has less of distortion/2σ² + β·rate.
func TestT22LinearAutoencodersFillWater(t *testing.T) {
	spectrum := []float64{3, 1.5, 0.8, 0.3, 0.1, 0.05}
	const d, sigma2, n = 4, 0.05, 64
	x := dataOf(spectrum, n)
	for _, beta := range []float64{1, 2, 4, 10, 20, 100} {
		theta := beta * sigma2
		rate, distortion := 0.0, 0.0
		var gain, variance [d]float64
		for j, l := range spectrum {
			if j >= d {
				distortion += l
				continue
			}
			distortion += math.Min(l, theta)
			variance[j] = 1
			if l > theta {
				rate += 0.5 * math.Log(l/theta)
				gain[j], variance[j] = math.Sqrt(l-theta)/l, theta/l
			}
		}
		objective := func(gain, variance [d]float64) (r, of float64) {
			q, spent := encoded(x, gain[:], variance[:]), 0.0
			for j := d; j < len(spectrum); j++ {
				spent += spectrum[j]
			}
			for j := range d {
				decoder := math.Sqrt(math.Max(spectrum[j]-theta, 0))
				spent += decoder * decoder * variance[j]
				for i := range n {
					rest := x.At(i, j) - decoder*q.Mean.F64[i*d+j]
					spent += rest * rest / n
				}
			}
			r = value(t, kl.Gaussian{Posterior: "q"}, losses.Inputs{"q": q})
			return r, spent/(2*sigma2) + beta*r
		}
		r, least := objective(gain, variance)
		if math.Abs(r-rate) > 1e-13 || !near(least, distortion/(2*sigma2)+beta*rate, 1e-12) {
			t.Errorf("β = %v: rate %v, objective %v, want %v and %v", beta, r, least, rate, distortion/(2*sigma2)+beta*rate)
		}
		for j := range d {
			for _, factor := range []float64{0.9, 1.1} {
				otherGain, otherVariance := gain, variance
				otherGain[j] = gain[j]*factor + (factor - 1)
				otherVariance[j] *= factor
				if _, more := objective(otherGain, variance); more <= least {
					t.Errorf("β = %v: another gain in dimension %d has %v, less than %v", beta, j, more, least)
				}
				if _, more := objective(gain, otherVariance); more <= least {
					t.Errorf("β = %v: another variance in dimension %d has %v, less than %v", beta, j, more, least)
				}
			}
		}
	}
}

// dataOf is n rows with mean 0 and the covariance diag(spectrum), exactly up to rounding.
func dataOf(spectrum []float64, n int) *mat.Dense {
	k := len(spectrum)
	raw := mat.NewDense(n, k+1, losstest.Normal(losstest.Random(22), n, k+1, 1, 0).F64)
	for i := range n {
		raw.Set(i, 0, 1) // what is orthogonal to it has mean 0
	}
	var qr mat.QR
	qr.Factorize(raw)
	var q mat.Dense
	qr.QTo(&q)
	out := mat.NewDense(n, k, nil)
	for i := range n {
		for j := range k {
			out.Set(i, j, q.At(i, j+1)*math.Sqrt(float64(n)*spectrum[j]))
		}
	}
	return out
}

// encoded is the posteriors N(gain·x, variance) of the rows.
func encoded(x *mat.Dense, gain, variance []float64) *losses.Gaussian {
	n, d := x.RawMatrix().Rows, len(gain)
	mean, logVariance := make([]float64, n*d), make([]float64, n*d)
	for i := range n {
		for j := range d {
			mean[i*d+j], logVariance[i*d+j] = gain[j]*x.At(i, j), math.Log(variance[j])
		}
	}
	return gaussian(n, d, mean, logVariance)
}

// Row T24: posteriors that are bumps of five of 64 bins have the mean KL ln 64/5 from uniform, also with the bins shuffled, which leaves nothing of the geometry: the
// correlation of W1 between posteriors with the distance of the bumps falls from 1 to under .3.
func TestT24KullbackLeiblerDoesNotSeeGeometry(t *testing.T) {
	const bins, width = 64, 5
	const bumps = bins - width + 1
	for seed := range uint64(6) {
		places := make([]int, bins) // where a bin is
		for i := range places {
			places[i] = i
		}
		if seed > 0 {
			places = losstest.Random(seed).Perm(bins)
		}
		histograms, points := make([]float64, bumps*bins), make([]float64, bumps*width)
		for i := range bumps {
			for j := range width {
				histograms[i*bins+places[i+j]] = 1. / width
				points[i*width+j] = float64(places[i+j])
			}
		}
		if got := value(t, kl.Categorical{Posterior: "q"}, losses.Inputs{"q": probabilities(bins, histograms...)}); math.Abs(got-2.549445) > 5e-7 {
			t.Errorf("shuffled by %d: E KL = %v, want ln 64/5 = 2.549445", seed, got)
		}
		correlation := bumpCorrelation(t, points, bumps, width)
		if seed == 0 && math.Abs(correlation-1) > 1e-12 || seed > 0 && correlation >= 0.3 {
			t.Errorf("shuffled by %d: correlation %v of W1 with the distance", seed, correlation)
		}
	}
}

// bumpCorrelation is that of W1 between bumps, [bumps,width] places, with the distance of their numbers.
func bumpCorrelation(t *testing.T, points []float64, bumps, width int) float64 {
	t.Helper()
	var x, y, distance, w1 []float64
	for i := range bumps {
		for j := range i {
			x, y = append(x, points[i*width:(i+1)*width]...), append(y, points[j*width:(j+1)*width]...)
			distance = append(distance, float64(i-j))
		}
	}
	one, n := 1.0, len(distance)
	in := measures(&losses.Measure{Points: losses.NewArray(x, n, width, 1)}, &losses.Measure{Points: losses.NewArray(y, n, width, 1)})
	for _, o := range losstest.Evaluate(t, kantorovich.Transport{Source: "x", Target: "y", P: &one}, in).Terms[0].Outcomes {
		w1 = append(w1, o.Value)
	}
	return stat.Correlation(w1, distance, nil)
}
