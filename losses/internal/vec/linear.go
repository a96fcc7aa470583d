package vec

import "math"

// Dot returns Σ x_j y_j. The lengths are equal and a multiple of [Pad].
func Dot[T Float](x, y []T) T {
	checkLengths(len(x), len(y))
	return active[T]().dot(x, y)
}

// genericDot adds up in binary64, so that no variant does it better in binary32.
func genericDot[T Float](x, y []T) T {
	s := 0.0
	for j, v := range x {
		s += float64(v) * float64(y[j])
	}
	return T(s)
}

// DotRows writes dst_i = Σ_j k_ij v_j for the rows of k, ld apart: as many rows as dst has numbers, as many columns as v. Each has the bits of [Dot]. In
// binary32 a sum over 64 columns is right to ten half-ulps of Σ |k_ij v_j|: the variants add in chains of two and fold them.
//
// DotRows and [AddRows] on a few rows at a time, while they are in the first cache, are a Gauss-Seidel sweep over a kernel matrix in one pass over
// memory: u_i = a_i / (K_i·v), then acc += u_i K_i.
func DotRows[T Float](dst, k []T, ld int, v []T) {
	checkMatrix(len(k), ld, len(dst), len(v))
	kernels, i := active[T](), 0
	for ; i+kernels.linearRows <= len(dst); i += kernels.linearRows {
		kernels.dotBlock(dst[i:], k[i*ld:], ld, v)
	}
	for ; i < len(dst); i++ {
		dst[i] = kernels.dot(k[i*ld:i*ld+len(v)], v)
	}
}

func genericDotBlock[T Float](dst, k []T, _ int, v []T) { dst[0] = genericDot(k[:len(v)], v) }

// AddScaled adds a x to dst. The lengths are equal and a multiple of [Pad].
func AddScaled[T Float](dst []T, a T, x []T) {
	checkLengths(len(dst), len(x))
	active[T]().addScaled(dst, a, x)
}

func genericAddScaled[T Float](dst []T, a T, x []T) {
	for j, v := range x {
		dst[j] += a * v
	}
}

// AddRows adds Σ_i u_i k_ij to dst_j for the rows of k, ld apart: as many rows as u has numbers, as many columns as dst. It has the bits of [AddScaled]
// row by row.
func AddRows[T Float](dst, u, k []T, ld int) {
	checkMatrix(len(k), ld, len(u), len(dst))
	kernels, i := active[T](), 0
	for ; i+kernels.linearRows <= len(u); i += kernels.linearRows {
		kernels.addRows(dst, u[i:], k[i*ld:], ld)
	}
	for ; i < len(u); i++ {
		kernels.addScaled(dst, u[i], k[i*ld:i*ld+len(dst)])
	}
}

func genericAddRows[T Float](dst, u, k []T, _ int) { genericAddScaled(dst, u[0], k[:len(dst)]) }

// SquareRow makes k_j the square of k_j v_j s. Far below the normal numbers, from 2^-100 and 2^-900 down, a square is rounded to a fixed grain, so that none
// is subnormal. The lengths are equal and a multiple of [Pad].
//
// A Gibbs kernel at half the temperature, with the same potentials, is the square: annealing by halves needs no exponential.
func SquareRow[T Float](k, v []T, s T) {
	checkLengths(len(k), len(v))
	active[T]().squareRow(k, v, s)
}

func genericSquareRow[T Float](k, v []T, s T) {
	grain := squareGrain[T]()
	for j, x := range v {
		t := k[j] * x * s
		k[j] = T(t*t) + grain - grain
	}
}

// squareGrain is what is added to squares and taken away again.
func squareGrain[T Float]() T {
	var grain any = 0x1p-900
	if _, ok := any(T(0)).(float32); ok {
		grain = float32(0x1p-100)
	}
	return grain.(T)
}

// Sum returns Σ x_j. The length is a multiple of [Pad].
func Sum[T Float](x []T) T {
	checkPad(len(x))
	return active[T]().sum(x)
}

func genericSum[T Float](x []T) T {
	var s T
	for _, v := range x {
		s += v
	}
	return s
}

// MaxOf returns the largest x_j: -Inf where there is none, NaN where one is NaN. The length is a multiple of [Pad].
func MaxOf[T Float](x []T) T {
	checkPad(len(x))
	return active[T]().maxOf(x)
}

func genericMaxOf[T Float](x []T) T {
	m := T(math.Inf(-1))
	for _, v := range x {
		m = max(m, v)
	}
	return m
}
