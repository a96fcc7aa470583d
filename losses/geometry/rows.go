package geometry

import (
	"math"

	"kantor/losses"
)

// rows are points with a distance, in a unit in which no square overflows.
type rows struct {
	name     string
	n, d     int
	distance Distance
	x        []float64 // [n,d], around a corner of its box
	unit     float64   // that of x, in the caller's
	// Of Gaussians, whose x are means and then standard deviations: the latter, [n,d/2], in the caller's unit. Nil: of a measure.
	deviations []float64
}

// scaled moves the points to a corner of their box, so that a common offset costs no digits of their differences, and takes the box's sides for the unit.
func (r *rows) scaled() *rows {
	lo, hi := append([]float64(nil), r.x[:r.d]...), append([]float64(nil), r.x[:r.d]...)
	for at, v := range r.x {
		k := at % r.d
		lo[k], hi[k] = min(lo[k], v), max(hi[k], v)
	}
	width := 0.0
	for k := range lo {
		width = max(width, hi[k]/2-lo[k]/2)
	}
	_, exponent := math.Frexp(width)
	exponent = min(max(exponent, -1000), 1000)
	r.unit = math.Ldexp(1, exponent)
	for at, v := range r.x {
		r.x[at] = v/r.unit - lo[at%r.d]/r.unit
	}
	return r
}

// between is the distance of rows i and j.
func (r *rows) between(i, j int) float64 {
	x, y := r.x[i*r.d:(i+1)*r.d], r.x[j*r.d:(j+1)*r.d]
	y = y[:len(x)]
	sum := 0.0
	if r.distance == Manhattan {
		for k, v := range x {
			sum += math.Abs(v - y[k])
		}
		return sum
	}
	for k, v := range x {
		delta := v - y[k]
		sum += float64(delta * delta) // rounded, so that it is the same on every architecture
	}
	return math.Sqrt(sum)
}

// pull adds factor times the gradient of the distance by row i to into, [d]; at a distance of 0 that is 0.
func (r *rows) pull(i, j int, distance, factor float64, into []float64) {
	if distance == 0 {
		return
	}
	x, y := r.x[i*r.d:(i+1)*r.d], r.x[j*r.d:(j+1)*r.d]
	y = y[:len(x)]
	if r.distance == Manhattan {
		for k, v := range x {
			switch {
			case v > y[k]:
				into[k] += factor
			case v < y[k]:
				into[k] -= factor
			}
		}
		return
	}
	factor /= distance
	for k, v := range x {
		into[k] += float64(factor * (v - y[k]))
	}
}

// addGradients gives a gradient in the rows, [n,d] in their unit, to the tensors that are wanted.
func (r *rows) addGradients(gradient []float64, want losses.Want, into map[losses.Ref][]float64) {
	add := func(field string, size, offset int, factor func(at int) float64) {
		ref := losses.Ref{Input: r.name, Field: field}
		if !want.Gradients[ref] {
			return
		}
		if into[ref] == nil {
			into[ref] = make([]float64, r.n*size)
		}
		for at := range into[ref] {
			into[ref][at] += float64(gradient[at/size*r.d+offset+at%size] / r.unit * factor(at))
		}
	}
	one := func(int) float64 { return 1 }
	if r.deviations == nil {
		add("points", r.d, 0, one)
		return
	}
	add("mean", r.d/2, 0, one)
	add("log_variance", r.d/2, r.d/2, func(at int) float64 { return r.deviations[at] / 2 })
}
