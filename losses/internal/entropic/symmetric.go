package entropic

import (
	"context"

	"gonum.org/v1/gonum/floats"

	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// symmetric is the stored kernel of a cloud against itself at equal potentials: of each block of Pad rows the columns from the diagonal on, so half the
// entries are computed, kept and read.
type symmetric[K vec.Float] struct {
	n, stride int
	entries   entries[K]
	stored    []K
	y         []K // [stride], padded with 0
	parts     []part[K]
	sums      []float64 // [N]
	loop      *parallel.Loop
	current   pass
}

func newSymmetric[K vec.Float](n int, e entries[K]) *symmetric[K] {
	k := &symmetric[K]{n: n, stride: pad(n), entries: e, y: make([]K, pad(n)), sums: make([]float64, n)}
	blocks := k.stride / vec.Pad
	k.stored = newBuffer[K](k.start(blocks))
	// Parts of about as many pairs each.
	count := max(1, min(maxParts, n*n/2/partPairs, blocks))
	for i, lo := 0, 0; i < count; i++ {
		hi := lo
		for hi < blocks && (i == count-1 || k.start(hi) < k.start(blocks)*(i+1)/count) {
			hi++
		}
		k.parts = append(k.parts, part[K]{lo: lo, hi: hi, columns: make([]K, k.stride)})
		lo = hi
	}
	k.loop = parallel.NewLoop(count, func(i int, gate *parallel.Gate) { k.sumPart(gate, &k.parts[i], k.current, k.sums) })
	return k
}

// triangle is the number of stored entries of a symmetric kernel.
func triangle(n int) int {
	blocks := pad(n) / vec.Pad
	return vec.Pad * vec.Pad * blocks * (blocks + 1) / 2
}

// start is where the block's entries begin.
func (k *symmetric[K]) start(block int) int { return triangle(k.n) - triangle(k.n-block*vec.Pad) }

// rows are the entries of a block, from the first column of it on, and how far apart its rows are.
func (k *symmetric[K]) rows(block int) (rows []K, ld int) {
	return k.stored[k.start(block):k.start(block+1)], k.stride - block*vec.Pad
}

func (k *symmetric[K]) cheap() bool { return false }

func (k *symmetric[K]) symmetric() bool { return true }

func (k *symmetric[K]) smallest() float64 { return smallestOf[K]() }

func (k *symmetric[K]) strategy() string { return k.entries.format() + ", half of it stored" }

func (k *symmetric[K]) release() {
	freeBuffer(k.stored)
	k.stored = nil
}

func (k *symmetric[K]) errors() (entry, sum float64) {
	return k.entries.relativeError() + 8*unitOf[K](), sumError[K](2 * k.n)
}

func (k *symmetric[K]) absorb(ctx context.Context, f, g []float64, epsilon float64) error {
	k.entries.set(f, g, epsilon)
	blocks := k.stride / vec.Pad
	return parallel.Rows(ctx, blocks, vec.Pad*k.entries.rowCost(), func(from, to int, gate *parallel.Gate) {
		for block := from; block < to; block++ {
			rows, ld := k.rows(block)
			first := block * vec.Pad
			for lo := first; lo < min(k.n, first+vec.Pad); lo += rowBlock {
				hi := min(k.n, first+vec.Pad, lo+rowBlock)
				if !writeRows(gate, k.entries, rows[(lo-first)*ld:], ld, lo, hi, first, k.stride) {
					return
				}
			}
		}
	})
}

// pass gives every row its whole sum, so it takes no columns.
func (k *symmetric[K]) pass(ctx context.Context, p pass) (ok bool, err error) {
	copyPadded(k.y, p.y)
	k.current = p
	if err := k.loop.Run(ctx); err != nil {
		return false, err
	}
	sums := k.sums
	for i := range k.parts {
		part := &k.parts[i]
		if p.precise {
			floats.Add(sums, part.total)
			continue
		}
		for j := range sums {
			sums[j] += float64(part.columns[j])
		}
	}
	return p.x(0, k.n, sums, nil), nil
}

// sumPart writes what the stored entries of a row add to its own sum, and gathers what they add to those of their columns.
func (k *symmetric[K]) sumPart(gate *parallel.Gate, part *part[K], p pass, sums []float64) {
	clear(part.columns)
	if p.precise {
		part.total = make([]float64, k.n)
	}
	done := 0
	for block := part.lo; block < part.hi; block++ {
		if done += vec.Pad * k.stride / 4; done > parallel.TileCost {
			if !gate.Open() {
				return
			}
			done = 0
		}
		rows, ld := k.rows(block)
		lo := block * vec.Pad
		hi, next := min(k.n, lo+vec.Pad), lo+vec.Pad
		count := hi - lo
		// A few rows at a time, while they are in the first cache.
		for at := 0; at < count; at += rowBlock {
			end := min(count, at+rowBlock)
			sumRows(sums[lo+at:lo+end], part.narrow[:end-at], rows[at*ld:end*ld], ld, k.y[lo:], p.precise)
			if ld > vec.Pad {
				vec.AddRows(part.columns[next:], k.y[lo+at:lo+end], rows[at*ld+vec.Pad:end*ld], ld)
			}
			if p.precise {
				for j := next; j < k.n; j++ {
					part.total[j] += float64(part.columns[j])
				}
				clear(part.columns[next:])
			}
		}
	}
}
