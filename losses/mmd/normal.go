package mmd

import "math"

// normalMean is the mean of a kernel against N(0, I_D): E k(x,Y) for Y ~ N(0, I), and E k(Y,Y').
type normalMean interface {
	// at returns E k(x,Y), a function of q = |x|², and h with the gradient -h x.
	at(q float64) (mean, h float64)
	// self returns E k(Y,Y').
	self() float64
	// cost is about what a point takes, in elementary operations.
	cost(q float64) int
}

// normalMeanOf returns the mean of a kernel in dimension d; nil: there is none for it. The squares of norms go up to largest.
func normalMeanOf(kernel Kernel, blur float64, d int, largest float64) normalMean {
	switch kernel {
	case Energy:
		return energyMean{half: float64(d) / 2}
	case Gaussian:
		return gaussianMean{d: float64(d), square: blur * blur}
	case IMQ:
		return newIMQMean(d, 2*float64(d)*blur*blur, largest)
	}
	return nil
}

// gaussianMean is that of exp(-d²/(2s²)), by completing the square: (s²/(1+s²))^{D/2} exp(-|x|²/(2(1+s²))).
type gaussianMean struct{ d, square float64 }

func (g gaussianMean) at(q float64) (mean, h float64) {
	wide := 1 + g.square
	mean = math.Exp(-0.5 * (g.d*math.Log1p(1/g.square) + q/wide))
	return mean, mean / wide
}

func (g gaussianMean) self() float64 { return math.Exp(-0.5 * g.d * math.Log1p(2/g.square)) }

func (g gaussianMean) cost(float64) int { return 64 }

// energyMean is that of -d. |x-Y|² is non-central chi-squared, a mixture of χ²_{D+2K} with K ~ Poisson(z), z = |x|²/2 (Johnson, Kotz, Balakrishnan 1995,
// chapter 29), and E χ_ν = √2 Γ((ν+1)/2)/Γ(ν/2), so that with G(t) = Γ(t+½)/Γ(t)
//
//	E|x-Y| = √2 E G(D/2+K) = √2 G(D/2) ₁F₁(-½; D/2; -z)
//	∇ E|x-Y| = x √2 E[G(D/2+K+1) - G(D/2+K)] = x/√2 · E[G(D/2+K)/(D/2+K)]
//
// Both are means of positive numbers: the weights of the mixture start from their largest and are divided by their sum, so that nothing overflows or cancels
// at any z. Few are needed for large z, where the asymptotic series is right to rounding (DLMF 13.7.2).
type energyMean struct{ half float64 }

// The asymptotic series in 1/z, whose terms shrink like D/(2z), is taken above both.
const (
	asymptoticFrom = 700
	asymptoticPart = 8 // of z over D/2
)

func (e energyMean) asymptotic(z float64) bool {
	return z > asymptoticFrom && z > asymptoticPart*e.half
}

func (e energyMean) at(q float64) (mean, h float64) {
	z := q / 2
	if e.asymptotic(z) {
		mean, h = e.series(z)
	} else {
		mean, h = e.mixture(z)
	}
	return -math.Sqrt2 * mean, math.Sqrt2 * h
}

// mixture returns E G(D/2+K) and its derivative in z.
func (e energyMean) mixture(z float64) (mean, slope float64) {
	mode := math.Floor(z)
	top := gammaRatio(e.half + mode)
	weights, means, slopes := 1.0, top, top/(2*(e.half+mode))
	const least = 1e-18 // of the weight of the mode: those beyond fall faster than a geometric sequence
	for k, w, g := mode, 1.0, top; w > least; {
		g *= (e.half + k + 0.5) / (e.half + k)
		k++
		w *= z / k
		weights, means, slopes = weights+w, means+w*g, slopes+w*g/(2*(e.half+k))
	}
	for k, w, g := mode, 1.0, top; k > 0 && w > least; {
		w *= k / z
		k--
		g *= (e.half + k) / (e.half + k + 0.5)
		weights, means, slopes = weights+w, means+w*g, slopes+w*g/(2*(e.half+k))
	}
	return means / weights, slopes / weights
}

