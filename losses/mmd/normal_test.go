package mmd

import (
	"math"
	"math/big"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/bigmath"
	"kantor/losses/internal/losstest"
)

// relativeError compares with a number of the reference arithmetic.
func relativeError(got float64, want *big.Float) float64 {
	diff := new(big.Float).Sub(bigmath.New(got), want)
	diff.Quo(diff, want)
	v, _ := diff.Float64()
	return math.Abs(v)
}

func bigPi() *big.Float {
	// OEIS A000796.
	pi, _, _ := big.ParseFloat("3.14159265358979323846264338327950288419716939937510582097494459", 10, bigmath.Precision, big.ToNearestEven)
	return pi
}

// bigGammaRatio is Γ(t+½)/Γ(t) for t = d/2: from 1/√π at ½ and √π/2 at 1, by Γ(t+1) = tΓ(t).
func bigGammaRatio(d int) *big.Float {
	root := new(big.Float).Sqrt(bigPi())
	g, t := new(big.Float).Quo(bigmath.New(1), root), 0.5
	if d%2 == 0 {
		g, t = root.Quo(root, bigmath.New(2)), 1
	}
	for ; 2*t < float64(d); t++ {
		g.Mul(g, bigmath.New(t+0.5))
		g.Quo(g, bigmath.New(t))
	}
	return g
}

func TestGammaRatio(t *testing.T) {
	for _, d := range []int{1, 2, 3, 4, 7, 8, 16, 30, 31, 32, 33, 64, 100, 784, 1000, 4097} {
		if e := relativeError(gammaRatio(float64(d)/2), bigGammaRatio(d)); e > 1e-14 {
			t.Errorf("d=%d: off by %v", d, e)
		}
	}
}

// bigEnergy is Σ_k e^{-z} z^k/k! G(d/2+k), the positive series, and its derivative.
func bigEnergy(d int, z float64) (mean, slope *big.Float) {
	half := float64(d) / 2
	g, w := bigGammaRatio(d), bigmath.Exp(bigmath.New(-z))
	mean, slope = bigmath.New(0), bigmath.New(0)
	for k := 0.0; ; k++ {
		term := new(big.Float).Mul(g, w)
		mean.Add(mean, term)
		slope.Add(slope, new(big.Float).Quo(term, bigmath.New(2*(half+k))))
		if term.Sign() == 0 || k > z && term.MantExp(nil) < mean.MantExp(nil)-80 {
			return mean, slope
		}
		g.Mul(g, bigmath.New(half+k+0.5))
		g.Quo(g, bigmath.New(half+k))
		w.Mul(w, bigmath.New(z))
		w.Quo(w, bigmath.New(k+1))
	}
}

// The mean distance to N(0, I) and its derivative, by the mixture and by the asymptotic series on either side of where one takes over, from 0 to far beyond
// the largest exponent, in dimensions up to thousands.
func TestEnergyMeanIsTheConfluentSeries(t *testing.T) {
	for _, d := range []int{1, 2, 3, 8, 64, 784, 4000} {
		for _, z := range []float64{0, 1e-300, 1e-9, 0.1, 1, 7.5, 40, 300, 699, 701, 745, 3000, 10000} {
			e := energyMean{half: float64(d) / 2}
			mean, h := e.at(2 * z)
			wantMean, wantSlope := bigEnergy(d, z)
			// Some 20 roundings in a term, whose errors partly cancel in the quotient, and 1e-14 of the ratio of gammas.
			if off := relativeError(mean/-math.Sqrt2, wantMean); off > 3e-14 {
				t.Errorf("d=%d, z=%v: the mean is off by %v", d, z, off)
			}
			if off := relativeError(h/math.Sqrt2, wantSlope); off > 3e-14 {
				t.Errorf("d=%d, z=%v: the slope is off by %v", d, z, off)
			}
		}
	}
}

// Where the squared norm is beyond any series, the distance is the norm.
func TestEnergyMeanFarAway(t *testing.T) {
	for _, q := range []float64{1e8, 1e20, 1e200} {
		mean, h := energyMean{half: 4}.at(q)
		if want := -math.Sqrt(q) - 7/(2*math.Sqrt(q)); math.Abs(mean-want) > 1e-14*math.Abs(want) {
			t.Errorf("q=%v: got %v, want |x| + (D-1)/(2|x|), %v", q, mean, want)
		}
		if want := 1 / math.Sqrt(q); math.Abs(h-want) > 1e-6*want {
			t.Errorf("q=%v: slope %v, want %v", q, h, want)
		}
	}
}

