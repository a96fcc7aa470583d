package exact

import (
	"math"
	"math/rand/v2"

	"kantor/losses"
	"kantor/losses/internal/vec"
)

// cloud makes a cloud of rows with weights; nil: uniform ones.
func cloud(x []float64, d int, w []float64) *losses.Cloud {
	c := &losses.Cloud{N: len(x) / d, D: d, X: x, W: w}
	if w == nil {
		c.W = make([]float64, c.N)
		for i := range c.W {
			c.W[i] = 1 / float64(c.N)
		}
	}
	for _, v := range c.W {
		c.Mass += v
	}
	return c
}

// normal is n points of N(shift, scale²).
func normal(r *rand.Rand, n, d int, scale, shift float64) []float64 {
	x := make([]float64, n*d)
	for i := range x {
		x[i] = scale*r.NormFloat64() + shift
	}
	return x
}

// logNormal is weights of mass 1, the more unequal the larger the spread.
func logNormal(r *rand.Rand, n int, spread float64) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = math.Exp(spread * r.NormFloat64())
	}
	return normalised(w)
}

// multiplesOf is weights of mass 1 that are multiples of one number, some of them 0.
func multiplesOf(r *rand.Rand, n int) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = float64(r.IntN(4))
	}
	w[r.IntN(n)] = 1
	return normalised(w)
}

func normalised(w []float64) []float64 {
	total := 0.0
	for _, v := range w {
		total += v
	}
	for i := range w {
		w[i] /= total
	}
	return w
}

// kinds are what clouds can be like.
var kinds = []string{"normal", "lattice", "offset", "duplicates", "outlier", "one point"}

func points(r *rand.Rand, kind string, n, d int, scale, shift float64) []float64 {
	x := normal(r, n, d, scale, shift)
	switch kind {
	case "lattice":
		for i := range x {
			x[i] = float64(r.IntN(3))
		}
	case "offset":
		for i := range x {
			x[i] += 1e4
		}
	case "duplicates":
		for i := range n / 2 {
			copy(x[(n-1-i)*d:(n-i)*d], x[i*d:])
		}
	case "outlier":
		x[0] = 1e6
	case "one point":
		clear(x)
	}
	return x
}

// weightings are what weights can be like; nil: uniform.
var weightings = []func(r *rand.Rand, n int) []float64{
	func(*rand.Rand, int) []float64 { return nil },
	multiplesOf,
	func(r *rand.Rand, n int) []float64 { return logNormal(r, n, 1) },
	func(r *rand.Rand, n int) []float64 { return logNormal(r, n, 10) },
}

func randomProblem(r *rand.Rand, n, m, d int) Problem {
	kind, weights := kinds[r.IntN(len(kinds))], weightings[r.IntN(len(weightings))]
	return Problem{Cost: vec.Cost(r.IntN(2)), A: cloud(points(r, kind, n, d, 0.7, 0.2), d, weights(r, n)), B: cloud(points(r, kind, m, d, 1, 0), d, weights(r, m))}
}

// lifted is a cloud on a line in the plane.
func lifted(c *losses.Cloud) *losses.Cloud {
	x := make([]float64, 2*c.N)
	for i, v := range c.X {
		x[2*i] = v
	}
	return cloud(x, 2, c.W)
}

// permutations calls body for every order of 0..n.
func permutations(n int, body func(order []int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var swap func(k int)
	swap = func(k int) {
		if k == n {
			body(order)
			return
		}
		for i := k; i < n; i++ {
			order[k], order[i] = order[i], order[k]
			swap(k + 1)
			order[k], order[i] = order[i], order[k]
		}
	}
	swap(0)
}
