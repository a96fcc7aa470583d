package entropic

import (
	"context"
	"math"

	"kantor/losses/internal/vec"
)

const (
	// narrowTolerance is the least tolerance that a kernel in binary32 is used for: its entries and sums are right to some 1e-6.
	narrowTolerance = 1e-5
	// singleError is the part of the tolerance that the rounding of exponents in binary32 may come to.
	singleError = 0.25
)

// newKernel is where it is decided how a problem is computed, from its shape, its temperature, its tolerance and the number format it came in, alone:
//
//   - the kernel is in binary32, unless the tolerance is too small for that; then everything is in binary64;
//   - the exponents behind its entries are in binary32 only where the clouds came in it and rounding is well below the tolerance;
//   - it is stored where it fits a static budget; else its entries are written anew for every pass.
func newKernel(p Problem, f *frame, tolerance float64, mayStore bool) kernel {
	switch {
	case tolerance < narrowTolerance:
		return denseOf[float64](p, powersOf[float64](p, f), mayStore)
	case p.single(f, tolerance):
		return denseOf[float32](p, powersOf[float32](p, f), mayStore)
	}
	return denseOf[float32](p, narrowPowersOf(p, f), mayStore)
}

// newSelfKernel is newKernel for a cloud against itself: where it is stored, by half.
func newSelfKernel(p Problem, f *frame, tolerance float64) kernel {
	switch {
	case tolerance < narrowTolerance:
		return symmetricOf[float64](p, powersOf[float64](p, f))
	case p.single(f, tolerance):
		return symmetricOf[float32](p, powersOf[float32](p, f))
	}
	return symmetricOf[float32](p, narrowPowersOf(p, f))
}

func powersOf[T vec.Float](p Problem, f *frame) entries[T] {
	return powers[T]{newExponents(newPoints[T](p, f))}
}

func narrowPowersOf(p Problem, f *frame) entries[float32] {
	return narrowPowers{newExponents(newPoints[float64](p, f))}
}

func denseOf[K vec.Float](p Problem, e entries[K], mayStore bool) kernel {
	return newDense(p.A.N, p.B.N, e, mayStore && p.A.N*pad(p.B.N)*sizeOf[K]() <= storedBytes)
}

func symmetricOf[K vec.Float](p Problem, e entries[K]) kernel {
	if triangle(p.A.N)*sizeOf[K]() > storedBytes {
		return denseOf(p, e, false)
	}
	return newSymmetric(p.A.N, e)
}

// single reports whether exponents can be computed in binary32: in products of lengths up to the largest, whose rounding is random.
func (p Problem) single(f *frame, tolerance float64) bool {
	if !p.A.Single || !p.B.Single {
		return false
	}
	return 2*max(largest(f.rx), largest(f.ry))*math.Log2E/p.Epsilon*unitOf[float32]() <= singleError*tolerance
}

// newLogPairs is the problem in the log domain.
func newLogPairs(ctx context.Context, p Problem) (pairs, error) {
	return newScores[float64](ctx, p, false)
}
