package entropic

import (
	"context"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// kernel is a Gibbs kernel K_ij = exp((f_i + g_j - C_ij)/ε) at potentials that were absorbed into it, whatever its number format, and whether its entries are
// stored or written anew for every pass. A plan is a_i u_i K_ij v_j b_j with scalings u and v.
type kernel interface {
	// absorb makes the entries those of these potentials. The error is the context's.
	absorb(ctx context.Context, f, g []float64, epsilon float64) error
	// pass goes once over the rows. ok is false where the pass ended itself; the error is the context's.
	pass(ctx context.Context, p pass) (ok bool, err error)
	// errors bounds the relative errors of an entry and of the sums of a precise pass.
	errors() (entry, sum float64)
	// smallest is the smallest entry that is not written as 0.
	smallest() float64
	// symmetric reports whether it is that of a cloud against itself of which half is kept: a pass has no columns then.
	symmetric() bool
	// strategy says how it is computed, for people.
	strategy() string
	// cheap reports whether absorb costs next to nothing, since nothing is stored.
	cheap() bool
	release()
}

// pass is what is done on the way over the rows of a kernel: each gathers Σ_j K_ij y_j, is given x_i for it, and spreads K_ij x_i over the columns while it is
// still in a cache. So an iteration of Gauss-Seidel, or a product with a plan and then its transpose, reads or writes the kernel once.
type pass struct {
	y       []float64                                // [M]; nil: no sums of rows
	x       func(lo, hi int, sums, x []float64) bool // writes x of the rows lo..hi; called in any order and at once; false ends the pass
	columns []float64                                // [M], for Σ_i K_ij x_i; nil: not wanted
	precise bool                                     // sums are taken in short chains, so that their rounding can be bounded
	squared *scalings                                // not nil: stored entries become the squares of u_i K_ij v_j first, those at half the temperature
}

// scalings are u and v, [N] and [M].
type scalings struct{ u, v []float64 }

const (
	rowBlock     = 12      // rows that are read, and read again while they are in a cache: a multiple of what the kernels of vec take at a time
	preciseChain = 64      // columns of a sum of a precise pass
	partPairs    = 1 << 18 // pairs in each of several parts of a pass, at least
	maxParts     = 16
)

// dense is a kernel of all pairs.
type dense[K vec.Float] struct {
	n, m, stride int
	entries      entries[K]
	stored       []K // [n,stride]; nil: written anew for every pass
	y, v         []K // [stride], padded with 0
	parts        []part[K]
	loop         *parallel.Loop // over the parts
	current      pass           // of the loop
}

// part is some of the rows, with column sums of their own. How many there are depends on the shape alone, so sums do not depend on threads.
type part[K vec.Float] struct {
	lo, hi  int
	columns []K       // [stride]
	total   []float64 // [M], of a precise pass
	ended   bool
	sums, x [rowBlock]float64
	narrow  [rowBlock]K
}

func newDense[K vec.Float](n, m int, e entries[K], store bool) *dense[K] {
	stride := strideOf(m)
	k := &dense[K]{n: n, m: m, stride: stride, entries: e, y: make([]K, stride), v: make([]K, stride)}
	if store {
		k.stored = newBuffer[K](n * k.stride)
	}
	count := max(1, min(maxParts, n*m/partPairs, n))
	for i := range count {
		lo, hi := i*n/count/rowBlock*rowBlock, (i+1)*n/count/rowBlock*rowBlock
		if i == count-1 {
			hi = n
		}
		k.parts = append(k.parts, part[K]{lo: lo, hi: hi, columns: make([]K, k.stride)})
	}
	k.loop = parallel.NewLoop(count, func(i int, gate *parallel.Gate) { k.parts[i].ended = !k.passPart(gate, &k.parts[i], k.current) })
	return k
}

func (k *dense[K]) cheap() bool { return k.stored == nil }

func (k *dense[K]) symmetric() bool { return false }

func (k *dense[K]) smallest() float64 { return smallestOf[K]() }

// smallestOf is the smallest normal number.
func smallestOf[K vec.Float]() float64 {
	if sizeOf[K]() == 4 {
		return 0x1p-126
	}
	return 0x1p-1022
}

func (k *dense[K]) strategy() string {
	if k.stored == nil {
		return k.entries.format() + ", written anew for every pass"
	}
	return k.entries.format() + ", stored"
}

func (k *dense[K]) release() {
	freeBuffer(k.stored)
	k.stored = nil
}

func (k *dense[K]) errors() (entry, sum float64) {
	return k.entries.relativeError() + 8*unitOf[K](), sumError[K](k.n + k.m)
}

// sumError bounds the relative error of a sum of a precise pass over some points: of short chains, added up in binary64.
func sumError[K vec.Float](points int) float64 {
	dot := preciseChain // roundings, in any order
	if sizeOf[K]() == 4 {
		dot = 10 // see vec.DotRows
	}
	return float64(max(dot, rowBlock)+4)*unitOf[K]() + Gamma(points+16)
}

func (k *dense[K]) absorb(ctx context.Context, f, g []float64, epsilon float64) error {
	k.entries.set(f, g, epsilon)
	if k.stored == nil {
		return nil
	}
	blocks := (k.n + rowBlock - 1) / rowBlock
	return parallel.Rows(ctx, blocks, rowBlock*k.entries.rowCost(), func(from, to int, gate *parallel.Gate) {
		for block := from; block < to; block++ {
			lo, hi := block*rowBlock, min(k.n, (block+1)*rowBlock)
			if !writeRows(gate, k.entries, k.stored[lo*k.stride:], k.stride, lo, hi, 0, k.stride) {
				return
			}
		}
	})
}

// writeRows writes a block of rows in runs of columns, and asks the gate between runs that add up to a tile.
func writeRows[K vec.Float](gate *parallel.Gate, e entries[K], dst []K, ld, lo, hi, from, to int) bool {
	run := max(segmentSize, parallel.TileCost*(to-from)/max(1, rowBlock*e.rowCost())/segmentSize*segmentSize)
	for at := from; at < to; at += run {
		if at > from && !gate.Open() {
			return false
		}
		e.write(dst[at-from:], ld, lo, hi, at, min(to, at+run))
	}
	return true
}

// copyPadded writes x in the format of dst, and 0 beyond it.
func copyPadded[K vec.Float](dst []K, x []float64) {
	for i, v := range x {
		dst[i] = K(v)
	}
	clear(dst[len(x):])
}

func (k *dense[K]) pass(ctx context.Context, p pass) (ok bool, err error) {
	if p.y != nil {
		copyPadded(k.y, p.y)
	}
	if p.squared != nil {
		copyPadded(k.v, p.squared.v)
	}
	for i := range k.parts {
		k.parts[i].ended = true
	}
	k.current = p
	err = k.loop.Run(ctx)
	clear(p.columns)
	for i := range k.parts {
		part := &k.parts[i]
		if part.ended {
			return false, err
		}
		switch {
		case p.columns == nil:
		case p.precise:
			floats.Add(p.columns, part.total)
		default:
			for j := range p.columns {
				p.columns[j] += float64(part.columns[j])
			}
		}
	}
	return true, err
}

func (k *dense[K]) passPart(gate *parallel.Gate, part *part[K], p pass) bool {
	var scratch []K
	if k.stored == nil {
		scratch = newBuffer[K](rowBlock * k.stride)
		defer freeBuffer(scratch)
	}
	clear(part.columns)
	if p.precise && p.columns != nil {
		part.total = make([]float64, k.m)
	}
	done := 0
	for lo := part.lo; lo < part.hi; lo += rowBlock {
		hi := min(part.hi, lo+rowBlock)
		if done += rowBlock * k.cost(); done > parallel.TileCost {
			if !gate.Open() {
				return false
			}
			done = 0
		}
		rows, ok := k.rows(gate, lo, hi, scratch)
		if !ok || !k.passBlock(part, p, lo, hi, rows) {
			return false
		}
	}
	return true
}

// cost is the work of a row of a pass, in units of [parallel.TileCost].
func (k *dense[K]) cost() int {
	if k.stored == nil {
		return k.entries.rowCost()
	}
	return k.stride / 4
}

// rows are the entries of the rows lo..hi.
func (k *dense[K]) rows(gate *parallel.Gate, lo, hi int, scratch []K) ([]K, bool) {
	if k.stored != nil {
		return k.stored[lo*k.stride : hi*k.stride], true
	}
	return scratch[:(hi-lo)*k.stride], writeRows(gate, k.entries, scratch, k.stride, lo, hi, 0, k.stride)
}

func (k *dense[K]) passBlock(part *part[K], p pass, lo, hi int, rows []K) bool {
	sums, x, narrow := part.sums[:hi-lo], part.x[:hi-lo], part.narrow[:hi-lo]
	if p.squared != nil {
		for i := range narrow {
			vec.SquareRow(rows[i*k.stride:(i+1)*k.stride], k.v, K(p.squared.u[lo+i]))
		}
	}
	if p.y != nil {
		sumRows(sums, narrow, rows, k.stride, k.y, p.precise)
	}
	if !p.x(lo, hi, sums, x) {
		return false
	}
	if p.columns == nil {
		return true
	}
	for i, v := range x {
		narrow[i] = K(v)
	}
	vec.AddRows(part.columns, narrow, rows, k.stride)
	if p.precise {
		for j := range part.total {
			part.total[j] += float64(part.columns[j])
		}
		clear(part.columns)
	}
	return true
}

// sumRows writes Σ_j k_ij y_j for a block of rows.
func sumRows[K vec.Float](sums []float64, narrow, rows []K, ld int, y []K, precise bool) {
	run := len(y)
	if precise {
		run = preciseChain
	}
	clear(sums)
	for from := 0; from < len(y); from += run {
		to := min(len(y), from+run)
		vec.DotRows(narrow, rows[from:], ld, y[from:to])
		for i, v := range narrow {
			sums[i] += float64(v)
		}
	}
}

// imageChain is how many points are added up in the format of the kernel.
const imageChain = 4096

// imager is a kernel that can be multiplied with points.
type imager interface {
	// images gives Σ_j K_ij w_j (y_j - center) of the rows lo..hi, [rows,D], and Σ_j K_ij w_j to the sink, in any order and at once. The error is the context's.
	images(ctx context.Context, w []float64, y *losses.Cloud, center []float64, sink func(lo, hi int, images, masses []float64)) error
}

func (k *dense[K]) images(ctx context.Context, w []float64, y *losses.Cloud, center []float64, sink func(lo, hi int, images, masses []float64)) error {
	d := y.D
	copyPadded(k.y, w)
	ld := (d + vec.ImagePad - 1) / vec.ImagePad * vec.ImagePad
	weighted := make([]K, k.m*ld)
	for j, v := range w {
		to := weighted[j*ld:][:d]
		for i, c := range y.X[j*d:][:d] {
			to[i] = K(v * (c - center[i]))
		}
	}
	blocks := (k.n + rowBlock - 1) / rowBlock
	return parallel.Rows(ctx, blocks, rowBlock*(k.entries.rowCost()+k.stride*d/4), func(from, to int, gate *parallel.Gate) {
		var scratch []K
		if k.stored == nil {
			scratch = newBuffer[K](rowBlock * k.stride)
			defer freeBuffer(scratch)
		}
		image, narrow := make([]K, rowBlock*ld), make([]K, rowBlock)
		images, masses := make([]float64, rowBlock*d), make([]float64, rowBlock)
		for block := from; block < to; block++ {
			lo, hi := block*rowBlock, min(k.n, (block+1)*rowBlock)
			rows, ok := k.rows(gate, lo, hi, scratch)
			if !ok {
				return
			}
			sumRows(masses[:hi-lo], narrow[:hi-lo], rows, k.stride, k.y, false)
			clear(images)
			for at := 0; at < k.m; at += imageChain {
				end := min(k.m, at+imageChain)
				clear(image)
				vec.Images(image, ld, rows[at:], k.stride, hi-lo, weighted[at*ld:end*ld], ld, end-at)
				for i := range hi - lo {
					for c, v := range image[i*ld : i*ld+d] {
						images[i*d+c] += float64(v)
					}
				}
			}
			sink(lo, hi, images[:(hi-lo)*d], masses[:hi-lo])
		}
	})
}
