package vec

import "math"

// lowest is the lowest finite number, where maxima start.
func lowest[T Float]() T {
	var l any = -math.MaxFloat64
	if _, ok := any(T(0)).(float32); ok {
		l = float32(-math.MaxFloat32)
	}
	return l.(T)
}

// LogSumRow returns the largest of the exponents t_j = h_j - c_j scale and Σ 2^(t_j - max), so that max + log₂(sum) is the logarithm of Σ 2^t_j. It
// returns -Inf and 0 where every t_j is -Inf, or there is none. A NaN, or an exponent of +Inf, makes the sum NaN. The lengths are equal and a multiple
// of [Pad].
//
// With h_j = (g_j/ε + log b_j) log₂e and scale = log₂e/ε this is one row of a Sinkhorn half-step (Feydy 2020, eq. 3.24).
func LogSumRow[T Float](c, h []T, scale T) (max, sum T) {
	checkLengths(len(c), len(h))
	max, sum = active[T]().logSumRow(c, h, scale)
	if sum == 0 {
		return T(math.Inf(-1)), 0
	}
	return max, sum
}

func genericLogSumRow[T Float](c, h []T, scale T) (max, sum T) {
	max = lowest[T]()
	for j := range c {
		if t := h[j] - c[j]*scale; t > max {
			max = t
		}
	}
	for j := range c {
		sum += exp2(h[j] - c[j]*scale - max)
	}
	return max, sum
}

// InitLogSum makes max and sum empty sums for [LogSumColumns].
func InitLogSum[T Float](max, sum []T) {
	for j := range max {
		max[j] = lowest[T]()
	}
	clear(sum)
}

// LogSumColumns adds, for each column j, Σ_i 2^t_ij with t_ij = f_i - c_ij scale over the rows of c, ld apart, to the sum sum_j 2^max_j. Start from
// [InitLogSum]; blocks of rows can follow each other and give the bits of a single call. max_j + log₂(sum_j) is the logarithm of the sum, -Inf for an
// empty one; max_j itself is an exponent that occurred, not always the largest. NaN and +Inf are as in [LogSumRow]. cols is a multiple of [Pad]. A
// column's result does not depend on its neighbours.
func LogSumColumns[T Float](max, sum []T, c []T, ld, rows, cols int, f []T, scale T) {
	checkLengths(cols, len(max), len(sum))
	checkMatrix(len(c), ld, rows, cols)
	_ = f[:rows]
	active[T]().logSumColumns(max, sum, c, ld, rows, cols, f, scale)
}

func genericLogSumColumns[T Float](max, sum []T, c []T, ld, rows, cols int, f []T, scale T) {
	for i, fi := range f[:rows] {
		for j, cij := range c[i*ld : i*ld+cols] {
			t := fi - cij*scale
			if t > max[j] {
				sum[j] *= exp2(max[j] - t)
				max[j] = t
			}
			sum[j] += exp2(t - max[j])
		}
	}
}