// series returns the same from √z Σ_k (-½)_k (½-D/2)_k / (k! z^k).
func (e energyMean) series(z float64) (mean, slope float64) {
	term := 1.0
	for k := 0.0; ; k++ {
		mean += term
		slope += (0.5 - k) * term
		next := term * (k - 0.5) * (k + 0.5 - e.half) / ((k + 1) * z)
		if math.Abs(next) < 1e-18 || math.Abs(next) >= math.Abs(term) {
			return mean * math.Sqrt(z), slope / math.Sqrt(z)
		}
		term = next
	}
}

// self is -E|Y-Y'|, where Y-Y' ~ N(0, 2I).
func (e energyMean) self() float64 { return -2 * gammaRatio(e.half) }

func (e energyMean) cost(q float64) int {
	if e.asymptotic(q / 2) {
		return 128
	}
	return 256 + int(64*math.Sqrt(q))
}

// gammaRatio is Γ(t+½)/Γ(t) for t > 0, within 1e-14 of itself: by the asymptotic series in t-¼ (Tricomi and Erdélyi 1951), of which six terms are right to
// 2^-54 from 16 on, and by the recurrence below.
func gammaRatio(t float64) float64 {
	factor := 1.0
	for ; t < 16; t++ {
		factor *= t / (t + 0.5)
	}
	s := t - 0.25
	r := 1 / (s * s)
	return factor * math.Sqrt(s) * (1 + r*(1./64+r*(-19./8192+r*(631./524288+r*(-174317./134217728+r*(20491783./8589934592))))))
}

// imqMean is that of Σ C/(C+d²), by the mean of a Gaussian of every width, C/(C+r) = C ∫₀^∞ e^{-(C+r)t} dt:
//
//	E C/(C+|x-Y|²) = ∫₀^∞ C e^{-Ct} (1+2t)^{-D/2} e^{-t|x|²/(1+2t)} dt,
//
// by the trapezoidal rule in u = log t at multiples of step. In the strip |Im u| ≤ δ < π/2 the integrand is analytic, and there Re t > 0, so that |1+2t| ≥ 1
// and Re t/(1+2t) ≥ 0; what is left, C|t| e^{-C|t| cos δ}, integrates to 1/cos δ along its edges. So (Trefethen and Weideman 2014, theorem 5.1) the rule is
// off by at most 2/(cos δ (e^{2πδ/step}-1)) for each C, under 1e-18 at the step below. The ends that are left out are below 2e-17 of the mean each: up to t₀
// the integral is at most C t₀, and in all it is at least C/(C+D+q) by Jensen's inequality; from 40/C on it is at most e^-40 G(2/C), where G, all but the first
// exponential, falls with t, and from 1/C to 2/C it is at least (e^-1 - e^-2) G(2/C). The mean of Y and Y', with (1+4t)^{-D/2} and no last factor, has the
// same bounds. So beside these it is right to the rounding of some 300 positive terms.
type imqMean struct {
	rates   []float64 // t/(1+2t) of each node
	factors []float64 // what e^{-q rate} is multiplied with
	pulls   []float64 // 2 factor rate
	twoSelf float64
}

const (
	imqStep = 0.2
	imqTail = 40 // e^-imqTail of the integral is left out at either end
)

func newIMQMean(d int, unit, largest float64) *imqMean {
	m := &imqMean{}
	least, most := unit*imqScales[0], unit*imqScales[len(imqScales)-1]
	first := math.Floor((-imqTail - math.Log(most+float64(d)+min(largest, 1e40))) / imqStep)
	last := math.Ceil(math.Log(imqTail/least) / imqStep)
	for n := first; n <= last; n++ {
		t := math.Exp(n * imqStep)
		density := 0.0
		for _, s := range imqScales {
			c := unit * s
			density += c * math.Exp(-c*t)
		}
		density *= t * imqStep
		m.twoSelf += density * math.Exp(-0.5*float64(d)*math.Log1p(4*t))
		factor, rate := density*math.Exp(-0.5*float64(d)*math.Log1p(2*t)), t/(1+2*t)
		if factor == 0 {
			continue
		}
		m.rates, m.factors, m.pulls = append(m.rates, rate), append(m.factors, factor), append(m.pulls, 2*factor*rate)
	}
	return m
}

func (m *imqMean) at(q float64) (mean, h float64) {
	for n, rate := range m.rates {
		e := math.Exp(-q * rate)
		mean += m.factors[n] * e
		h += m.pulls[n] * e
	}
	return mean, h
}

func (m *imqMean) self() float64 { return m.twoSelf }

func (m *imqMean) cost(float64) int { return 16 * len(m.rates) }
