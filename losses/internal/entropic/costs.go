package entropic

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/memory"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// costs are C(x_i,y_j) between two clouds, in rows. They are stored where they fit the budget and computed again for every pass where they do not.
type costs[T vec.Float] struct {
	cost   vec.Cost
	n, d   int
	x      []T       // [n,d]
	packed []T       // y, dimension by dimension: [d,stride], y's last point again beyond it
	stride int       // y's points, rounded up to vec.Pad
	stored []T       // [n,stride], or nil
	center []float64 // what the points are relative to
	least  T         // costs below are raised to it
}

const (
	rowGroup    = 4   // rows whose costs are computed together, so that a column of y is loaded once for all
	segmentSize = 512 // columns of a row that are computed before they are used, so that they are still in the first cache
)

// pad rounds up to what the kernels take.
func pad(n int) int { return (n + vec.Pad - 1) / vec.Pad * vec.Pad }

func sizeOf[T vec.Float]() int {
	var v T
	if _, single := any(v).(float32); single {
		return 4
	}
	return 8
}

// newCosts packs the clouds and, if store is set, computes the costs. Points are taken relative to center; nil: as they are, which is what bounds need.
// The error is the context's.
func newCosts[T vec.Float](ctx context.Context, cost vec.Cost, x, y *losses.Cloud, center []float64, store bool) (*costs[T], error) {
	c := &costs[T]{cost: cost, n: x.N, d: x.D, x: make([]T, x.N*x.D), stride: pad(y.N)}
	if center == nil {
		center = make([]float64, c.d)
	}
	c.center = center
	for i, v := range x.X {
		c.x[i] = T(v - center[i%c.d])
	}
	c.packed = make([]T, c.d*c.stride)
	for j := range c.stride {
		point := y.X[min(j, y.N-1)*c.d:]
		for k := range c.d {
			c.packed[k*c.stride+j] = T(point[k] - center[k])
		}
	}
	if !store {
		return c, nil
	}
	return c, c.store(ctx)
}

// store computes the costs. The error is the context's.
func (c *costs[T]) store(ctx context.Context) error {
	stored := newBuffer[T](c.n * c.stride)
	groups := (c.n + rowGroup - 1) / rowGroup
	err := parallel.Rows(ctx, groups, rowGroup*c.stride*(c.d+8)/vectorSpeed, func(from, to int, gate *parallel.Gate) {
		for group := from; group < to; group++ {
			lo, hi := group*rowGroup, min(c.n, (group+1)*rowGroup)
			ok := c.eachSegment(gate, hi-lo, func(from, to int) { c.compute(stored[lo*c.stride+from:], c.stride, lo, hi, from, to) })
			if !ok {
				return
			}
		}
	})
	c.stored = stored
	return err
}

// compute writes the costs of the rows lo..hi in the columns from..to.
func (c *costs[T]) compute(dst []T, ld, lo, hi, from, to int) {
	vec.Costs(dst, ld, c.cost, c.x[lo*c.d:hi*c.d], hi-lo, c.d, c.packed[from:], c.stride, to-from)
}

// eachSegment calls body for runs of columns, padding included. Between runs that add up to a tile it asks the gate, and stops where that is closed.
func (c *costs[T]) eachSegment(gate *parallel.Gate, rows int, body func(from, to int)) bool {
	// In high dimensions a run is shorter, so that one is no longer than a tile.
	size := min(segmentSize, max(vec.Pad, parallel.TileCost*vectorSpeed/(rowGroup*(c.d+8))/vec.Pad*vec.Pad))
	done := 0
	for from := 0; from < c.stride; from += size {
		to := min(c.stride, from+size)
		if done += rows * (to - from) * (c.d + 8) / vectorSpeed; from > 0 && done > parallel.TileCost {
			if !gate.Open() {
				return false
			}
			done = 0
		}
		body(from, to)
	}
	return true
}

// release gives the stored costs back.
func (c *costs[T]) release() {
	freeBuffer(c.stored)
	c.stored = nil
}

// fits reports whether the costs between n and m points are stored: where they take no more than a quarter of the static budget, so that up to three such
// matrices and what is made of one do not exceed it.
func fits[T vec.Float](n, m int) bool { return costBytes[T](n, m) <= memory.Total()/4 }

func costBytes[T vec.Float](n, m int) int64 { return int64(n) * int64(pad(m)) * int64(sizeOf[T]()) }

