package gaussian

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// rootOf returns L with a = LLᵀ for a symmetric positive semidefinite a, [d,d], by Cholesky's method with the largest remaining variance as the pivot
// (Higham 2002, section 10.3). It stops where what remains is d times the precision of the largest variance, so that of a singular matrix the noise is left
// out rather than its root, which would be of the size of the root of the precision. If a has a negative eigenvalue beyond that it returns the least, else 0.
func rootOf(a []float64, d int, precision float64) (out root, least float64) {
	largest := 0.0
	for _, v := range a {
		largest = max(largest, math.Abs(v))
	}
	// By an even power of two, whose root is one.
	_, exponent := math.Frexp(largest)
	exponent = (exponent + 1) / 2
	for i := range a {
		a[i] = math.Ldexp(a[i], -2*exponent)
	}
	l, remains := make([]float64, d*d), make([]float64, d) // remains: the diagonal of a - LLᵀ, -Inf where a row is done
	noise := 0.0
	for i := range d {
		remains[i] = a[i*d+i]
		noise = max(noise, 4*float64(d)*precision*remains[i])
	}
	for k := range d {
		pivot := 0
		for i, v := range remains {
			if v > remains[pivot] {
				pivot = i
			}
		}
		if !(remains[pivot] > noise) {
			break
		}
		size := math.Sqrt(remains[pivot])
		for i := range d {
			switch {
			case i == pivot:
				l[i*d+k] = size
			case !math.IsInf(remains[i], -1):
				l[i*d+k] = (a[i*d+pivot] - dot(l[i*d:i*d+k], l[pivot*d:pivot*d+k])) / size
				remains[i] -= l[i*d+k] * l[i*d+k]
			}
		}
		remains[pivot] = math.Inf(-1)
	}
	if !positive(a, l, remains, noise) {
		least = leastEigenvalue(a, d)
		if least > -noise {
			least = 0
		}
		least = math.Ldexp(least, 2*exponent)
	}
	return root{l, exponent}, least
}

// positive reports whether what remains of a - LLᵀ, which has small variances only, could be that of a positive matrix.
func positive(a, l, remains []float64, noise float64) bool {
	d := len(remains)
	for i := range d {
		for j := range i + 1 {
			if math.IsInf(remains[i], -1) || math.IsInf(remains[j], -1) {
				continue
			}
			rest := a[i*d+j] - dot(l[i*d:(i+1)*d], l[j*d:(j+1)*d])
			if math.Abs(rest) > noise {
				return false
			}
		}
	}
	return true
}

func dot(x, y []float64) float64 {
	sum := 0.0
	for k, v := range x {
		sum += v * y[k]
	}
	return sum
}

// leastEigenvalue is the least eigenvalue of a symmetric matrix.
func leastEigenvalue(a []float64, d int) float64 {
	var e mat.EigenSym
	if !e.Factorize(mat.NewSymDense(d, a), false) {
		panic("gaussian: no eigenvalues of a finite symmetric matrix")
	}
	return e.Values(nil)[0]
}
