package entropic

import (
	"context"
	"math"

	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// pairs are softmins in the log domain, whatever number format they are in and whether costs are stored or not: for fixed schedules, and for where no kernel
// holds the sums of an iteration.
type pairs interface {
	// softminRows writes f_i = -ε log Σ_j b_j exp((g_j - C_ij)/ε).
	softminRows(ctx context.Context, f, g []float64, epsilon float64) error
	// softminColumns writes g_j = -ε log Σ_i a_i exp((f_i - C_ij)/ε).
	softminColumns(ctx context.Context, g, f []float64, epsilon float64) error
	// release gives back what is stored. Nothing else may be called after it.
	release()
}

// scores are pairs in one number format.
type scores[T vec.Float] struct {
	problem Problem
	a, b    side
	ab      *costs[T]
	ba      *costs[T] // columns as rows; nil: ab is stored and its columns are read where they are
	hb      []T       // heights of b, [ab.stride], -Inf beyond its points
	ha      []T       // heights of a, padded likewise
	sums    []logSum  // of rows or columns, in the making

	// In place of all of these, where nothing is stored and the cost is one of products: rows against columns and back.
	rows, columns *products[T]
}

// newScores computes the costs, if they are to be stored. The error is the context's.
func newScores[T vec.Float](ctx context.Context, p Problem, store bool) (*scores[T], error) {
	s := &scores[T]{problem: p, a: newSide(p.A), b: newSide(p.B), sums: make([]logSum, max(p.A.N, pad(p.B.N)))}
	if !store && p.byProducts() {
		s.rows, s.columns = newProducts[T](p.A, p.B), newProducts[T](p.B, p.A)
		return s, ctx.Err()
	}
	s.hb, s.ha = heightsFor[T](p.B.N), heightsFor[T](p.A.N)
	center := Mean(p.B)
	var err error
	if s.ab, err = newCosts[T](ctx, p.Cost, p.A, p.B, center, store); err != nil {
		return s, err
	}
	s.ab.least = T(p.Nearest)
	raise(s.ab.stored, s.ab.least)
	if store {
		return s, nil
	}
	if s.ba, err = newCosts[T](ctx, p.Cost, p.B, p.A, center, false); err == nil {
		s.ba.least = T(p.Nearest)
	}
	return s, err
}

// heightsFor returns padded heights that add nothing.
func heightsFor[T vec.Float](n int) []T {
	h := make([]T, pad(n))
	for i := range h {
		h[i] = T(math.Inf(-1))
	}
	return h
}

// setHeights writes (g_j/ε + log b_j) log₂e, the height of a column in a softmin with powers of two.
func setHeights[T vec.Float](h []T, s side, g []float64, epsilon float64) {
	for j, v := range g {
		h[j] = T((v/epsilon + s.logW[j]) * math.Log2E)
	}
}

func (s *scores[T]) softminRows(ctx context.Context, f, g []float64, epsilon float64) error {
	if s.rows != nil {
		return s.rows.softmin(ctx, f, g, s.b.logW, epsilon, s.sums[:s.a.N])
	}
	setHeights(s.hb, s.b, g, epsilon)
	return softminOf(ctx, s.ab, f, s.hb, s.sums[:s.a.N], epsilon)
}

// softminOf writes the softmin of each row of c.
func softminOf[T vec.Float](ctx context.Context, c *costs[T], f []float64, h []T, sums []logSum, epsilon float64) error {
	for i := range sums {
		sums[i] = emptyLogSum()
	}
	scale := T(math.Log2E / epsilon)
	err := c.segments(ctx, func(i, lo int, row []T) {
		top, sum := vec.LogSumRow(row, h[lo:lo+len(row)], scale)
		sums[i] = sums[i].add(logSum{float64(top), float64(sum)})
	})
	for i, sum := range sums {
		f[i] = -epsilon * math.Ln2 * sum.log2()
	}
	return err
}

func (s *scores[T]) softminColumns(ctx context.Context, g, f []float64, epsilon float64) error {
	if s.columns != nil {
		return s.columns.softmin(ctx, g, f, s.a.logW, epsilon, s.sums[:s.b.N])
	}
	setHeights(s.ha, s.a, f, epsilon)
	if s.ba != nil {
		return softminOf(ctx, s.ba, g, s.ha, s.sums[:s.b.N], epsilon)
	}
	const block = 256 // columns whose sums stay in registers and the first cache
	scale := T(math.Log2E / epsilon)
	n, stride := s.ab.n, s.ab.stride
	blocks := (stride + block - 1) / block
	err := parallel.Rows(ctx, blocks, n*block*8/vectorSpeed, func(from, to int, gate *parallel.Gate) {
		top, sum := make([]T, block), make([]T, block)
		for k := from; k < to; k++ {
			lo, hi := k*block, min(stride, (k+1)*block)
			if !s.columnBlock(gate, lo, hi, top, sum, scale) {
				return
			}
		}
	})
	for j := range g {
		g[j] = -epsilon * math.Ln2 * s.sums[j].log2()
	}
	return err
}

// rowChunk is the number of rows that are summed in T before the sum goes into binary64.
const rowChunk = 256

// columnBlock sums the columns lo..hi over all rows.
func (s *scores[T]) columnBlock(gate *parallel.Gate, lo, hi int, top, sum []T, scale T) bool {
	for j := lo; j < hi; j++ {
		s.sums[j] = emptyLogSum()
	}
	for from := 0; from < s.ab.n; from += rowChunk {
		if from > 0 && !gate.Open() {
			return false
		}
		to := min(s.ab.n, from+rowChunk)
		vec.InitLogSum(top[:hi-lo], sum[:hi-lo])
		vec.LogSumColumns(top[:hi-lo], sum[:hi-lo], s.ab.stored[from*s.ab.stride+lo:], s.ab.stride, to-from, hi-lo, s.ha[from:to], scale)
		for j := lo; j < hi; j++ {
			s.sums[j] = s.sums[j].add(logSum{float64(top[j-lo]), float64(sum[j-lo])})
		}
	}
	return true
}

func (s *scores[T]) release() {
	if s.ab != nil {
		s.ab.release()
	}
}
