package entropic

import (
	"context"

	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// kernel is a Gibbs kernel K_ij = exp((f_i + g_j - C_ij)/ε) at potentials that were absorbed into it, whatever its number format and whether its entries are
// stored or written anew for every pass. Plans are a_i u_i K_ij v_j b_j with scalings u and v.
type kernel interface {
	// absorb makes the entries those of these potentials. The error is the context's.
	absorb(ctx context.Context, f, g []float64, epsilon float64) error
	// pass goes once over the rows. The error is the context's; ok is false where the pass said so.
	pass(ctx context.Context, p pass) (ok bool, err error)
	// images writes Σ_j K_ij w_j y_j to dst, [n,d], y relative to the center, or Σ_i K_ij w_i x_i, [m,d]
	images(ctx context.Context, dst, w []float64) error
	// errors bounds the relative error of an entry, and that of a sum of a precise pass.
	errors() (entry, sum float64)
	center() []float64
	release()
}

// pass is what is done on the way over the rows of a kernel: each gathers its sum Σ_j K_ij y_j, gets an x_i for it, and spreads x_i K_ij over the columns, while
// it is in the first cache. So a pass is an iteration of Gauss-Seidel, or the product with a plan and its transpose, at the price of reading the kernel once.
type pass struct {
	y       []float64                               // [m]; nil: no sums of rows
	x       func(lo, hi int, sums, x []float64) bool // writes x_i for the rows lo..hi; called in any order and at once; false ends the pass
	columns []float64                               // [m], Σ_i K_ij x_i; nil: not wanted
	precise bool                                    // sums are taken in short chains, for bounds
	squares *squares                                // not nil: entries are replaced before they are read
}

// squares makes the kernel at half the temperature of a stored one: with the scalings absorbed, its entries are the squares.
type squares struct{ u, v []float64 }

const (
	rowBlock     = 12  // rows that are read and read again while they are in a cache, a multiple of what the kernels of package vec take together
	preciseChain = 64  // numbers in a chain of additions of a precise pass
	partPairs    = 1 << 19 // pairs in a part of a pass, at least, when there are several
	maxParts     = 16
)

// dense is a kernel of all pairs.
type dense[K vec.Float] struct {
	n, m, stride int
	entries      entries[K]
	stored       []K // [n,stride]; nil: written anew
	y            []K // [stride]
	v            []K // [stride], of squares
	parts        []part[K]
}

// part is some of the rows, with sums of its own: how many there are depends on the shape alone, so that sums do not depend on threads.
type part[K vec.Float] struct {
	lo, hi  int
	columns []K       // [stride]
	wide    []float64 // [m], of a precise pass
	failed  bool
	dots, x [rowBlock]float64
	narrow  [rowBlock]K
}

func newDense[K vec.Float](n, m int, e entries[K], store bool) *dense[K] {
	k := &dense[K]{n: n, m: m, stride: pad(m), entries: e, y: make([]K, pad(m)), v: make([]K, pad(m))}
	count := max(1, min(maxParts, n*m/partPairs, n))
	if store {
		k.stored = newBuffer[K](n * k.stride)
	}
	for i := range count {
		k.parts = append(k.parts, part[K]{lo: i * n / count, hi: (i + 1) * n / count, columns: make([]K, k.stride)})
	}
	return k
}

func (k *dense[K]) absorb(ctx context.Context, f, g []float64, epsilon float64) error {
	k.entries.set(f, g, epsilon)
	if k.stored == nil {
		return nil
	}
	blocks := (k.n + rowBlock - 1) / rowBlock
	return parallel.Rows(ctx, blocks, rowBlock*k.stride*8, func(from, to int, gate *parallel.Gate) {
		for block := from; block < to; block++ {
			lo, hi := block*rowBlock, min(k.n, (block+1)*rowBlock)
			k.entries.write(k.stored[lo*k.stride:], k.stride, lo, hi, 0, k.stride)
		}
	})
}
