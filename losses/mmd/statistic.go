package mmd

import (
	"kantor/losses"
)

// Statistic says whether pairs of a point with itself count.
type Statistic int

const (
	// U is the mean over the pairs of two different points: unbiased, and slightly negative at times.
	U Statistic = iota
	// V is the mean over all pairs: never negative for a discrepancy, biased upwards.
	V
)

// self is the mean m²E k(x,x') over the pairs of a cloud of mass m with itself. With the weights normalised, v = w/m, that is
//
//	V: m² Σ_ij v_i v_j k_ij
//	U: m² Σ_{i≠j} v_i v_j k_ij / Σ_{i≠j} v_i v_j
//
// (Gretton et al. 2012, eq. 3 and 5, for equal weights). The value is homogeneous of degree 2 in w.
type self struct {
	cloud    *losses.Cloud
	diagonal []float64 // [N], k(x_i,x_i) of the V-statistic; nil: U
	others   []float64 // [N], Σ_{j≠i} v_j, of the U-statistic
	part     float64   // Σ_{i≠j} v_i v_j of the U-statistic, 1 of V
	sums     []float64 // [N], Σ_{j≠i} w_j k_ij
	mean     float64   // E k(x,x')
}

// newSelf makes a statistic without its sums. diagonal is k(x,x) of a point.
func newSelf(c *losses.Cloud, statistic Statistic, diagonal func(point []float64) float64) *self {
	s := &self{cloud: c, part: 1}
	if statistic == V {
		s.diagonal = make([]float64, c.N)
		for i := range s.diagonal {
			s.diagonal[i] = diagonal(c.X[i*c.D : (i+1)*c.D])
		}
		return s
	}
	s.others, s.part = othersOf(c)
	return s
}

// othersOf returns what the weights of all other points sum to, and the mean of that, without a difference of two sums: a weight may be nearly all of the mass.
func othersOf(c *losses.Cloud) (others []float64, part float64) {
	others = make([]float64, c.N)
	before, after := 0.0, 0.0
	for i, w := range c.W {
		others[i] = before
		before += w / c.Mass
	}
	for i := c.N - 1; i >= 0; i-- {
		others[i] += after
		after += c.W[i] / c.Mass
		part += c.W[i] / c.Mass * others[i]
	}
	return others, part
}

// set takes the sums over the other points, [N] or longer.
func (s *self) set(sums []float64, factor float64) {
	s.sums = make([]float64, s.cloud.N)
	var total sum
	for i, w := range s.cloud.W {
		s.sums[i] = factor * sums[i]
		v := s.sums[i]
		if s.diagonal != nil {
			v += w * s.diagonal[i]
		}
		total.add(w / s.cloud.Mass * (v / s.cloud.Mass))
	}
	s.mean = total.value() / s.part
}

// value is m² E k(x,x').
func (s *self) value() float64 { return s.cloud.Mass * s.cloud.Mass * s.mean }

// addWeights adds scale times the gradient of the value in the weights.
func (s *self) addWeights(dst []float64, scale float64) {
	for i, w := range s.cloud.W {
		if s.diagonal != nil {
			dst[i] += scale * 2 * (s.sums[i] + w*s.diagonal[i])
			continue
		}
		// m² P/Q with P = Σ_{i≠j} w_i w_j k_ij and Q the same without k, so that ∂P = 2 sums_i, ∂Q = 2 m others_i and P/Q is the mean.
		dst[i] += scale * 2 * (s.sums[i]/s.part + s.cloud.Mass*s.mean*(1-s.others[i]/s.part))
	}
}

// pull is the factor of Σ_j w_j ∇₁k(x_i,x_j) in the gradient of the value in x_i, but for the weight of the point.
func (s *self) pull() float64 { return 2 / s.part }

// sum adds up with the rounding of each addition (Neumaier 1974): discrepancies are differences of sums that nearly agree.
type sum struct{ total, rest float64 }

func (s *sum) add(v float64) {
	t := s.total + v
	if abs(s.total) >= abs(v) {
		s.rest += (s.total - t) + v
	} else {
		s.rest += (v - t) + s.total
	}
	s.total = t
}

func (s *sum) value() float64 { return s.total + s.rest }

func abs(v float64) float64 {
	if v < 0 {
		return -v
	}
	return v
}

// weighted is Σ w_i v_i.
func weighted(w, v []float64) float64 {
	var total sum
	for i, x := range w {
		total.add(x * v[i])
	}
	return total.value()
}
