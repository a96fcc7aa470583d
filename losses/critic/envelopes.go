package critic

import (
	"context"
	"math"

	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// The two functions of a critic, in the order of the state.
const (
	below     = 0 // φ⁻(z) = min_j |z - c_j| + b_j
	above     = 1 // φ⁺(z) = max_j b_j - |z - c_j|
	functions = 2
)

// sign makes both a minimum: φ(z) = sign·min_j(|z - c_j| + sign·b_j), with ∂φ/∂b = 1, ∂φ/∂z = sign·(z-c)/|z-c| and ∂φ/∂c = -∂φ/∂z for the j that has it.
var sign = [functions]float64{1, -1}

// envelopes are the parameters of both functions.
type envelopes struct {
	count, d int       // cones of each function; dimension
	tips     []float64 // [2,count,d]
	heights  []float64 // [2,count]
}

// tipsOf is the tips of function f, [count,d].
func (e *envelopes) tipsOf(f int) []float64 { return e.tips[f*e.count*e.d : (f+1)*e.count*e.d] }

// heightsOf is the heights of function f.
func (e *envelopes) heightsOf(f int) []float64 { return e.heights[f*e.count : (f+1)*e.count] }

// values are both functions at n points.
type values struct {
	h      [functions][]float64
	active [functions][]int32 // the cone whose value it is, the first of equals
}

func newValues(n int) *values {
	v := &values{}
	for f := range functions {
		v.h[f], v.active[f] = make([]float64, n), make([]int32, n)
	}
	return v
}

// evaluator evaluates both functions at points.
type evaluator struct {
	*envelopes
	padded  int                  // cones of a function, up to the next whole [vec.Pad]
	stride  int                  // from one dimension to the next, an odd number of Pads
	tipsT   [functions][]float64 // [d,stride], the tips in the layout of the kernels
	offsets [functions][]float64 // [padded], sign·b; +Inf for the cones that pad, which are never least
}

func newEvaluator(ctx context.Context, p *envelopes) (*evaluator, error) {
	pads := (p.count + vec.Pad - 1) / vec.Pad
	e := &evaluator{envelopes: p, padded: pads * vec.Pad, stride: (pads | 1) * vec.Pad}
	for f := range functions {
		e.tipsT[f], e.offsets[f] = make([]float64, p.d*e.stride), make([]float64, e.padded)
		for j := range e.offsets[f] {
			e.offsets[f][j] = math.Inf(1)
		}
	}
	return e, e.refresh(ctx)
}

// refresh takes over the parameters as they are now.
func (e *evaluator) refresh(ctx context.Context) error {
	for f := range functions {
		for j, b := range e.heightsOf(f) {
			e.offsets[f][j] = sign[f] * b
		}
	}
	return parallel.Rows(ctx, functions*e.d, 4*e.count, func(lo, hi int, _ *parallel.Gate) {
		for row := lo; row < hi; row++ {
			f, k := row/e.d, row%e.d
			tips, to := e.tipsOf(f), e.tipsT[f][k*e.stride:]
			for j := range e.count {
				to[j] = tips[j*e.d+k]
			}
		}
	})
}

// Distances are held for rows of points and columns of cones that fit the first cache.
const (
	blockRows    = 8
	blockColumns = 16 * vec.Pad
)

// evaluate writes both functions at the points x, [n,d].
func (e *evaluator) evaluate(ctx context.Context, x []float64, to *values) error {
	return parallel.Rows(ctx, len(x)/e.d, functions*e.padded*(e.d+2), func(lo, hi int, _ *parallel.Gate) {
		distances := make([]float64, blockRows*min(e.padded, blockColumns))
		for f := range functions {
			for at := lo; at < hi; at += blockRows {
				end := min(hi, at+blockRows)
				e.block(f, x[at*e.d:end*e.d], distances, to.h[f][at:end], to.active[f][at:end])
			}
		}
	})
}

// block writes function f at a block of points.
func (e *evaluator) block(f int, x, distances, h []float64, active []int32) {
	for r := range h {
		h[r] = math.Inf(1)
	}
	for lo := 0; lo < e.padded; lo += blockColumns {
		n := min(blockColumns, e.padded-lo)
		vec.Costs(distances, n, vec.Distance, x, len(h), e.d, e.tipsT[f][lo:], e.stride, n)
		offsets := e.offsets[f][lo : lo+n]
		for r := range h {
			if least, j := leastSum(distances[r*n:(r+1)*n], offsets); least < h[r] {
				h[r], active[r] = least, int32(lo+j)
			}
		}
	}
	for r := range h {
		h[r] *= sign[f]
	}
}

// leastSum is the least of x_j + y_j and the first j that has it.
func leastSum(x, y []float64) (least float64, at int) {
	least = math.Inf(1)
	y = y[:len(x)]
	for j, v := range x {
		if s := v + y[j]; s < least {
			least, at = s, j
		}
	}
	return least, at
}

// addSlope adds w ∇φ(z) to dst, for φ the function f and z a point where cone j is active; nothing at the tip.
func (e *envelopes) addSlope(dst []float64, w float64, f int, z []float64, j int32) {
	tip := e.tipsOf(f)[int(j)*e.d:]
	vec.Distance.AddGradient(dst, sign[f]*w, z, tip[:e.d])
}
