package vec

import (
	"fmt"
	"testing"
	"unsafe"
)

// Each benchmark runs for every implementation and number format, and reports pairs (elements) a second, or bytes where memory is the limit.
//
// The limits to hold them against, from the same run: an element of products takes 2D/peak, with peak the flops a second of BenchmarkPeak; one of costs
// between 2D/peak, where subtractions have ports of their own, and 4D/peak, where they take the place of fused multiply-adds (3D/peak on AMD Zen 4), and
// its root. The softmin of a row adds t_exp, the time of an element of BenchmarkLogSumRow at 1024 columns, all in the first cache. A sweep is as fast as
// BenchmarkSum reads a matrix of that size.

func benchmarkEach(b *testing.B, f64, f32 func(b *testing.B)) {
	for _, i := range implementations() {
		for _, format := range []struct {
			name string
			body func(b *testing.B)
		}{{"f64", f64}, {"f32", f32}} {
			b.Run(i.name+"/"+format.name, func(b *testing.B) {
				use(b, i)
				format.body(b)
			})
		}
	}
}

// filled is n numbers around 1.
func filled[T Float](n int) []T {
	noise := normal(uint64(n))
	s := make([]T, n)
	for i := range s {
		s[i] = T(1 + noise()/8)
	}
	return s
}

// perSecond reports n elements a round.
func perSecond(b *testing.B, n int, unit string) {
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, unit)
}

func BenchmarkCosts(b *testing.B) { benchmarkEach(b, benchmarkCosts[float64], benchmarkCosts[float32]) }

func benchmarkCosts[T Float](b *testing.B) {
	const rows, cols, stride = 64, 1024, 1024 + 32
	for _, d := range []int{1, 2, 3, 8, 16, 32, 64, 256} {
		x, yt, dst := filled[T](rows*d), filled[T](d*stride), make([]T, rows*cols)
		for _, c := range []Cost{HalfSquared, Distance} {
			b.Run(fmt.Sprintf("D=%d/%s", d, [...]string{"half-squared", "distance"}[c]), func(b *testing.B) {
				for b.Loop() {
					Costs(dst, cols, c, x, rows, d, yt, stride, cols)
				}
				perSecond(b, rows*cols, "Gpair/s")
				perSecond(b, rows*cols*2*d, "Gop/s")
			})
		}
	}
}

func BenchmarkProducts(b *testing.B) {
	benchmarkEach(b, benchmarkProducts[float64], benchmarkProducts[float32])
}

func benchmarkProducts[T Float](b *testing.B) {
	const rows, cols, stride = 64, 1024, 1024 + 32
	for _, d := range []int{2, 16, 64} {
		x, yt, dst := filled[T](rows*d), filled[T](d*stride), make([]T, rows*cols)
		b.Run(fmt.Sprintf("D=%d", d), func(b *testing.B) {
			for b.Loop() {
				Products(dst, cols, x, rows, d, yt, stride, cols)
			}
			perSecond(b, rows*cols, "Gpair/s")
			perSecond(b, rows*cols*2*d, "Gflop/s")
		})
	}
}

func BenchmarkLogSumRow(b *testing.B) {
	benchmarkEach(b, benchmarkLogSumRow[float64], benchmarkLogSumRow[float32])
}

func benchmarkLogSumRow[T Float](b *testing.B) {
	for _, n := range []int{64, 256, 1024, 4096} {
		c, h := filled[T](n), filled[T](n)
		b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
			for b.Loop() {
				LogSumRow(c, h, 30)
			}
			perSecond(b, n, "Gpair/s")
		})
	}
}

func BenchmarkLogSumColumns(b *testing.B) {
	benchmarkEach(b, benchmarkLogSumColumns[float64], benchmarkLogSumColumns[float32])
}

func benchmarkLogSumColumns[T Float](b *testing.B) {
	for _, rows := range []int{16, 64, 256} {
		const cols = 256
		c, f, most, sum := filled[T](rows*cols), filled[T](rows), make([]T, cols), make([]T, cols)
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			for b.Loop() {
				InitLogSum(most, sum)
				LogSumColumns(most, sum, c, cols, rows, cols, f, 30)
			}
			perSecond(b, rows*cols, "Gpair/s")
		})
	}
}

func BenchmarkExpRow(b *testing.B) {
	benchmarkEach(b, benchmarkExpRow[float64], benchmarkExpRow[float32])
}

func benchmarkExpRow[T Float](b *testing.B) {
	const n = 1024
	c, h, dst := filled[T](n), filled[T](n), make([]T, n)
	for b.Loop() {
		ExpRow(dst, c, h, 30, 1)
	}
	perSecond(b, n, "Gpair/s")
}

func BenchmarkLogRow(b *testing.B) {
	for _, i := range implementations() {
		b.Run(i.name, func(b *testing.B) {
			use(b, i)
			const n = 1024
			x, dst := filled[float64](n), make([]float64, n)
			for b.Loop() {
				LogRow(dst, x)
			}
			perSecond(b, n, "Gnumber/s")
		})
	}
}

func BenchmarkDot(b *testing.B) { benchmarkEach(b, benchmarkDot[float64], benchmarkDot[float32]) }

func benchmarkDot[T Float](b *testing.B) {
	const n = 1024
	x, y := filled[T](n), filled[T](n)
	for b.Loop() {
		Dot(x, y)
	}
	perSecond(b, n, "Gpair/s")
}

