package gaussian

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// moments are mean and covariance of a measure, in a unit of 2^exponent in which no square overflows.
type moments struct {
	*losses.Cloud
	exponent   int
	mean       []float64 // [D], in the unit of the points
	centred    []float64 // [N,D]
	covariance []float64 // [D,D]
	root       root
}

// newMoments computes them.
func newMoments(ctx context.Context, c *losses.Cloud) (*moments, error) {
	lo, hi := append([]float64(nil), c.X[:c.D]...), append([]float64(nil), c.X[:c.D]...)
	c.Box(lo, hi)
	width := 0.0
	for k := range lo {
		width = max(width, hi[k]/2-lo[k]/2)
	}
	_, exponent := math.Frexp(width)
	m := &moments{Cloud: c, exponent: min(max(exponent, -1000), 1000), mean: lo, centred: make([]float64, len(c.X))}
	if err := m.centre(ctx); err != nil {
		return nil, err
	}
	if err := m.gram(ctx); err != nil {
		return nil, err
	}
	return m, parallel.Do(ctx, func(*parallel.Gate) {
		// A Gram matrix has no negative eigenvalues beyond rounding.
		m.root, _ = rootOf(append([]float64(nil), m.covariance...), m.D, 0x1p-52)
		m.root.exponent += m.exponent
	})
}

// centre subtracts the mean, which is found around a corner of the points: a common offset costs no digits.
func (m *moments) centre(ctx context.Context) error {
	scale := math.Ldexp(1, m.exponent)
	corner := append([]float64(nil), m.mean...)
	partial := make([][]float64, parallel.GroupCount(m.N))
	step := max(1, parallel.TileCost/(4*m.D))
	err := parallel.Groups(ctx, m.N, func(group, lo, hi int, gate *parallel.Gate) {
		sum := make([]float64, m.D)
		partial[group] = sum
		for i := lo; i < hi; i++ {
			if i > lo && (i-lo)%step == 0 && !gate.Open() {
				return
			}
			row := m.centred[i*m.D : (i+1)*m.D]
			for k, v := range m.X[i*m.D : (i+1)*m.D] {
				row[k] = v/scale - corner[k]/scale
				sum[k] += m.W[i] / m.Mass * row[k]
			}
		}
	})
	if err != nil {
		return err
	}
	for _, sum := range partial[1:] {
		floats.Add(partial[0], sum)
	}
	for k, v := range partial[0] {
		m.mean[k] = corner[k] + scale*v
	}
	return parallel.Rows(ctx, m.N, 2*m.D, func(lo, hi int, _ *parallel.Gate) {
		for i := lo; i < hi; i++ {
			floats.Sub(m.centred[i*m.D:(i+1)*m.D], partial[0])
		}
	})
}

// gramRows is how many rows of the covariance are computed together, and gramColumns over how many points: what they take stays in the caches.
const gramRows, gramColumns = 16, 512

// gram computes the covariance as products of the coordinates, each times the root of the weight, so that it is symmetric and has no negative eigenvalues
// beyond rounding.
func (m *moments) gram(ctx context.Context) error {
	n := (m.N + vec.Pad - 1) / vec.Pad * vec.Pad
	z := make([]float64, m.D*n)
	err := parallel.Rows(ctx, m.N, 4*m.D, func(lo, hi int, _ *parallel.Gate) {
		for i := lo; i < hi; i++ {
			weight := math.Sqrt(m.W[i] / m.Mass)
			for k, v := range m.centred[i*m.D : (i+1)*m.D] {
				z[k*n+i] = weight * v
			}
		}
	})
	if err != nil {
		return err
	}
	m.covariance = make([]float64, m.D*m.D)
	blocks := (m.D + gramRows - 1) / gramRows
	return parallel.Rows(ctx, blocks, gramRows*m.D*n/4, func(lo, hi int, gate *parallel.Gate) {
		product := make([]float64, m.D)
		for block := lo; block < hi; block++ {
			first, last := block*gramRows, min(m.D, (block+1)*gramRows)
			for from := 0; from < n; from += gramColumns {
				if from > 0 && !gate.Open() {
					return
				}
				to := min(n, from+gramColumns)
				for j := first; j < last; j++ {
					vec.DotRows(product[:j+1], z[from:], n, z[j*n+from:j*n+to])
					floats.Add(m.covariance[j*m.D:j*m.D+j+1], product[:j+1])
				}
			}
			for j := first; j < last; j++ {
				for k := range j {
					m.covariance[k*m.D+j] = m.covariance[j*m.D+k]
				}
			}
		}
	})
}

// operand is the side that a problem computes with.
func (m *moments) operand(o *operand) *operand {
	return &operand{name: o.name, rows: 1, d: o.d, mean: m.mean, roots: []root{m.root}}
}

// pull hands slopes in mean and covariance to points and weights:
//
//	∂x_i = w_i/W (∂m + 2 ∂A (x_i-m)),   ∂w_i = 1/W (∂m·(x_i-m) + (x_i-m)ᵀ ∂A (x_i-m) - tr(∂A A))
//
// The value does not change with the mass, so the second is centred by itself, up to rounding.
func (m *moments) pull(ctx context.Context, g slopes, want losses.Want, into map[losses.Ref][]float64) error {
	var points, weights []float64
	if want.Gradients[losses.Ref{Input: m.Name, Field: "points"}] {
		points = make([]float64, m.N*m.D)
	}
	if want.Gradients[losses.Ref{Input: m.Name, Field: "weights"}] {
		weights = make([]float64, m.N)
	}
	if points == nil && weights == nil {
		return nil
	}
	scale, trace := math.Ldexp(1, m.exponent), floats.Dot(g.spread, m.covariance)
	stride := (m.D + vec.Pad - 1) / vec.Pad * vec.Pad
	padded := make([]float64, m.D*stride)
	for k := range m.D {
		copy(padded[k*stride:], g.spread[k*m.D:(k+1)*m.D])
	}
	err := parallel.Rows(ctx, m.N, m.D*(m.D+8), func(lo, hi int, _ *parallel.Gate) {
		pulled := make([]float64, (hi-lo)*stride)
		vec.Products(pulled, stride, m.centred[lo*m.D:hi*m.D], hi-lo, m.D, padded, stride, stride)
		for i := lo; i < hi; i++ {
			x, pull := m.centred[i*m.D:(i+1)*m.D], pulled[(i-lo)*stride:]
			if points != nil {
				for k := range x {
					points[i*m.D+k] = m.W[i] / m.Mass * (g.mean[k] + 2*scale*pull[k])
				}
			}
			if weights != nil {
				weights[i] = scale / m.Mass * (floats.Dot(g.mean, x) + scale*(floats.Dot(x, pull[:m.D])-trace))
			}
		}
	})
	add(into, losses.Ref{Input: m.Name, Field: "points"}, points)
	add(into, losses.Ref{Input: m.Name, Field: "weights"}, weights)
	return err
}
