package sliced

import (
	"math"
	"math/rand/v2"
)

// sample returns count directions, [count,d], uniform on the unit sphere: normal vectors divided by their lengths (Muller 1959). Fewer are the first of
// more.
func sample(random *rand.Rand, count, d int) []float64 {
	theta := make([]float64, count*d)
	for at := 0; at < len(theta); at += d {
		for !normalise(theta[at : at+d]) {
			for k := range d {
				theta[at+k] = random.NormFloat64()
			}
		}
	}
	return theta
}

// normalise divides v by its length and reports whether it has one.
func normalise(v []float64) bool {
	square := 0.0
	for _, x := range v {
		square += x * x
	}
	if square == 0 {
		return false
	}
	length := math.Sqrt(square)
	for k := range v {
		v[k] /= length
	}
	return true
}
