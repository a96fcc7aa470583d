package kl

import (
	"math"
	"math/big"
	"testing"

	"kantor/losses/internal/bigmath"
)

// exactly sums the series in 220 bits, and takes the logarithm of it to as many as bigmath has.
func exactly(nu, kappa float64) (value, slope float64) {
	const precision = 220
	number := func(v float64) *big.Float { return new(big.Float).SetPrec(precision).SetFloat64(v) }
	quarter := number(kappa / 2)
	quarter.Mul(quarter, number(kappa/2))
	term, sum, first, second := number(1), number(1), number(0), number(0)
	for k := 1.0; ; k++ {
		divisor := number(k)
		divisor.Mul(divisor, number(nu+k))
		term.Mul(term, quarter)
		term.Quo(term, divisor)
		sum.Add(sum, term)
		weighted := number(2 * k)
		weighted.Mul(weighted, term)
		first.Add(first, weighted)
		weighted.Mul(weighted, number(2*k-1))
		second.Add(second, weighted)
		if k > kappa && term.MantExp(nil) < sum.MantExp(nil)-precision {
			break
		}
	}
	// ln of the sum: its exponent aside, which ln 2 stands for.
	mantissa := new(big.Float).SetPrec(precision)
	exponent := sum.MantExp(mantissa)
	start, _ := mantissa.Float64()
	log := bigmath.Log(mantissa, math.Log(start))
	two := bigmath.Log(number(2), math.Ln2)
	log.Add(log, two.Mul(two, number(float64(exponent))))
	mean := first.Quo(first, sum)
	of := new(big.Float).SetPrec(precision).Sub(mean, log)
	second.Quo(second, sum)
	second.Sub(second, new(big.Float).Mul(mean, mean))
	second.Quo(second, number(kappa))
	value, _ = of.Float64()
	slope, _ = second.Float64()
	return value, slope
}

// Both ways of computing the divergence and its slope, from the circle to thousands of dimensions, from nearly uniform to nearly a point. The worst is some
// 1e-13, in the series at its far end in few dimensions: θF - F is there 1/15 of what is subtracted.
func TestDivergenceFromUniformHasItsDigits(t *testing.T) {
	worst := 0.0
	for _, d := range []float64{2, 3, 4, 5, 8, 33, 64, 66, 67, 100, 512, 4096, 65536} {
		for _, kappa := range []float64{1e-12, 1e-6, 1e-3, 0.1, 0.5, 1, 3, 10, 30, 63.9, 64, 64.1, 80, 128, 300, 1000, 3000} {
			value, slope := fromUniform(d/2-1, kappa)
			wantValue, wantSlope := exactly(d/2-1, kappa)
			for _, v := range [][2]float64{{value, wantValue}, {slope, wantSlope}} {
				relative := math.Abs(v[0]/v[1] - 1)
				worst = max(worst, relative)
				// Of near 0 the reference itself keeps 160 bits of a logarithm of 1 + κ²/2D.
				if relative > 1e-12 {
					t.Errorf("D = %v, κ = %v: got %v, want %v, apart by %.2g", d, kappa, v[0], v[1], relative)
				}
			}
		}
	}
	t.Logf("worst relative error %.2g", worst)
}
