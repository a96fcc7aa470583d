package parallel

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
)

// Loop is a loop that runs again and again, as in an iteration, with little to do in between. It allocates nothing where one goroutine is enough; where
// several are, those that helped with one run look out for the next for a moment, since waking one takes about as long as a short run.
type Loop struct {
	run  run
	gate Gate
	own  request // without a mark in the context it is a request by itself

	round    atomic.Uint32 // of Run
	helpers  atomic.Int32  // goroutines that help, or look out for the next round
	finished atomic.Int64  // tiles of this round
	parked   atomic.Bool   // Run waits in wake
	wake     chan struct{}
}

const (
	lookOuts = 10_000 // looks for the next round, some 10 ns each: it comes after a few short loops over vectors
	lookBack = 10_000 // looks for the last tile of a round, before Run goes to sleep
)

// NewLoop makes a loop over 0..count, with a body as of [Rows].
func NewLoop(count int, body func(i int, gate *Gate)) *Loop {
	return &Loop{run: run{count: count, body: body}, wake: make(chan struct{}, 1)}
}

// Run runs the loop, one run at a time. The error is the context's.
func (l *Loop) Run(ctx context.Context) error {
	if l.run.count == 0 {
		return ctx.Err()
	}
	l.begin(ctx)
	r := &l.run
	if spare := min(r.slots, r.count) - 1; spare > 0 {
		l.callHelp(spare)
	}
	l.gate = Gate{run: r}
	l.work(&l.gate)
	l.awaitTiles()
	if text := r.crash.Load(); text != nil {
		panic(*text)
	}
	return ctx.Err()
}

// begin resets the loop for a round. Helpers of the last one may still look at it, but read nothing else than these before they have a tile.
func (l *Loop) begin(ctx context.Context) {
	r := &l.run
	if ctx != r.ctx {
		for l.helpers.Load() > 0 {
			runtime.Gosched() // they are about to leave
		}
		r.ctx, r.request, r.slots = ctx, &l.own, Slots()
		if marked, ok := ctx.Value(requestKey{}).(*request); ok {
			r.request = marked
		}
	}
	r.closed.Store(false)
	r.crash.Store(nil)
	l.finished.Store(0)
	r.next.Store(0) // from here on there are tiles
	l.round.Add(1)
}

// callHelp sees that there are helpers, if there are slots for them.
func (l *Loop) callHelp(most int) {
	for int(l.helpers.Load()) < most && slots.spare() {
		l.helpers.Add(1)
		go l.help()
	}
}

// help works in round after round until one does not come soon.
func (l *Loop) help() {
	defer l.helpers.Add(-1)
	gate := &Gate{run: &l.run}
	for {
		round := l.round.Load()
		l.work(gate)
		for look := 0; l.round.Load() == round; look++ {
			if look == lookOuts || !slots.spare() {
				return
			}
			if look%16 == 15 {
				runtime.Gosched()
			}
		}
	}
}

// work computes tiles, with a slot, until none is left. Without a slot, because the context has ended, it only counts them.
func (l *Loop) work(gate *Gate) {
	r := &l.run
	gate.used = false
	if gate.held = slots.acquire(r); !gate.held && r.ctx.Err() == nil {
		return
	}
	for {
		i := int(r.next.Add(1)) - 1
		if i >= r.count {
			break
		}
		l.tile(i, gate)
		if int(l.finished.Add(1)) == r.count && l.parked.Swap(false) {
			l.wake <- struct{}{}
		}
	}
	if gate.held {
		slots.release(r)
	}
}

func (l *Loop) tile(i int, gate *Gate) {
	defer func() {
		if p := recover(); p != nil {
			text := fmt.Sprintf("%v\n%s", p, debug.Stack())
			l.run.crash.CompareAndSwap(nil, &text)
			l.run.closed.Store(true)
		}
	}()
	if gate.Open() {
		l.run.body(i, gate)
	}
}

// awaitTiles waits for the tiles that others compute.
func (l *Loop) awaitTiles() {
	count := int64(l.run.count)
	for look := range lookBack {
		if l.finished.Load() == count {
			return
		}
		if look%16 == 15 {
			runtime.Gosched()
		}
	}
	l.parked.Store(true)
	// Whoever finishes the last tile takes the mark down and wakes, unless that was before the mark.
	if l.finished.Load() == count && l.parked.Swap(false) {
		return
	}
	<-l.wake
}
