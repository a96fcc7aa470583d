package parallel

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// pool shares the processors out among everything that this process computes. Whoever computes a tile holds a slot, and there are as many as processors: the
// system's scheduler, which would let a computation run for 10 ms before another's turn, has nothing to decide. Between its tiles a computation hands its
// slot to a request that has fewer, so that a small request waits for a tile, not for a large request.
type pool struct {
	waiting atomic.Int32 // goroutines in line. While it is 0 a tile costs this look and nothing else
	busy    atomic.Int32 // slots in use, for a look without the mutex
	fixed   atomic.Int32 // slots; 0: as many as GOMAXPROCS

	mu   sync.Mutex
	used int
	line []*request // those with goroutines in line, the longest ago that had a turn first; empty unless all slots are used
}

// request is what the slots are fair between, whatever number of goroutines it has.
type request struct {
	running int // slots that it holds; guarded by the pool's mutex, as is
	line    []*waiter
}

// waiter is a goroutine in line.
type waiter struct {
	run  *run
	idle bool      // it has no tile yet, and may be sent away when there are none left
	turn chan bool // gets whether it has a slot
}

var slots pool

type requestKey struct{}

// Request marks what is computed under a context as one request. Without a mark every loop is one by itself.
func Request(ctx context.Context) context.Context {
	return context.WithValue(ctx, requestKey{}, &request{})
}

func requestOf(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// SetSlots sets how many tiles are computed at once; 0: as many as GOMAXPROCS, as it is from the start. It is for the start of a process.
func SetSlots(n int) { slots.fixed.Store(int32(n)) }

// Slots is the number of tiles that are computed at once.
func Slots() int {
	if n := int(slots.fixed.Load()); n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}

// acquire waits for a slot for a goroutine without a tile, and reports whether it came before the tiles were gone or the context ended.
func (p *pool) acquire(r *run) bool {
	p.mu.Lock()
	switch {
	case r.over():
		p.mu.Unlock()
		return false
	case p.used < r.slots && len(p.line) == 0:
		p.used++
		p.busy.Store(int32(p.used))
		r.request.running++
		p.mu.Unlock()
		return true
	}
	w := p.queue(r, true)
	p.mu.Unlock()
	return p.wait(w)
}

// release gives a slot back, to whoever has the next turn. If no tiles are left it sends those away who wait for one.
func (p *pool) release(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.over() {
		p.remove(r.request, func(w *waiter) bool { return w.run == r && w.idle })
	}
	r.request.running--
	p.back(r.request)
	if next := p.next(); next != nil {
		p.grant(next)
		return
	}
	p.used--
	p.busy.Store(int32(p.used))
}

// spare reports whether a slot is free, or was a moment ago.
func (p *pool) spare() bool { return p.waiting.Load() == 0 && int(p.busy.Load()) < Slots() }

// yield hands the slot to a request that has fewer, if one waits, and waits for the next turn. It reports whether the slot is held again, which it is not
// when the context ended.
func (p *pool) yield(r *run) bool {
	p.mu.Lock()
	next := p.next()
	if next == nil || next.running >= r.request.running {
		p.mu.Unlock()
		return true
	}
	r.request.running--
	w := p.queue(r, false) // before the other has its slot: it looks at the line without the lock
	p.grant(next)
	p.back(r.request)
	p.mu.Unlock()
	return p.wait(w)
}

// next is the request whose turn it is: that with the fewest slots, and of these the one that has waited longest. Nil: none waits.
func (p *pool) next() *request {
	var best *request
	for _, q := range p.line {
		if best == nil || q.running < best.running {
			best = q
		}
	}
	return best
}

// back puts a request that had a turn at the end of the line, if it has more goroutines in it.
func (p *pool) back(q *request) {
	if i := slices.Index(p.line, q); i >= 0 {
		p.line = append(slices.Delete(p.line, i, i+1), q)
	}
}

// grant gives a slot to the goroutine of q that has waited longest.
func (p *pool) grant(q *request) {
	w := q.line[0]
	p.back(q)
	if q.line = q.line[1:]; len(q.line) == 0 {
		p.line = p.line[:len(p.line)-1]
	}
	q.running++
	p.waiting.Add(-1)
	w.turn <- true
}

// queue puts this goroutine in line.
func (p *pool) queue(r *run, idle bool) *waiter {
	w := &waiter{run: r, idle: idle, turn: make(chan bool, 1)}
	if q := r.request; len(q.line) == 0 {
		p.line = append(p.line, q)
	}
	r.request.line = append(r.request.line, w)
	p.waiting.Add(1)
	return w
}

// wait waits for the turn, or for the end of the context.
func (p *pool) wait(w *waiter) bool {
	select {
	case got := <-w.turn:
		return got
	case <-w.run.ctx.Done():
	}
	p.mu.Lock()
	if slices.Contains(w.run.request.line, w) {
		p.remove(w.run.request, func(o *waiter) bool { return o == w })
		p.mu.Unlock()
		return false
	}
	p.mu.Unlock()
	got := <-w.turn // it came at the same time
	if got {
		p.release(w.run)
	}
	return false
}

// remove takes goroutines of q out of the line and tells them that they have no slot.
func (p *pool) remove(q *request, which func(*waiter) bool) {
	if len(q.line) == 0 {
		return
	}
	q.line = slices.DeleteFunc(q.line, func(w *waiter) bool {
		if !which(w) {
			return false
		}
		p.waiting.Add(-1)
		w.turn <- false
		return true
	})
	if len(q.line) == 0 {
		p.line = slices.DeleteFunc(p.line, func(o *request) bool { return o == q })
	}
}
