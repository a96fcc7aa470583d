package vec

import "math"

// Cost is a ground cost for which there are kernels.
type Cost int

const (
	// HalfSquared is ½|x-y|².
	HalfSquared Cost = iota
	// Distance is |x-y|.
	Distance
)

// Of returns the cost between two points of equal dimension. It subtracts before it squares, so a common offset costs no digits and the relative error
// is at most len(x)+3 half-ulps.
func (c Cost) Of(x, y []float64) float64 {
	square := squaredDistance(x, y)
	if c == Distance {
		return math.Sqrt(square)
	}
	return 0.5 * square
}

// squaredDistance is |x-y|², in four chains of additions so that they overlap.
func squaredDistance(x, y []float64) float64 {
	y = y[:len(x)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(x); i += 4 {
		d0, d1, d2, d3 := x[i]-y[i], x[i+1]-y[i+1], x[i+2]-y[i+2], x[i+3]-y[i+3]
		s0 += d0 * d0
		s1 += d1 * d1
		s2 += d2 * d2
		s3 += d3 * d3
	}
	for ; i < len(x); i++ {
		d := x[i] - y[i]
		s0 += d * d
	}
	return (s0 + s1) + (s2 + s3)
}

// AddGradient adds w ∇₁c(x,y) to dst: w(x-y) for half the square, w(x-y)/|x-y| for the distance, and nothing where the points coincide.
func (c Cost) AddGradient(dst []float64, w float64, x, y []float64) {
	if c == Distance {
		r := math.Sqrt(squaredDistance(x, y))
		if r == 0 {
			return
		}
		w /= r
	}
	x, y = x[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] += w * (x[i] - y[i])
	}
}
