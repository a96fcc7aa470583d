package entropic

import "context"

const (
	// singleTolerance is the least tolerance that binary32 is used for: below, its rounding would be taken for a marginal error.
	singleTolerance = 1e-4
	// singleExponent times the tolerance is the largest exponent C/ε whose rounding, 2^-24 of it, is a quarter of the tolerance.
	singleExponent = 1 << 22
)

// newPairs is where it is decided how a problem is computed, from its shape, its temperature, its tolerance and the number format it came in, alone:
//
//   - in binary32 where the clouds came in it and the rounding of the exponents is well below the tolerance, else in binary64;
//   - with the costs stored, and then swept as an absorbed kernel, where they fit a static budget; else computed again for every pass.
//
// The error is the context's.
func newPairs(ctx context.Context, p Problem, tolerance float64) (pairs, error) {
	if p.single(tolerance) {
		return newScores[float32](ctx, p, fits[float32](p.A.N, p.B.N))
	}
	return newScores[float64](ctx, p, fits[float64](p.A.N, p.B.N))
}

func (p Problem) single(tolerance float64) bool {
	return p.A.Single && p.B.Single && tolerance >= singleTolerance && p.spread() <= singleExponent*tolerance*p.Epsilon
}