// bigIMQ is the integral of all C by the same rule at the nodes halfway between, in more digits: the error of the rule has the opposite sign there, so that it
// would be half of what the two are apart.
func bigIMQ(d int, unit, q float64) (mean, slope *big.Float) {
	mean, slope = bigmath.New(0), bigmath.New(0)
	first := math.Floor((-50 - math.Log(10*unit+float64(d)+q)) / imqStep)
	for n := first; ; n++ {
		t := math.Exp((n + 0.5) * imqStep)
		if t*unit*imqScales[0] > 60 {
			return mean, slope
		}
		density := bigmath.New(0)
		for _, s := range imqScales {
			term := bigmath.Exp(bigmath.New(-unit * s * t))
			density.Add(density, term.Mul(term, bigmath.New(unit*s*t*imqStep)))
		}
		two := 1 + 2*t
		exponent := bigmath.Log(bigmath.New(two), math.Log(two))
		exponent.Mul(exponent, bigmath.New(-float64(d)/2))
		exponent.Sub(exponent, bigmath.New(q*t/two))
		term := density.Mul(density, bigmath.Exp(exponent))
		mean.Add(mean, term)
		slope.Add(slope, new(big.Float).Mul(term, bigmath.New(2*t/two)))
	}
}

// The quadrature of the inverse multiquadric, for scales far below and above those of a unit variance.
func TestIMQMeanIsTheIntegral(t *testing.T) {
	for _, c := range []struct {
		d       int
		blur, q float64
	}{{1, 1, 0}, {1, 0.05, 2}, {8, 1, 8}, {8, 20, 1e4}, {64, 1, 2000}, {1000, 1, 900}, {1000, 0.05, 3e4}} {
		unit := 2 * float64(c.d) * c.blur * c.blur
		mean, h := newIMQMean(c.d, unit, 3e4).at(c.q)
		wantMean, wantSlope := bigIMQ(c.d, unit, c.q)
		// The exponents are rounded: up to some 50 at the nodes that count, times 2^-53 and a few.
		if off := relativeError(mean, wantMean); off > 3e-14 {
			t.Errorf("%+v: the mean is off by %v", c, off)
		}
		if off := relativeError(h, wantSlope); off > 3e-14 {
			t.Errorf("%+v: the slope is off by %v", c, off)
		}
	}
}

// In the plane |Y|² is exponential of mean 2, so E C/(C+|Y|²) = z e^z E₁(z), z = C/2, with E₁(z) = -γ - ln z + Σ (-1)^{k+1} z^k/(k k!);
// |Y-Y'|² is that of mean 4.
func TestIMQMeanInThePlane(t *testing.T) {
	one := func(z float64) float64 {
		sum, power := -0.57721566490153286061-math.Log(z), 1.0
		for k := 1.0; k < 60; k++ {
			power *= -z / k
			sum -= power / k
		}
		return z * math.Exp(z) * sum
	}
	m := newIMQMean(2, 0.04, 0)
	want, wantSelf := 0.0, 0.0
	for _, s := range imqScales {
		want += one(0.04 * s / 2)
		wantSelf += one(0.04 * s / 4)
	}
	if got, _ := m.at(0); math.Abs(got-want) > 1e-14 {
		t.Errorf("E k(0,Y): got %v, want %v", got, want)
	}
	if got := m.self(); math.Abs(got-wantSelf) > 1e-14 {
		t.Errorf("E k(Y,Y'): got %v, want %v", got, wantSelf)
	}
}

// The means are those of samples, within five standard errors of the mean of 20000, which the samples themselves tell.
func TestMeansAreTheLimitOfSamples(t *testing.T) {
	const samples = 20_000
	for _, d := range []int{1, 3, 20} {
		for _, kernel := range []Kernel{Energy, Gaussian, IMQ} {
			r := losstest.Random(uint64(d))
			blur := 0.8
			k := function(kernel, blur)
			x := losstest.Normal(r, 1, d, 1, 0.5).F64
			q := 0.0
			for _, v := range x {
				q += v * v
			}
			mean := normalMeanOf(kernel, blur, d, q)
			at, _ := mean.at(q)
			for name, c := range map[string]struct {
				want   float64
				sample func() float64
			}{
				"E k(x,Y)":  {at, func() float64 { return k(x, losstest.Normal(r, 1, d, 1, 0).F64) }},
				"E k(Y,Y')": {mean.self(), func() float64 { return k(losstest.Normal(r, 1, d, 1, 0).F64, losstest.Normal(r, 1, d, 1, 0).F64) }},
			} {
				sum, square := 0.0, 0.0
				for range samples {
					v := c.sample()
					sum += v
					square += v * v
				}
				got := sum / samples
				if se := math.Sqrt((square/samples - got*got) / samples); math.Abs(got-c.want) > 5*se {
					t.Errorf("d=%d, %v, %s: %v, the mean of samples is %v ± %v", d, kernel, name, c.want, got, se)
				}
			}
		}
	}
}

