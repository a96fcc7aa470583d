// Package parallel runs loops over rows on all processors, in tiles that depend on the shape of the problem alone, so that results do not depend on
// threads, and looks at the context between tiles.
package parallel

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// TileCost is the work of a tile in elementary operations, about a millisecond of plain loops: the most that is done between two looks at a context.
const TileCost = 1 << 20

// tiles counts the tiles that were started by this process. Tests use it to see that cancelled work stops.
var tiles atomic.Int64

// Tiles is the number of tiles that were started by this process.
func Tiles() int64 { return tiles.Load() }

// Gate says whether work may go on. A loop inside a tile that is longer than TileCost asks it again. It belongs to the goroutine that the body runs on.
type Gate struct {
	run  *run
	held bool // this goroutine holds a slot
	used bool // and has computed a tile with it
}

// Open counts a tile and reports whether it may be computed. Other requests may have their turn before it returns.
func (g *Gate) Open() bool {
	if g.used && g.held && slots.waiting.Load() > 0 {
		g.held = slots.yield(g.run) // unless the context ended, of which the next line
	}
	if g.run.ctx.Err() != nil {
		g.run.closed.Store(true)
	}
	if g.run.closed.Load() {
		return false
	}
	tiles.Add(1)
	g.used = true
	return true
}

// Rows calls body for ranges that cover 0..n, each of at most TileCost operations or one row. The ranges run in any order and at once, so body writes to
// its own rows only. The error is the context's.
func Rows(ctx context.Context, n, costPerRow int, body func(lo, hi int, gate *Gate)) error {
	tile := max(1, TileCost/max(1, costPerRow))
	return loop(ctx, (n+tile-1)/tile, func(i int, gate *Gate) { body(i*tile, min(n, (i+1)*tile), gate) })
}

// maxGroups bounds the partial sums of Groups.
const maxGroups = 32

// GroupCount is the number of groups that Groups cuts n rows into.
func GroupCount(n int) int { return min(n, maxGroups) }

// Groups cuts 0..n into GroupCount(n) ranges for loops that keep partial sums for each range, to be added in the order of the groups. body asks the gate
// between its tiles.
func Groups(ctx context.Context, n int, body func(group, lo, hi int, gate *Gate)) error {
	count := GroupCount(n)
	return loop(ctx, count, func(i int, gate *Gate) { body(i, i*n/count, (i+1)*n/count, gate) })
}

// Do calls body on this goroutine, for work that cannot be cut into tiles and asks the gate itself.
func Do(ctx context.Context, body func(gate *Gate)) error {
	return loop(ctx, 1, func(_ int, gate *Gate) { body(gate) })
}

// Each calls body for 0..n at once, for work that runs in parallel inside as well, and returns the first error by number. Its bodies hold no slot while the
// loops inside wait for theirs: what takes long belongs into such a loop, or into Do.
func Each(ctx context.Context, n int, body func(i int) error) error { return AtMost(ctx, n, n, body) }

// AtMost is Each with at most that many at once, for work that takes memory while it runs.
func AtMost(ctx context.Context, most, n int, body func(i int) error) error {
	errs := make([]error, n)
	r := &run{ctx: ctx, count: n, body: func(i int, _ *Gate) { errs[i] = body(i) }}
	if err := r.on(min(Slots(), most)); err != nil {
		return err
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// loop calls body for 0..count on as many goroutines as there are slots, each of which holds one while it computes. A body calls no loop of this package:
// it would wait for slots with one in its hand.
func loop(ctx context.Context, count int, body func(i int, gate *Gate)) error {
	r := &run{ctx: ctx, count: count, body: body, request: requestOf(ctx), slots: Slots()}
	return r.on(r.slots)
}

// run is one loop while it runs.
type run struct {
	ctx     context.Context
	count   int
	body    func(i int, gate *Gate)
	request *request // nil: the bodies hold no slots
	slots   int      // of the pool

	next   atomic.Int64
	closed atomic.Bool // no more tiles
	crash  atomic.Pointer[string]
}

// over reports whether no tile is left to begin.
func (r *run) over() bool { return r.closed.Load() || int(r.next.Load()) >= r.count }

// on runs the loop on at most that many goroutines, this one among them. A panic in one of them is raised again here, so that whoever recovers here sees
// it.
func (r *run) on(most int) error {
	var others sync.WaitGroup
	for range min(most, r.count) - 1 {
		others.Go(r.work)
	}
	r.work()
	others.Wait()
	if text := r.crash.Load(); text != nil {
		panic(*text)
	}
	return r.ctx.Err()
}

// work computes tiles until none is left.
func (r *run) work() {
	gate := &Gate{run: r}
	if r.request != nil {
		if gate.held = slots.acquire(r); !gate.held {
			return
		}
	}
	defer func() {
		if p := recover(); p != nil {
			text := fmt.Sprintf("%v\n%s", p, debug.Stack())
			r.crash.CompareAndSwap(nil, &text)
			r.closed.Store(true)
		}
		if gate.held {
			slots.release(r)
		}
	}()
	for {
		i := int(r.next.Add(1)) - 1
		if i >= r.count || !gate.Open() {
			return
		}
		r.body(i, gate)
	}
}
