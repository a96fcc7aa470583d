// Package vec holds the numeric kernels of transport: sums over the pairs of a point and a cloud.
//
// Some functions take slices of any length and are plain loops only. Others work on padded data, columns in multiples of [Pad], and have variants for
// AVX2 and AVX-512; the plain loop beside each is its specification, what other architectures and builds with the tag purego run, and what the variants
// are tested against. Exponents are in units of log 2 there: the caller folds log₂e into its scale.
//
// None of them allocates or starts a goroutine, and an assembly kernel cannot be preempted, so a call should be short against the ticks of the scheduler
// (10 ms): some 10^6 exponentials.
package vec

//go:generate sh -c "cd _asm && go run . -out ../kernels_amd64.s -stubs ../stubs_amd64.go -pkg vec"

import (
	"fmt"
	"os"
	"strings"
)

// Float is a number format that there are kernels for.
type Float interface{ float32 | float64 }

// Pad is what runs of columns are a multiple of, so that kernels have no tails. Columns that pad have coordinates 0 and a weight of 2^-Inf.
const Pad = 32

// Name is the implementation that was chosen at start: generic, avx2 or avx512. It is the fastest that the CPU can run, unless the environment variable
// KANTOR_VEC names another.
var Name = chosen.name

var chosen = choose(os.Getenv("KANTOR_VEC"), implementations())

// implementation is the kernels of one instruction set in both number formats.
type implementation struct {
	name string
	f64  kernels[float64]
	f32  kernels[float32]
}

// kernels are the inner loops behind the functions of this package, after their checks. Those named Block take a few rows, those beside them one, with
// the same bits.
type kernels[T Float] struct {
	costRows                int // of a block
	costsBlock, costs       func(dst []T, ld int, root bool, x []T, d int, yt []T, stride, cols int)
	productsBlock, products func(dst []T, ld int, x []T, d int, yt []T, stride, cols int)
	logSumRow               func(c, h []T, scale T) (max, sum T)
	logSumColumns           func(max, sum, c []T, ld, rows, cols int, f []T, scale T)
	expRow                  func(dst, c, h []T, scale, shift T)
	expRowNarrow            func(dst []T, c, h []float64, scale, shift float64) // float32 only
	logRow                  func(dst, x []T)                                    // float64 only
	linearRows              int                                                 // of a block
	dotBlock                func(dst, k []T, ld int, v []T)
	dot                     func(x, y []T) T
	addRows                 func(dst, u, k []T, ld int)
	addScaled               func(dst []T, a T, x []T)
	squareRow               func(k, v []T, s T)
	poles                   func(value, slope, x []T, scale T, residues, at []T)
	images                  func(dst []T, ld int, w []T, ldw, rows int, y []T, d, count int)
	fusedRows               int // of the two below
	logSumProducts          func(max, sum, lanes, x []T, rows, d int, y, h []T)
	sweepProducts           func(rowSums, colSums, lanes, x []T, rows, d int, f, a, y, h, b []T)
	sum, maxOf              func(x []T) T
	peakOperations          int // of a round
	peak                    func(rounds int) T
}

// choose returns the first implementation, or the one of the given name.
func choose(name string, from []implementation) implementation {
	var names []string
	for _, i := range from {
		if name == "" || i.name == name {
			return i
		}
		names = append(names, i.name)
	}
	panic(fmt.Sprintf("vec: the environment variable KANTOR_VEC is %q; this build on this CPU has %s", name, strings.Join(names, ", ")))
}

// active is the kernels in use for a number format.
func active[T Float]() *kernels[T] {
	if k, ok := any(&chosen.f64).(*kernels[T]); ok {
		return k
	}
	return any(&chosen.f32).(*kernels[T])
}

// generic is the plain loops.
func generic() implementation {
	f64, f32 := genericKernels[float64](), genericKernels[float32]()
	f64.logRow, f32.expRowNarrow = genericLogRow, genericExpRowNarrow
	return implementation{"generic", f64, f32}
}

func genericKernels[T Float]() kernels[T] {
	return kernels[T]{
		costRows: 1, costsBlock: genericCosts[T], costs: genericCosts[T],
		productsBlock: genericProducts[T], products: genericProducts[T],
		logSumRow: genericLogSumRow[T], logSumColumns: genericLogSumColumns[T],
		expRow:     genericExpRow[T],
		linearRows: 1, dotBlock: genericDotBlock[T], dot: genericDot[T],
		addRows: genericAddRows[T], addScaled: genericAddScaled[T], squareRow: genericSquareRow[T], poles: genericPoles[T],
		images:    genericImages[T],
		fusedRows: 1, logSumProducts: genericLogSumProducts[T], sweepProducts: genericSweepProducts[T],
		sum: genericSum[T], maxOf: genericMaxOf[T],
		peakOperations: 8, peak: genericPeak[T],
	}
}

// checkPad panics unless n columns are whole pads.
func checkPad(n int) {
	if n%Pad != 0 {
		panic(fmt.Sprintf("vec: %d columns are not a multiple of %d", n, Pad))
	}
}

// checkLengths panics unless all slices that belong together have the same padded length.
func checkLengths(n int, others ...int) {
	checkPad(n)
	for _, m := range others {
		if m != n {
			panic(fmt.Sprintf("vec: slices of %d and %d numbers do not belong together", n, m))
		}
	}
}

// checkMatrix panics unless n numbers hold rows x cols with rows ld apart.
func checkMatrix(n, ld, rows, cols int) {
	checkPad(cols)
	if rows > 0 && (ld < cols || (rows-1)*ld+cols > n) {
		panic(fmt.Sprintf("vec: %d numbers do not hold %d rows of %d, %d apart", n, rows, cols, ld))
	}
}