func BenchmarkAddScaled(b *testing.B) {
	benchmarkEach(b, benchmarkAddScaled[float64], benchmarkAddScaled[float32])
}

func benchmarkAddScaled[T Float](b *testing.B) {
	const n = 1024
	x, dst := filled[T](n), filled[T](n)
	for b.Loop() {
		AddScaled(dst, 0x1p-30, x)
	}
	perSecond(b, n, "Gpair/s")
}

func BenchmarkSum(b *testing.B) { benchmarkEach(b, benchmarkSum[float64], benchmarkSum[float32]) }

func benchmarkSum[T Float](b *testing.B) {
	for _, n := range []int{32, 256, 1024, 2048, 4096} {
		x := filled[T](n * n)
		b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
			for b.Loop() {
				Sum(x)
			}
			perSecond(b, n*n*int(unsafe.Sizeof(x[0])), "GB/s")
		})
	}
}

// A Gauss-Seidel sweep over a kernel matrix, by single rows and by blocks of them. Every pair is an element read once from memory.
func BenchmarkSweep(b *testing.B) { benchmarkEach(b, benchmarkSweep[float64], benchmarkSweep[float32]) }

func benchmarkSweep[T Float](b *testing.B) {
	for _, n := range []int{256, 1024, 2048, 4096} {
		k, v, acc, u := filled[T](n*n), filled[T](n), make([]T, n), make([]T, n)
		for _, block := range []int{1, 4, 8} {
			b.Run(fmt.Sprintf("N=%d/block=%d", n, block), func(b *testing.B) {
				for b.Loop() {
					sweep(k, v, acc, u, n, block)
				}
				perSecond(b, n*n, "Gpair/s")
				perSecond(b, n*n*int(unsafe.Sizeof(k[0])), "GB/s")
			})
		}
	}
}

func sweep[T Float](k, v, acc, u []T, n, block int) {
	clear(acc)
	for lo := 0; lo < n; lo += block {
		ui, ki := u[lo:lo+block], k[lo*n:]
		if block == 1 {
			ui[0] = Dot(ki[:n], v)
			AddScaled(acc, 1/ui[0], ki[:n])
			continue
		}
		DotRows(ui, ki, n, v)
		for i := range ui {
			ui[i] = 1 / ui[i]
		}
		AddRows(acc, ui, ki, n)
	}
}

func BenchmarkExpRowNarrow(b *testing.B) {
	for _, i := range implementations() {
		b.Run(i.name, func(b *testing.B) {
			use(b, i)
			const n = 1024
			c, h, dst := filled[float64](n), filled[float64](n), make([]float32, n)
			for b.Loop() {
				ExpRowNarrow(dst, c, h, 3, 1)
			}
			perSecond(b, n, "Gpair/s")
		})
	}
}

// Held against BenchmarkPeak.
func BenchmarkImages(b *testing.B) {
	benchmarkEach(b, benchmarkImages[float64], benchmarkImages[float32])
}

func benchmarkImages[T Float](b *testing.B) {
	const rows, count = 48, 512
	for _, d := range []int{16, 32, 64, 128} {
		dst, w, y := make([]T, rows*d), filled[T](rows*count), filled[T](count*d)
		b.Run(fmt.Sprintf("D=%d", d), func(b *testing.B) {
			for b.Loop() {
				clear(dst)
				Images(dst, d, w, count, rows, y, d, count)
			}
			perSecond(b, rows*count*2*d, "Gflop/s")
		})
	}
}

// Held against 2D/peak + t_exp, with t_exp the time of a pair at D=0.
func BenchmarkLogSumProducts(b *testing.B) {
	benchmarkEach(b, benchmarkLogSumProducts[float64], benchmarkLogSumProducts[float32])
}

func benchmarkLogSumProducts[T Float](b *testing.B) {
	const rows, columns = 48, 1024
	scratch := new(Scratch[T])
	for _, d := range []int{0, 1, 2, 3, 8, 16, 32, 64, 128} {
		most, sum, x, y, h := make([]T, rows), make([]T, rows), filled[T](rows*d), filled[T](columns*d), filled[T](columns)
		b.Run(fmt.Sprintf("D=%d", d), func(b *testing.B) {
			for b.Loop() {
				LogSumProducts(scratch, most, sum, x, d, y, h)
			}
			perSecond(b, rows*columns, "Gpair/s")
		})
	}
}

func BenchmarkSweepProducts(b *testing.B) {
	benchmarkEach(b, benchmarkSweepProducts[float64], benchmarkSweepProducts[float32])
}

func benchmarkSweepProducts[T Float](b *testing.B) {
	const rows, columns = 48, 1024
	scratch := new(Scratch[T])
	for _, d := range []int{0, 2, 8, 32, 128} {
		sums, x, y, h := make([]T, rows), filled[T](rows*d), filled[T](columns*d), filled[T](columns)
		f, a, column, w := filled[T](rows), filled[T](rows), make([]T, columns), filled[T](columns)
		for i := range x {
			x[i] /= 100 // powers within the range
		}
		b.Run(fmt.Sprintf("D=%d", d), func(b *testing.B) {
			for b.Loop() {
				SweepProducts(scratch, sums, column, x, d, f, a, y, h, w)
			}
			perSecond(b, rows*columns, "Gpair/s")
		})
	}
}