// segments calls body for every row in runs of columns from lo on, padding included: the runs of one row in order, on one goroutine; rows in any order and
// at once. The error is the context's.
func (c *costs[T]) segments(ctx context.Context, body func(i, lo int, row []T)) error {
	return c.segmentsWith(ctx, func() func(i, lo int, row []T) { return body })
}

// segmentsWith does the same with a body for every tile, which may have scratch of its own.
func (c *costs[T]) segmentsWith(ctx context.Context, body func() func(i, lo int, row []T)) error {
	work := c.stride * (c.d + 8)
	if c.stored != nil {
		work = c.stride * 8
	}
	groups := (c.n + rowGroup - 1) / rowGroup
	return parallel.Rows(ctx, groups, rowGroup*work/vectorSpeed, func(from, to int, gate *parallel.Gate) {
		scratch, body := c.scratch(), body()
		defer freeBuffer(scratch)
		for group := from; group < to; group++ {
			lo, hi := group*rowGroup, min(c.n, (group+1)*rowGroup)
			if !c.group(gate, lo, hi, scratch, body) {
				return
			}
		}
	})
}

// grouped calls body for every row like segments, with scratch of a run, and with column sums, which it returns: the rows of a group in order on one
// goroutine, each group with sums of its own, added in the order of the groups.
func (c *costs[T]) grouped(ctx context.Context, columns int, body func(i, lo int, row, scratch, columns []T)) ([]float64, error) {
	partial := make([][]T, parallel.GroupCount(c.n))
	err := parallel.Groups(ctx, c.n, func(group, from, to int, gate *parallel.Gate) {
		sums, row, scratch := newBuffer[T](c.stride), c.scratch(), newBuffer[T](segmentSize)
		defer freeBuffer(row)
		defer freeBuffer(scratch)
		clear(sums)
		partial[group] = sums
		each := func(i, lo int, row []T) { body(i, lo, row, scratch[:len(row)], sums[lo:lo+len(row)]) }
		done := 0
		for lo := from; lo < to; lo += rowGroup {
			hi := min(to, lo+rowGroup)
			if done += (hi - lo) * c.stride * (c.d + 8) / vectorSpeed; done > parallel.TileCost {
				if !gate.Open() {
					return
				}
				done = 0
			}
			if !c.group(gate, lo, hi, row, each) {
				return
			}
		}
	})
	total := make([]float64, columns)
	for _, sums := range partial {
		if sums == nil {
			continue // the context ended before this group
		}
		for j := range total {
			total[j] += float64(sums[j])
		}
		freeBuffer(sums)
	}
	return total, err
}

// scratch is room for the costs of a group of rows, where they are not stored.
func (c *costs[T]) scratch() []T {
	if c.stored != nil {
		return nil
	}
	return newBuffer[T](rowGroup * segmentSize)
}

// vectorSpeed is how many elementary operations a kernel does in the time of one of plain code, at least: tiles are as long as the slowest kernel allows.
const vectorSpeed = 2

// group runs body over the rows lo..hi, or stops where the gate closes.
func (c *costs[T]) group(gate *parallel.Gate, lo, hi int, scratch []T, body func(i, lo int, row []T)) bool {
	return c.eachSegment(gate, hi-lo, func(from, to int) {
		if c.stored == nil {
			c.compute(scratch, segmentSize, lo, hi, from, to)
			raise(scratch, c.least)
		}
		for i := lo; i < hi; i++ {
			if c.stored != nil {
				body(i, from, c.stored[i*c.stride+from:i*c.stride+to])
			} else {
				body(i, from, scratch[(i-lo)*segmentSize:(i-lo)*segmentSize+to-from])
			}
		}
	})
}

// raise raises what is below least to it.
func raise[T vec.Float](x []T, least T) {
	if least == 0 {
		return
	}
	for i, v := range x {
		x[i] = max(v, least)
	}
}

// logSum is a sum of powers of two in the making: 2^max · sum.
type logSum struct{ max, sum float64 }

func emptyLogSum() logSum { return logSum{max: math.Inf(-1)} }

// add joins two sums.
func (s logSum) add(t logSum) logSum {
	if s.sum == 0 {
		return t
	}
	if t.sum == 0 {
		return s
	}
	if t.max > s.max {
		s, t = t, s
	}
	s.sum += t.sum * math.Exp2(t.max-s.max)
	return s
}

// log2 is the binary logarithm of the sum.
func (s logSum) log2() float64 { return s.max + math.Log2(s.sum) }
