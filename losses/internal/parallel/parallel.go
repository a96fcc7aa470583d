// Package parallel runs loops over rows on all processors, in tiles that depend on the shape of the problem alone, so that results do not depend on
// threads, and looks at the context between tiles.
package parallel

import (
	"context"
	"fmt"
	"runtime"
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

// Gate says whether work may go on. A loop inside a tile that is longer than TileCost asks it again.
type Gate struct {
	ctx    context.Context
	closed atomic.Bool
}

// Open counts a tile and reports whether it may be computed.
func (g *Gate) Open() bool {
	if g.closed.Load() {
		return false
	}
	if g.ctx.Err() != nil {
		g.closed.Store(true)
		return false
	}
	tiles.Add(1)
	return true
}

// Rows calls body for ranges that cover 0..n, each of at most TileCost operations or one row. The ranges run in any order and at once, so body writes to
// its own rows only. The error is the context's.
func Rows(ctx context.Context, n, costPerRow int, body func(lo, hi int, gate *Gate)) error {
	tile := max(1, TileCost/max(1, costPerRow))
	return run(ctx, (n+tile-1)/tile, func(i int, gate *Gate) { body(i*tile, min(n, (i+1)*tile), gate) })
}

// maxGroups bounds the partial sums of Groups.
const maxGroups = 32

// GroupCount is the number of groups that Groups cuts n rows into.
func GroupCount(n int) int { return min(n, maxGroups) }

// Groups cuts 0..n into GroupCount(n) ranges for loops that keep partial sums for each range, to be added in the order of the groups. body asks the gate
// between its tiles.
func Groups(ctx context.Context, n int, body func(group, lo, hi int, gate *Gate)) error {
	count := GroupCount(n)
	return run(ctx, count, func(i int, gate *Gate) { body(i, i*n/count, (i+1)*n/count, gate) })
}

// Do calls body on this goroutine, for work that cannot be cut into tiles and asks the gate itself.
func Do(ctx context.Context, body func(gate *Gate)) error {
	return run(ctx, 1, func(_ int, gate *Gate) { body(gate) })
}

// Each calls body for 0..n at once, for work that runs in parallel inside as well, and returns the first error by number.
func Each(ctx context.Context, n int, body func(i int) error) error { return AtMost(ctx, n, n, body) }

// AtMost is Each with at most that many at once, for work that takes memory while it runs.
func AtMost(ctx context.Context, most, n int, body func(i int) error) error {
	errs := make([]error, n)
	if err := runOn(ctx, most, n, func(i int, _ *Gate) { errs[i] = body(i) }); err != nil {
		return err
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// run calls body for 0..count on as many goroutines as there are processors. A panic in one of them is raised again where run was called, so that whoever
// recovers there sees it.
func run(ctx context.Context, count int, body func(i int, gate *Gate)) error {
	return runOn(ctx, count, count, body)
}

// runOn is run on at most that many goroutines.
func runOn(ctx context.Context, most, count int, body func(i int, gate *Gate)) error {
	gate := &Gate{ctx: ctx}
	var next atomic.Int64
	var crash atomic.Pointer[string]
	work := func() {
		defer func() {
			if r := recover(); r != nil {
				text := fmt.Sprintf("%v\n%s", r, debug.Stack())
				crash.CompareAndSwap(nil, &text)
				gate.closed.Store(true)
			}
		}()
		for {
			i := int(next.Add(1)) - 1
			if i >= count || !gate.Open() {
				return
			}
			body(i, gate)
		}
	}
	if workers := min(runtime.GOMAXPROCS(0), most, count); workers > 1 {
		var wait sync.WaitGroup
		for range workers {
			wait.Go(work)
		}
		wait.Wait()
	} else {
		work()
	}
	if text := crash.Load(); text != nil {
		panic(*text)
	}
	return ctx.Err()
}
