package vec

import "math"

// negligible is the exponent below which a summand is dropped: e^-60 of the largest, times the most points a measure can have, is under an ulp of the sum.
const negligible = -60

// AddPull adds Σ_j exp(h_j - C(x,y_j) scale - shift) ∇₁c(x,y_j) to dst. With the row's log-sum as the shift the weights sum to 1, and for half the squared
// distance dst becomes x - T(x), T the barycentric map. Costs below nearest are taken for it, and have no gradient.
func AddPull(dst []float64, c Cost, x, y, h []float64, scale, shift, nearest float64) {
	d := len(x)
	for j, hj := range h {
		yj := y[j*d : j*d+d]
		cost := c.Of(x, yj)
		if v := hj - max(cost, nearest)*scale - shift; v > negligible && cost >= nearest {
			c.AddGradient(dst, math.Exp(v), x, yj)
		}
	}
}

// MinRow returns min_j costs_j - g_j and the first j where it is reached.
func MinRow(costs, g []float64) (least float64, at int) {
	least = math.Inf(1)
	for j, c := range costs {
		if v := c - g[j]; v < least {
			least, at = v, j
		}
	}
	return least, at
}
