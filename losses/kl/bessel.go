package kl

import "math"

// fromUniform is the divergence of a von Mises-Fisher distribution of concentration κ from the uniform one, ν = D/2-1, and its derivative in κ. With
// F = ln [Γ(ν+1) (2/κ)^ν I_ν(κ)] and θ = κ d/dκ the two are θF - F and (θ²F - θF)/κ.
func fromUniform(nu, kappa float64) (value, slope float64) {
	if kappa <= seriesUpTo {
		return fromUniformNear(nu, kappa)
	}
	return fromUniformFar(nu, kappa)
}

// seriesUpTo is the concentration up to which the series is summed: beyond it the terms of the expansion fall below 2e-16 for every ν.
const seriesUpTo = 64

// fromUniformNear sums the series e^F = Σ t_k, t_k = (κ²/4)^k / (k! (ν+1)…(ν+k)), all terms of which are positive (DLMF 10.25.2). θ²F is the variance of 2k under
// weights t_k, taken around about its mean, so that of the differences none loses more than the digits of κ.
func fromUniformNear(nu, kappa float64) (value, slope float64) {
	if kappa < 1e-100 {
		return 0, kappa / (2 * (nu + 1)) // whose square may underflow
	}
	about := kappa * (kappa / (nu + 1 + math.Hypot(nu+1, kappa))) // the mean of 2k, nearly (Amos 1974)
	beyond, first, second := 0.0, 0.0, about*about                // without t_0 = 1 but for its square
	term := 1.0
	for k := 1.0; term > 0x1p-60*beyond || k < kappa; k++ {
		term *= (kappa / 2) * (kappa / 2) / (k * (nu + k))
		beyond += term
		first += 2 * k * term
		second += (2*k - about) * (2*k - about) * term
	}
	sum := 1 + beyond
	mean := first / sum
	return mean - math.Log1p(beyond), (second/sum - (mean-about)*(mean-about) - mean) / kappa
}

// fromUniformFar takes I_ν from its expansion for large s = √(ν²+κ²), uniform in ν/s (DLMF 10.41.3, here divided by ν so that ν may be 0):
//
//	I_ν(κ) ~ e^s (κ/(ν+s))^ν (2πs)^-½ W,    W = Σ U_k(p)/ν^k,    p = ν/s
//
// in which what is of the size of κ is left out of θF - F by hand.
func fromUniformFar(nu, kappa float64) (value, slope float64) {
	s := math.Hypot(nu, kappa)
	p, q := nu/s, (kappa/s)*(kappa/s) // q = 1-p²
	beyond := kappa * (kappa / (s + nu))
	w, first, second := correction(s, p, q)
	if nu >= stirlingFrom {
		value = nu*math.Log1p(beyond/(2*nu)) + 0.5*math.Log1p(beyond/nu) - stirling(nu)
	} else {
		gamma, _ := math.Lgamma(nu + 1)
		value = nu*math.Log((nu+s)/2) + 0.5*math.Log(s) - (gamma + nu - 0.5*math.Log(2*math.Pi))
	}
	value += first - math.Log1p(w) - 0.5*q
	return value, (p*beyond + 0.5*q - p*p*q + second - first) / kappa
}

// correction returns W - 1, θ ln W and θ² ln W. θ is -p(1-p²) d/dp at fixed ν.
func correction(s, p, q float64) (w, first, second float64) {
	square, power := p*p, 1.0
	var euler, euler2 float64 // p d/dp of W, once and twice
	for k := 1; k < len(debye); k++ {
		power /= s
		var sum, sum1, sum2 float64
		for j := len(debye[k]) - 1; j >= 0; j-- {
			degree := float64(k + 2*j)
			sum = sum*square + debye[k][j]
			sum1 = sum1*square + degree*debye[k][j]
			sum2 = sum2*square + degree*degree*debye[k][j]
		}
		w += power * sum
		euler += power * sum1
		euler2 += power * sum2
	}
	first = -q * euler / (1 + w)
	return w, first, q*(q*euler2-2*square*euler)/(1+w) - first*first
}

// debye are the coefficients of U_k(p)/p^k in p² (DLMF 10.41.9): U_{k+1} = ½p²(1-p²)U_k' + ⅛∫₀ᵖ(1-5t²)U_k dt.
var debye = debyeCoefficients(11)

func debyeCoefficients(count int) [][]float64 {
	out := [][]float64{{1}}
	for k := 0; k+1 < count; k++ {
		next := make([]float64, k+2)
		for j, c := range out[k] {
			degree := float64(k + 2*j)
			next[j] += c * (0.5*degree + 0.125/(degree+1))
			next[j+1] -= c * (0.5*degree + 0.625/(degree+3))
		}
		out = append(out, next)
	}
	return out
}

// stirlingFrom is where the series below has all digits.
const stirlingFrom = 32

// stirling is ln Γ(ν+1) - (ν+½) ln ν + ν - ½ ln 2π (DLMF 5.11.1).
func stirling(nu float64) float64 {
	r := 1 / (nu * nu)
	return (1./12 - r*(1./360-r*(1./1260-r*(1./1680-r/1188)))) / nu
}
