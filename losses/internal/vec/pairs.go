package vec

import (
	"math"
	"unsafe"
)

// panelBytes is how much of the columns' points a pass over the rows works on, so that they stay in the first cache.
const panelBytes = 16 << 10

// Costs writes the costs of the points x [rows,d] against cols points y, with dst[r*ld+j] the cost of x_r and y_j. The points y come dimension by
// dimension: coordinate k of y_j is yt[k*stride+j]. cols is a multiple of [Pad].
//
// As in [Cost.Of] the squares are of differences, added in the order of the dimensions, so that an element does not depend on which others are computed;
// its relative error is at most d+3 half-ulps. A stride that is a multiple of 4 KB makes the dimensions compete for the same lines of the caches: an odd
// number of Pads avoids it.
func Costs[T Float](dst []T, ld int, cost Cost, x []T, rows, d int, yt []T, stride, cols int) {
	checkPairs(dst, ld, x, rows, d, yt, stride, cols)
	kernels, root := active[T](), cost == Distance
	panel := panelColumns[T](d, cols)
	for lo := 0; lo < cols && d > 0; lo += panel {
		n, r := min(panel, cols-lo), 0
		for ; r+kernels.costRows <= rows; r += kernels.costRows {
			kernels.costsBlock(dst[r*ld+lo:], ld, root, x[r*d:], d, yt[lo:], stride, n)
		}
		for ; r < rows; r++ {
			kernels.costs(dst[r*ld+lo:], ld, root, x[r*d:], d, yt[lo:], stride, n)
		}
	}
}

// Products is [Costs] with the inner product x_r·y_j in place of the cost.
func Products[T Float](dst []T, ld int, x []T, rows, d int, yt []T, stride, cols int) {
	checkPairs(dst, ld, x, rows, d, yt, stride, cols)
	kernels := active[T]()
	panel := panelColumns[T](d, cols)
	for lo := 0; lo < cols && d > 0; lo += panel {
		n, r := min(panel, cols-lo), 0
		for ; r+kernels.costRows <= rows; r += kernels.costRows {
			kernels.productsBlock(dst[r*ld+lo:], ld, x[r*d:], d, yt[lo:], stride, n)
		}
		for ; r < rows; r++ {
			kernels.products(dst[r*ld+lo:], ld, x[r*d:], d, yt[lo:], stride, n)
		}
	}
}

// checkPairs panics where the slices are too short. Points without coordinates have costs and products of 0, which it writes.
func checkPairs[T Float](dst []T, ld int, x []T, rows, d int, yt []T, stride, cols int) {
	checkMatrix(len(dst), ld, rows, cols)
	checkMatrix(len(yt), stride, d, cols)
	_ = x[:rows*d]
	for r := 0; r < rows && d == 0; r++ {
		clear(dst[r*ld : r*ld+cols])
	}
}

func panelColumns[T Float](d, cols int) int {
	var number T
	pads := panelBytes / (Pad * max(1, d) * int(unsafe.Sizeof(number)))
	return min(cols, Pad*max(1, pads))
}

// genericCosts is one row of [Costs].
func genericCosts[T Float](dst []T, _ int, root bool, x []T, d int, yt []T, stride, cols int) {
	dst = dst[:cols]
	clear(dst)
	for k, xk := range x[:d] {
		for j, y := range yt[k*stride : k*stride+cols] {
			dst[j] += (y - xk) * (y - xk)
		}
	}
	for j, square := range dst {
		if root {
			dst[j] = T(math.Sqrt(float64(square)))
		} else {
			dst[j] = 0.5 * square
		}
	}
}

// genericProducts is one row of [Products].
func genericProducts[T Float](dst []T, _ int, x []T, d int, yt []T, stride, cols int) {
	dst = dst[:cols]
	clear(dst)
	for k, xk := range x[:d] {
		for j, y := range yt[k*stride : k*stride+cols] {
			dst[j] += xk * y
		}
	}
}
