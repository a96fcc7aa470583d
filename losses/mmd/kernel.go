package mmd

import (
	"math"

	"kantor/losses/internal/vec"
)

// Kernel is a positive definite function of two points, up to a constant; d is their distance.
type Kernel int

const (
	// Energy is -d (Székely and Rizzo 2013).
	Energy Kernel = iota
	// Gaussian is exp(-d²/(2 blur²)).
	Gaussian
	// Laplacian is exp(-d/blur).
	Laplacian
	// IMQ is the inverse multiquadric, Σ C/(C+d²) with C = 2 D blur² s over [imqScales] (Tolstikhin et al. 2018).
	IMQ
)

func (k Kernel) String() string { return [...]string{"energy", "gaussian", "laplacian", "imq"}[k] }

// imqScales are s of [IMQ].
var imqScales = [...]float64{0.1, 0.2, 0.5, 1, 2, 5, 10}

// radial is a function k of two points that depends on their distance and perhaps on their inner product, in the form that loops over pairs take: the rows of
// a block of pairs are filled at once, and constant factors are left to the end. Its gradient in the first point is -pull (t x - g y).
type radial struct {
	cost   vec.Cost
	value  float64 // k is value times what fill leaves in strip.k
	pull   float64 // the factor of the gradient
	atZero float64 // k(x,x) for the kernels that are constant there, factor included
	two    bool    // g is another matrix than t
	fill   func(s *strip)
	// tip returns t·d from what fill leaves of k, for kernels with t like 1/d near d = 0; nil: t is bounded.
	tip func(k float64) float64
}

// strip is a few rows of pairs. Rows are block numbers apart.
type strip struct {
	rows, cols int
	near       float64   // distance up to which a pair is near, for kernels with a tip
	hits       []int32   // where near pairs stand; t is 0 there
	rx, ry     []float64 // squared norms of the points
	// On entry k holds costs; what is left there is k over its factor. The weights of the gradient go to t, nil if none is wanted, and g, t itself if the
	// kernel has but one.
	k, t, g []float64
	spare   []float64 // may hold anything
}

// row is row i of the matrix m of the strip.
func (s *strip) row(m []float64, i int) []float64 { return m[i*block : i*block+s.cols] }

// radialOf is the kernel of this length scale in dimension d. The energy has no scale.
func radialOf(kernel Kernel, blur float64, d int) radial {
	switch kernel {
	case Gaussian:
		return radial{cost: vec.HalfSquared, value: 1, pull: 1 / (blur * blur), atZero: 1, fill: fillGaussian(math.Log2E / (blur * blur))}
	case Laplacian:
		return radial{cost: vec.Distance, value: 1, pull: 1 / blur, atZero: 1, fill: fillLaplacian(math.Log2E / blur),
			tip: func(k float64) float64 { return k }}
	case IMQ:
		unit := 2 * float64(d) * blur * blur
		return radial{cost: vec.HalfSquared, value: 1, pull: 2 / unit, atZero: float64(len(imqScales)), fill: fillIMQ(2 / unit)}
	}
	return radial{cost: vec.Distance, value: -1, pull: 1, fill: fillEnergy, tip: func(float64) float64 { return 1 }}
}

// fillEnergy leaves d and 1/d.
func fillEnergy(s *strip) {
	if s.t == nil {
		return
	}
	one, zero, limit := [1]float64{1}, [1]float64{}, 1/s.near
	for i := range s.rows {
		k, t := s.row(s.k, i), s.row(s.t, i)
		vec.Poles(t, s.row(s.spare, i), k, 1, one[:], zero[:])
		if vec.MaxOf(t) < limit {
			continue
		}
		for j, d := range k {
			if !(d > s.near) {
				t[j], s.hits = 0, append(s.hits, int32(i*block+j))
			}
		}
	}
}

// fillGaussian leaves k in both: its derivative is itself.
func fillGaussian(scale float64) func(*strip) {
	return func(s *strip) {
		for i := range s.rows {
			k := s.row(s.k, i)
			vec.ExpRow(k, k, zeros[:s.cols], scale, 0)
			if s.t != nil {
				copy(s.row(s.t, i), k)
			}
		}
	}
}

// zeros are heights for [vec.ExpRow].
var zeros [block]float64

// fillLaplacian leaves k and k/d.
func fillLaplacian(scale float64) func(*strip) {
	return func(s *strip) {
		fillEnergy(s)
		for i := range s.rows {
			k := s.row(s.k, i)
			vec.ExpRow(k, k, zeros[:s.cols], scale, 0)
			if s.t == nil {
				continue
			}
			t := s.row(s.t, i)
			for j, v := range k {
				t[j] *= v
			}
		}
	}
}

// fillIMQ leaves Σ s/(s+u) and its derivative but for the sign, Σ s/(s+u)², for u = d² over 2 D blur², which is scale times half the square.
func fillIMQ(scale float64) func(*strip) {
	return func(s *strip) {
		slopes := s.t
		if slopes == nil {
			slopes = s.spare
		}
		for i := range s.rows {
			k := s.row(s.k, i)
			vec.Poles(k, s.row(slopes, i), k, scale, imqScales[:], imqScales[:])
		}
	}
}