// normalInputs is a random cloud beside N(0, I).
func normalInputs(seed uint64, most int) losses.Inputs {
	r := losstest.Random(seed)
	n, d := 2+r.IntN(most), 2+r.IntN(11) // on a line points are so close that differences step over them
	return losses.Inputs{
		"source": &losses.Measure{Points: losstest.Normal(r, n, d, 0.5+r.Float64(), r.NormFloat64()), Weights: losstest.Weights(r, n, 0.5+r.Float64())},
		"target": &losses.Prior{Family: losses.StandardNormal{}},
	}
}

func TestClosedFormGradients(t *testing.T) {
	for seed := range uint64(20) {
		for _, kernel := range []Kernel{Energy, Gaussian, IMQ} {
			r := losstest.Random(seed)
			loss := discrepancy(kernel, 0.7, Statistic(seed%2))
			loss.ClosedForm = true
			inputs := normalInputs(seed, 40)
			for _, name := range []string{"source.points", "source.weights"} {
				checkGradient(t, r, loss, inputs, name, kernel.String())
			}
		}
	}
}

// Against samples of the prior, whose mass follows that of the source.
func TestGradientsAgainstSamples(t *testing.T) {
	for seed := range uint64(8) {
		for _, kernel := range kernels {
			r := losstest.Random(seed)
			inputs := normalInputs(seed, 40)
			for _, name := range []string{"source.points", "source.weights"} {
				checkGradient(t, r, discrepancy(kernel, 0.7, Statistic(seed%2)), inputs, name, kernel.String())
			}
			inputs["source"], inputs["target"] = inputs["target"], inputs["source"]
			for _, name := range []string{"target.points", "target.weights"} {
				checkGradient(t, r, discrepancy(kernel, 0.7, Statistic(seed%2)), inputs, name, kernel.String()+", the prior as source")
			}
		}
	}
}

// The discrepancy of a measure to N(0, I) itself is never negative, all pairs counted: to rounding.
func TestClosedFormIsNotNegative(t *testing.T) {
	for seed := range uint64(200) {
		for _, kernel := range []Kernel{Energy, Gaussian, IMQ} {
			loss := discrepancy(kernel, 0.7, V)
			loss.ClosedForm = true
			if value := losstest.Outcome(t, loss, normalInputs(seed, 60)).Value; value < -1e-13 {
				t.Errorf("seed %d, %v: %v", seed, kernel, value)
			}
		}
	}
}

// At samples of N(0, I) itself, N of them, the derivative of the mean energy distance in a common scale of the samples is 0 under U. Under V a self term is
// 1-1/N of its mean, so that the derivative is E|x-x'|/N = 2 G(D/2)/N: a shorter scale does better. Means of 400 samples of 32 points, within five of their own
// standard errors.
func TestUHasNoPullOnTheScale(t *testing.T) {
	const n, samples = 32, 400
	for _, d := range []int{2, 16} {
		for _, statistic := range []Statistic{U, V} {
			r := losstest.Random(uint64(d))
			loss := discrepancy(Energy, 0, statistic)
			loss.ClosedForm = true
			sum, square := 0.0, 0.0
			for range samples {
				x := &losses.Measure{Points: losstest.Normal(r, n, d, 1, 0)}
				inputs := losses.Inputs{"source": x, "target": &losses.Prior{Family: losses.StandardNormal{}}}
				gradient := losstest.Evaluate(t, loss, inputs, "source.points").Gradients[losses.Ref{Input: "source", Field: "points"}].F64
				v := weighted(x.Points.F64, gradient)
				sum += v
				square += v * v
			}
			mean, want := sum/samples, 0.0
			if statistic == V {
				want = 2 * gammaRatio(float64(d)/2) / n
			}
			se := math.Sqrt((square/samples - mean*mean) / samples)
			if math.Abs(mean-want) > 5*se || statistic == V && mean < 5*se {
				t.Errorf("d=%d, statistic %d: %v ± %v, want %v", d, statistic, mean, se, want)
			}
		}
	}
}
