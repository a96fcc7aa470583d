package entropic

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// kernel is the plan at potentials that were absorbed into it, times scalings: one sweep over it is one iteration of Gauss-Seidel.
//
// It holds K_ij = b_j exp((f_i + g_j - C_ij)/ε). With the scalings u = exp(δf/ε) and v = exp(δg/ε) the plan is a_i u_i K_ij v_j. Where ratio is the plan's
// row sum by a_i, the softmin is f - ε log(ratio), so the relaxed and damped update of f adds ω(λ-1)f - ωλε log(ratio).
type kernel interface {
	// sweep updates u and then v with the factor ω and returns the marginal errors that each found, relative to the mass. ok is false where a sum left the
	// range that the number format can hold; then the scalings are as they were before the sweep.
	sweep(gate *parallel.Gate, omega float64) (rows, columns float64, ok bool)
	// wide reports whether the scalings have moved so far that the kernel should be made anew.
	wide() bool
	// release writes the potentials that the scalings stand for, and gives the kernel back.
	release(f, g []float64)
}

// absorbed is a kernel in one number format.
type absorbed[T vec.Float] struct {
	problem Problem
	a, b    side
	f, g    []float64 // the potentials that were absorbed
	stride  int
	k       []T       // [n,stride]
	u       []float64 // [n]
	v       []float64 // [m]
	vt, acc []T       // v and the column sums, padded
	block   []T       // one number for each row of a block
	// Scratch: the scalings before a sweep, and what marginals are of what they should be, with its logarithms, padded.
	u0, v0, ratio, power []float64
}

// rowBlock is how many rows are read before their scalings are computed, together, and they are read again, while they are in a cache.
const rowBlock = 8

func (s *scores[T]) absorb(ctx context.Context, f, g []float64, epsilon float64) (kernel, error) {
	if s.ab.stored == nil {
		return nil, nil
	}
	n, m, stride := s.a.N, s.b.N, s.ab.stride
	k := &absorbed[T]{problem: s.problem, a: s.a, b: s.b, f: slices.Clone(f), g: slices.Clone(g), stride: stride, k: newBuffer[T](n * stride),
		u: ones(n), v: ones(m), vt: make([]T, stride), acc: make([]T, stride), block: make([]T, rowBlock), u0: make([]float64, n), v0: make([]float64, m),
		ratio: make([]float64, pad(max(rowBlock, m))), power: make([]float64, pad(max(rowBlock, m)))}
	k.problem.Epsilon = epsilon
	k.setV(k.v)
	setHeights(s.hb, s.b, g, epsilon)
	scale := T(math.Log2E / epsilon)
	err := s.ab.segments(ctx, func(i, lo int, row []T) {
		vec.ExpRow(k.k[i*stride+lo:i*stride+lo+len(row)], row, s.hb[lo:lo+len(row)], scale, T(f[i]/epsilon*math.Log2E))
	})
	return k, err
}

func ones(n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

func (k *absorbed[T]) sweep(gate *parallel.Gate, omega float64) (rows, columns float64, ok bool) {
	copy(k.u0, k.u)
	copy(k.v0, k.v)
	rows, ok = k.sweepRows(gate, omega)
	if ok {
		columns, ok = k.sweepColumns(omega)
	}
	if !ok {
		copy(k.u, k.u0)
		k.setV(k.v0)
	}
	return rows, columns, ok
}

// sweepRows updates u and adds up the columns for sweepColumns.
func (k *absorbed[T]) sweepRows(gate *parallel.Gate, omega float64) (marginalError float64, ok bool) {
	clear(k.acc)
	done := 0
	for lo := 0; lo < k.a.N; lo += rowBlock {
		hi := min(k.a.N, lo+rowBlock)
		if done += (hi - lo) * k.stride; done > parallel.TileCost {
			if !gate.Open() {
				return 0, false
			}
			done = 0
		}
		rows, block := k.k[lo*k.stride:hi*k.stride], k.block[:hi-lo]
		vec.DotRows(block, rows, k.stride, k.vt)
		for i := lo; i < hi; i++ {
			k.ratio[i-lo] = k.u[i] * float64(block[i-lo])
			marginalError += k.a.W[i] * math.Abs(k.ratio[i-lo]-k.target(k.f[i], k.u[i]))
		}
		if !k.relax(k.u[lo:hi], k.f[lo:hi], omega) {
			return 0, false
		}
		for i := lo; i < hi; i++ {
			block[i-lo] = T(k.a.W[i] * k.u[i])
		}
		vec.AddRows(k.acc, block, rows, k.stride)
	}
	return marginalError / k.a.Mass, true
}

// sweepColumns updates v from the column sums. A column of weight 0 has nothing to match.
func (k *absorbed[T]) sweepColumns(omega float64) (marginalError float64, ok bool) {
	for j, v := range k.v {
		k.ratio[j] = 1
		if b := k.b.W[j]; b != 0 {
			k.ratio[j] = v * float64(k.acc[j]) / b
			marginalError += b * math.Abs(k.ratio[j]-k.target(k.g[j], v))
		}
	}
	ok = k.relax(k.v, k.g, omega)
	k.setV(k.v)
	return marginalError / k.b.Mass, ok
}

func (k *absorbed[T]) setV(v []float64) {
	copy(k.v, v)
	for j, x := range v {
		k.vt[j] = T(x)
	}
}

// target is what a ratio should be: 1, or e^{-f/ρ} at the potential f that was absorbed and its scaling.
func (k *absorbed[T]) target(f, scaling float64) float64 {
	if k.problem.balanced() {
		return 1
	}
	return k.problem.target(f + k.problem.Epsilon*math.Log(scaling))
}

// relax updates scalings of the absorbed potentials f, ratio being what a marginal is of the weight, unless one of the ratios is not positive and finite.
func (k *absorbed[T]) relax(scaling, f []float64, omega float64) bool {
	ratio := k.ratio[:len(scaling)]
	for _, r := range ratio {
		if !(r > 0) || math.IsInf(r, 1) {
			return false
		}
	}
	damping := k.problem.damping(k.problem.Epsilon)
	if omega == 1 && damping == 1 {
		floats.Div(scaling, ratio)
		return true
	}
	padded := pad(len(ratio))
	for i := len(ratio); i < padded; i++ {
		k.ratio[i] = 1
	}
	vec.LogRow(k.power[:padded], k.ratio[:padded])
	for i, l := range k.power[:len(ratio)] {
		change := -omega * damping * l
		if damping != 1 {
			change += omega * (damping - 1) * (f[i]/k.problem.Epsilon + math.Log(scaling[i]))
		}
		scaling[i] *= math.Exp(change)
	}
	return true
}

// safe is how far scalings may move from 1: their products with entries of the kernel stay well within the range of binary32.
const safe = 1e12

func (k *absorbed[T]) wide() bool {
	for _, scaling := range [][]float64{k.u, k.v} {
		for _, v := range scaling {
			if !(v > 1/safe && v < safe) {
				return true
			}
		}
	}
	return false
}

func (k *absorbed[T]) release(f, g []float64) {
	for i, u := range k.u {
		f[i] = k.f[i] + k.problem.Epsilon*math.Log(u)
	}
	for j, v := range k.v {
		g[j] = k.g[j] + k.problem.Epsilon*math.Log(v)
	}
	freeBuffer(k.k)
	k.k = nil
}
