package vec

import (
	"fmt"
	"math"
	"testing"
)

func TestImages(t *testing.T) {
	each(t, func(t *testing.T) { testImages[float64](t); testImages[float32](t) })
}

func testImages[T Float](t *testing.T) {
	for rows := 0; rows <= 20; rows++ {
		testImagesAt[T](t, rows, 48, 33)
	}
	for count := 0; count <= 40; count++ {
		testImagesAt[T](t, 7, 16, count)
	}
	for d := 0; d <= 160; d += 16 {
		testImagesAt[T](t, 8, d, 10)
	}
	testImagesAt[T](t, 13, 32, 1000)
	testImagesAt[T](t, 2, 1008, 17)
}

// A sum of n products is within n roundings of its size, whatever the order.
func testImagesAt[T Float](t *testing.T, rows, d, count int) {
	t.Helper()
	what := fmt.Sprintf("%T, %d x %d times %d x %d", T(0), rows, count, count, d)
	noise := normal(uint64(1000*rows + 10*count + d))
	w, y := newMatrix[T](rows, count, count+3, noise), newMatrix[T](count, d, d, noise)
	dst := newMatrix[T](rows, d, d+5, noise)
	before := append([]T(nil), dst.data...)
	Images(dst.data, dst.ld, w.data, w.ld, rows, y.data, d, count)
	for r := range rows {
		for k := range d {
			want := float64(before[r*dst.ld+k])
			size := math.Abs(want)
			for j := range count {
				p := w.at(r, j) * y.at(j, k)
				want, size = want+p, size+math.Abs(p)
			}
			if got := dst.at(r, k); !(math.Abs(got-want) <= float64(count+1)*epsilon[T]()*size) {
				t.Fatalf("%s: number %d of row %d is %v, want %v", what, k, r, got, want)
			}
		}
	}
	for _, m := range []matrix[T]{w, y, dst} {
		m.check(t)
	}

	// The same bits by single rows and runs of columns.
	again := append([]T(nil), before...)
	for r := range rows {
		for lo := 0; lo < count; lo += 9 {
			Images(again[r*dst.ld:], dst.ld, w.data[r*w.ld+lo:], w.ld, 1, y.data[lo*d:], d, min(9, count-lo))
		}
		sameBits(t, what+", in pieces", again[r*dst.ld:r*dst.ld+d], dst.data[r*dst.ld:r*dst.ld+d])
	}
}

// What is not finite shows in its row or its coordinate, and nowhere else.
func TestImagesShowNaN(t *testing.T) {
	each(t, func(t *testing.T) {
		const rows, d, count = 8, 32, 5
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			w, y, dst := make([]float32, rows*count), make([]float32, count*d), make([]float32, rows*d)
			for i := range w {
				w[i] = 1
			}
			w[3*count+4], y[2*d+17] = float32(bad), 1
			y[4*d+9] = float32(bad)
			Images(dst, d, w, count, rows, y, d, count)
			for at, v := range dst {
				r, k := at/d, at%d
				if finite := v-v == 0; finite != (r != 3 && k != 9) {
					t.Fatalf("%v: coordinate %d of row %d is %v", bad, k, r, v)
				}
			}
		}
	})
}
