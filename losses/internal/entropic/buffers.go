package entropic

import (
	"math/bits"
	"sync"

	"kantor/losses/internal/vec"
)

// Matrices come from and go back to pools by their size, in eighths of a power of two: fresh ones would have to be cleared and mapped for every request.
var (
	buffers32 [classes]sync.Pool
	buffers64 [classes]sync.Pool
	shelf32   shelf[float32]
	shelf64   shelf[float64]
)

const (
	classes = 8 * 64
	// shelved is the least size of a buffer, in bytes, that goes to a shelf.
	shelved = 1 << 18
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

func shelfOf[T vec.Float]() *shelf[T] {
	if s, ok := any(&shelf32).(*shelf[T]); ok {
		return s
	}
	return any(&shelf64).(*shelf[T])
}

// newBuffer returns n numbers that may hold anything, n at least 2.
func newBuffer[T vec.Float](n int) []T {
	class, size := classOf(n)
	if size*sizeOf[T]() >= shelved {
		if b := shelfOf[T]().get(class); b != nil {
			return b[:n]
		}
	} else if b, ok := poolOf[T](class).Get().(*[]T); ok {
		return (*b)[:n]
	}
	return make([]T, n, size)
}

// freeBuffer gives a buffer back. Nobody may use it any more.
func freeBuffer[T vec.Float](b []T) {
	if b == nil {
		return
	}
	class, size := classOf(len(b))
	if size*sizeOf[T]() >= shelved {
		shelfOf[T]().put(class, b)
		return
	}
	poolOf[T](class).Put(&b)
}
