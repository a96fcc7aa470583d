// Package bigmath is reference arithmetic for tests: elementary functions to some 150 bits.
package bigmath

import "math/big"

// Precision of the reference arithmetic, in bits.
const Precision = 160

// New is v exactly, with room for results.
func New(v float64) *big.Float { return new(big.Float).SetPrec(Precision).SetFloat64(v) }

// Exp is e^x to about Precision bits: x is halved until it is small, a Taylor sum is taken, and the result is squared back.
func Exp(x *big.Float) *big.Float {
	const halvings, guard = 20, 64
	r := new(big.Float).SetPrec(Precision + guard).Set(x)
	extra := max(0, r.MantExp(nil))
	r.SetMantExp(r, -(halvings + extra))
	sum, power := one(guard), one(guard)
	for k := int64(1); k <= 10; k++ { // 2^-20 to the 11th, over 11!, is under 2^-240
		power.Mul(power, r)
		power.Quo(power, new(big.Float).SetInt64(k))
		sum.Add(sum, power)
	}
	for range halvings + extra {
		sum.Mul(sum, sum)
	}
	return sum.SetPrec(Precision)
}

// Log is ln x by Newton's iteration on Exp from a binary64 start.
func Log(x *big.Float, start float64) *big.Float {
	y := New(start)
	for range 4 { // each step doubles the digits: 53, 106, 160
		e := Exp(new(big.Float).Neg(y))
		e.Mul(e, x)
		e.Sub(e, one(0))
		y.Add(y, e)
	}
	return y
}

func one(guard uint) *big.Float { return new(big.Float).SetPrec(Precision + guard).SetInt64(1) }
