package vec

import "math"

// Columns is the longest run of columns that a kernel takes in one call, so that its scratch fits a stack.
const Columns = 256

// negligible is the exponent below which a summand is dropped: e^-60 of the largest, times the most points a measure can have, is under an ulp of the sum.
const negligible = -60

// LogSum is a sum of exponentials e^Max · Sum, in the making. Its zero value is not empty: start from [EmptyLogSum].
type LogSum struct{ Max, Sum float64 }

// EmptyLogSum is the sum of nothing.
func EmptyLogSum() LogSum { return LogSum{Max: math.Inf(-1)} }

// Log is the logarithm of the sum.
func (s LogSum) Log() float64 { return s.Max + math.Log(s.Sum) }

// AddRow adds Σ_j exp(h_j - C(x,y_j) scale) over the columns of h, at most [Columns] of them. y holds them row by row. An h_j of -Inf adds nothing.
//
// One such row is the softmin of a Sinkhorn half-step (Feydy 2020, eq. 3.24): f(x) = -ε log Σ_j b_j exp((g_j - C(x,y_j))/ε), with h_j = g_j/ε + log b_j
// and scale = 1/ε.
func (s LogSum) AddRow(c Cost, x, y, h []float64, scale float64) LogSum {
	var exponents [Columns]float64
	t := exponents[:len(h)]
	top := fillExponents(t, c, x, y, h, scale)
	if math.IsInf(top, -1) {
		return s
	}
	if top > s.Max {
		s.Sum *= math.Exp(s.Max - top) // 0·e^-Inf = 0 at the start
		s.Max = top
	}
	for _, v := range t {
		if v -= s.Max; v > negligible {
			s.Sum += math.Exp(v)
		}
	}
	return s
}

// fillExponents writes h_j - C(x,y_j) scale and returns the largest.
func fillExponents(t []float64, c Cost, x, y, h []float64, scale float64) float64 {
	d, top := len(x), math.Inf(-1)
	for j := range t {
		v := h[j] - c.Of(x, y[j*d:j*d+d])*scale
		t[j] = v
		if v > top {
			top = v
		}
	}
	return top
}

// AddPull adds Σ_j exp(h_j - C(x,y_j) scale - shift) ∇₁c(x,y_j) to dst. With the row's [LogSum.Log] as the shift the weights sum to 1, and for half the
// squared distance dst becomes x - T(x), T the barycentric map.
func AddPull(dst []float64, c Cost, x, y, h []float64, scale, shift float64) {
	d := len(x)
	for j, hj := range h {
		yj := y[j*d : j*d+d]
		if v := hj - c.Of(x, yj)*scale - shift; v > negligible {
			c.AddGradient(dst, math.Exp(v), x, yj)
		}
	}
}

// MinRow returns min_j C(x,y_j) - g_j and the first j where it is reached. y holds the points row by row, one for each g.
func MinRow(c Cost, x, y, g []float64) (least float64, at int) {
	d := len(x)
	least = math.Inf(1)
	for j, gj := range g {
		if v := c.Of(x, y[j*d:j*d+d]) - gj; v < least {
			least, at = v, j
		}
	}
	return least, at
}
