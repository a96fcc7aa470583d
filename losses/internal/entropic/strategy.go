package entropic

import (
	"context"
	"math"

	"kantor/losses/internal/memory"
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
//   - the kernel is in binary32 where the clouds came in it and the tolerance is not too small for that; else everything is in binary64;
//   - the exponents behind entries in binary32 are in it too only where their rounding is well below the tolerance;
//   - it is stored where it takes no more than half of the static budget, [memory.Total], or, of a self problem, half of it no more than a quarter, so that a
//     divergence stores all of its kernels; else entries are written anew for every pass.
func newKernel(p Problem, f *frame, tolerance float64, mayStore bool) kernel {
	switch {
	case !p.narrow(tolerance):
		return denseOf[float64](p, powersOf[float64](p, f), mayStore)
	case p.single(f, tolerance):
		return denseOf[float32](p, powersOf[float32](p, f), mayStore)
	}
	return denseOf[float32](p, narrowPowersOf(p, f), mayStore)
}

// newSelfKernel is newKernel for a cloud against itself: where it is stored, by half.
func newSelfKernel(p Problem, f *frame, tolerance float64) kernel {
	switch {
	case !p.narrow(tolerance):
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
	return newDense(p.A.N, p.B.N, e, mayStore && p.fits(sizeOf[K]()))
}

func symmetricOf[K vec.Float](p Problem, e entries[K]) kernel {
	if !p.halfFits(sizeOf[K]()) {
		return denseOf(p, e, false)
	}
	return newSymmetric(p.A.N, e)
}

// fits reports whether a kernel of numbers of some bytes is stored.
func (p Problem) fits(size int) bool { return p.bytes(size) <= memory.Total()/2 }

func (p Problem) bytes(size int) int64 { return int64(p.A.N) * int64(strideOf(p.B.N)) * int64(size) }

// halfFits reports whether half of a self problem's kernel is stored.
func (p Problem) halfFits(size int) bool { return p.halfBytes(size) <= memory.Total()/4 }

func (p Problem) halfBytes(size int) int64 { return int64(triangle(p.A.N)) * int64(size) }

// Stored is how many bytes of kernel a path of the problem stores, NewSelfPath's if self is set.
func (p Problem) Stored(tolerance float64, self bool) int64 {
	size := 8
	if p.narrow(tolerance) {
		size = 4
	}
	switch {
	case self && p.halfFits(size):
		return p.halfBytes(size)
	case !self && p.fits(size):
		return p.bytes(size)
	}
	return 0
}

// narrow reports whether the kernel is in binary32.
func (p Problem) narrow(tolerance float64) bool {
	return p.A.Single && p.B.Single && tolerance >= narrowTolerance
}

// single reports whether exponents can be computed in binary32: in products of lengths up to the largest, whose rounding is random.
func (p Problem) single(f *frame, tolerance float64) bool {
	lengths := max(largest(f.rx), largest(f.ry))
	return p.narrow(tolerance) && singleHolds(p.Cost, lengths, p.Epsilon, p.Epsilon) &&
		2*lengths*math.Log2E/p.Epsilon*unitOf[float32]() <= singleError*tolerance
}

// singleHolds reports whether binary32 holds, with room, costs up to the largest and temperatures, and the inverses of these. A distance is a square on the way.
func singleHolds(cost vec.Cost, largest, coldest, hottest float64) bool {
	limit := 0x1p100
	if cost != vec.HalfSquared {
		limit = 0x1p50
	}
	return largest <= limit && coldest >= 1/limit && hottest <= limit
}

// makePairs sees to it that the path has the problem in the log domain, for a sweep or two from potentials that no kernel holds the sums of: in binary32 while
// the temperature is high enough for that, and in binary64 from then on. The error is the context's.
func (s *Path) makePairs(ctx context.Context) (err error) {
	single := s.single(s.frame, levelTolerance)
	if _, narrow := s.pairs.(*scores[float32]); s.pairs != nil && (single || !narrow) {
		return nil
	}
	if single {
		s.pairs, err = newScores[float32](ctx, s.Problem, false)
	} else {
		s.pairs, err = newScores[float64](ctx, s.Problem, false)
	}
	return err
}
