package vec

import "fmt"

// ImagePad is what the rows of y in [Images] are padded to a multiple of.
const ImagePad = 16

// imageRows is how many rows a kernel takes together.
const imageRows = 6

// Images adds W Y to dst: dst_rk += Σ_j w_rj y_jk for rows rows of W, ldw apart, with count columns, and as many rows of y with d numbers each, one behind the
// other; those of dst are ld apart. d is a multiple of [ImagePad], what pads is 0 or anything else that may be multiplied. With the weights of a plan
// that is its barycentric image (Peyré, Cuturi 2019, remark 4.11).
//
// A sum is one chain of fused additions from what dst holds, in the order of the columns, so that calls with runs of columns, one after the other, and any
// grouping of rows give the bits of a single call. Few rows cost as much as six. Where d is below 4 or so, [Dot] with each coordinate is faster.
func Images[T Float](dst []T, ld int, w []T, ldw, rows int, y []T, d, count int) {
	checkImages(len(dst), ld, rows, d)
	checkImages(len(w), ldw, rows, count)
	if d%ImagePad != 0 {
		panic(fmt.Sprintf("vec: images of %d numbers are not a multiple of %d", d, ImagePad))
	}
	if rows == 0 || count == 0 || d == 0 {
		return
	}
	_ = y[:count*d]
	for kernels, r := active[T](), 0; r < rows; r += imageRows {
		kernels.images(dst[r*ld:], ld, w[r*ldw:], ldw, min(imageRows, rows-r), y, d, count)
	}
}

// checkImages panics unless n numbers hold rows x cols with rows ld apart.
func checkImages(n, ld, rows, cols int) {
	if rows < 0 || cols < 0 || rows > 0 && (ld < cols || (rows-1)*ld+cols > n) {
		panic(fmt.Sprintf("vec: %d numbers do not hold %d rows of %d, %d apart", n, rows, cols, ld))
	}
}

func genericImages[T Float](dst []T, ld int, w []T, ldw, rows int, y []T, d, count int) {
	for r := range rows {
		to := dst[r*ld : r*ld+d]
		for j, v := range w[r*ldw : r*ldw+count] {
			for k, yk := range y[j*d : j*d+d] {
				to[k] += v * yk
			}
		}
	}
}
