package entropic

import (
	"math/bits"
	"sync"

	"kantor/losses/internal/vec"
)

// Matrices come from and go back to pools by the power of two that holds them: fresh ones would have to be cleared and mapped for every request.
var (
	buffers32 [64]sync.Pool
	buffers64 [64]sync.Pool
)

func poolOf[T vec.Float](n int) *sync.Pool {
	class := bits.Len(uint(n - 1))
	if sizeOf[T]() == 4 {
		return &buffers32[class]
	}
	return &buffers64[class]
}

// newBuffer returns n numbers that may hold anything, n at least 2.
func newBuffer[T vec.Float](n int) []T {
	if b, ok := poolOf[T](n).Get().(*[]T); ok {
		return (*b)[:n]
	}
	return make([]T, n, 1<<bits.Len(uint(n-1)))
}

// freeBuffer gives a buffer back. Nobody may use it any more.
func freeBuffer[T vec.Float](b []T) {
	if b != nil {
		poolOf[T](len(b)).Put(&b)
	}
}
