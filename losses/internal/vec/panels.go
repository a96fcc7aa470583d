package vec

import (
	"fmt"
	"math"
)

// PanelColumns is the width of the panels that points come in for the kernels on products: [D,PanelColumns] numbers each, coordinate k of the panel's point j
// at k·PanelColumns+j, one panel behind the other.
const PanelColumns = 64

// The most rows of products and the widest lanes that a kernel keeps.
const (
	mostRows = 6
	lanes    = 16
)

// Scratch is what the kernels on products write to while they run, for one call at a time. Its zero value is ready.
type Scratch[T Float] struct {
	lanes           [2 * mostRows * lanes]T
	shifts, weights [mostRows]T
}

// LogSumProducts is [LogSumRow] for the exponents t_ij = x_i·y_j + h_j: for each row i it writes Σ_j 2^(t_ij - max_i), where max_i is an exponent that
// occurred, not always the largest, and -Inf for an empty sum. NaN and +Inf are as there. There are as many rows as max and sum have numbers, x is
// [rows,d], y is in panels, and h has a multiple of [PanelColumns] heights, -Inf where it pads. The products are never stored. Those of -½|x-y|² are
// x·y - ½|x|² - ½|y|², the last of them in the height.
//
// A row's result does not depend on the others. The rounding of an exponent is at most d+1 half-ulps of Σ_k |x_ik y_jk| + |h_j|.
func LogSumProducts[T Float](scratch *Scratch[T], max, sum, x []T, d int, y, h []T) {
	logSumProducts(active[T](), scratch, max, sum, x, d, y, h)
}

func logSumProducts[T Float](kernels *kernels[T], scratch *Scratch[T], max, sum, x []T, d int, y, h []T) {
	checkPanels(len(max), len(x), d, len(y), len(h))
	_ = sum[:len(max)]
	for r := 0; r < len(max); r += kernels.fusedRows {
		kernels.logSumProducts(max[r:], sum[r:], scratch.lanes[:], x[r*d:], min(kernels.fusedRows, len(max)-r), d, y, h)
	}
	for i, s := range sum[:len(max)] {
		if s == 0 {
			max[i] = T(math.Inf(-1))
		}
	}
}

// SweepProducts takes the powers K_ij = 2^(x_i·y_j + h_j + f_i) once for two sums: rowSums_i = Σ_j b_j K_ij, and colSums_j grows by Σ_i a_i K_ij. There are
// as many rows as rowSums, f and a have numbers, and as many columns as colSums, h and b; the rest is as in [LogSumProducts]. Exponents should be within the
// range of the number format: powers below it may be 0, above it a sum is +Inf or NaN.
func SweepProducts[T Float](scratch *Scratch[T], rowSums, colSums, x []T, d int, f, a, y, h, b []T) {
	checkPanels(len(rowSums), len(x), d, len(y), len(h))
	if len(f) != len(rowSums) || len(a) != len(rowSums) || len(colSums) != len(h) || len(b) != len(h) {
		panic(fmt.Sprintf("vec: %d rows with %d shifts and %d weights, %d columns with %d sums and %d weights", len(rowSums), len(f), len(a), len(h),
			len(colSums), len(b)))
	}
	kernels := active[T]()
	rows, r := kernels.fusedRows, 0
	for ; r+rows <= len(rowSums); r += rows {
		kernels.sweepProducts(rowSums[r:], colSums, scratch.lanes[:], x[r*d:], rows, d, f[r:], a[r:], y, h, b)
	}
	if left := len(rowSums) - r; left > 0 {
		// Rows that are not there are the last one over again, with powers of 0.
		shifts, weights := scratch.shifts[:], scratch.weights[:]
		clear(weights[copy(weights, a[r:]):])
		for i := copy(shifts, f[r:]); i < mostRows; i++ {
			shifts[i] = T(math.Inf(-1))
		}
		kernels.sweepProducts(rowSums[r:], colSums, scratch.lanes[:], x[r*d:], left, d, shifts, weights, y, h, b)
	}
}

// checkPanels panics where numbers are missing.
func checkPanels(rows, x, d, y, columns int) {
	if columns%PanelColumns != 0 {
		panic(fmt.Sprintf("vec: %d columns are not a multiple of %d", columns, PanelColumns))
	}
	if d < 0 || x < rows*d || y < columns*d {
		panic(fmt.Sprintf("vec: %d and %d numbers do not hold %d rows and %d columns of %d", x, y, rows, columns, d))
	}
}

// product is x·y_j for the point j of the panels.
func product[T Float](x, y []T, j int) T {
	var s T
	at := j/PanelColumns*PanelColumns*len(x) + j%PanelColumns
	for k, v := range x {
		s += v * y[at+k*PanelColumns]
	}
	return s
}

func genericLogSumProducts[T Float](max, sum, _, x []T, rows, d int, y, h []T) {
	for r := range rows {
		point, top, total := x[r*d:r*d+d], lowest[T](), T(0)
		for j, hj := range h {
			t := product(point, y, j) + hj
			if t > top {
				total *= exp2(top - t)
				top = t
			}
			total += exp2(t - top)
		}
		max[r], sum[r] = top, total
	}
}

func genericSweepProducts[T Float](rowSums, colSums, _, x []T, rows, d int, f, a, y, h, b []T) {
	for r := range rows {
		point, total := x[r*d:r*d+d], T(0)
		for j, hj := range h {
			power := exp2(product(point, y, j) + hj + f[r])
			total += b[j] * power
			colSums[j] += a[r] * power
		}
		rowSums[r] = total
	}
}
