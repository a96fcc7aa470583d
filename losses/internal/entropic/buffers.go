package entropic

import (
	"math/bits"
	"sync"

	"kantor/losses/internal/vec"
)

// Matrices come from and go back to pools by their size, in eighths of a power of two: fresh ones would have to be cleared and mapped for every request.
var (
	buffers32 [8 * 64]sync.Pool
	buffers64 [8 * 64]sync.Pool
)

// classOf is the pool of n numbers, n at least 2, and how many its buffers hold.
func classOf(n int) (class, size int) {
	step := max(0, bits.Len(uint(n-1))-4) // of the size, as a power of two
	eighths := (n-1)>>step + 1
	return 8*step + eighths, eighths << step
}

func poolOf[T vec.Float](class int) *sync.Pool {
	if sizeOf[T]() == 4 {
		return &buffers32[class]
	}
	return &buffers64[class]
}

// newBuffer returns n numbers that may hold anything, n at least 2.
func newBuffer[T vec.Float](n int) []T {
	class, size := classOf(n)
	if b, ok := poolOf[T](class).Get().(*[]T); ok {
		return (*b)[:n]
	}
	return make([]T, n, size)
}

// freeBuffer gives a buffer back. Nobody may use it any more.
func freeBuffer[T vec.Float](b []T) {
	if b != nil {
		class, _ := classOf(len(b))
		poolOf[T](class).Put(&b)
	}
}
