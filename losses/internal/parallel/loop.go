package parallel

import "context"

// Loop is a loop that runs again and again, as in an iteration, and allocates nothing where one goroutine is enough.
type Loop struct {
	run  run
	gate Gate
	own  request // without a mark in the context it is a request by itself
}

// NewLoop makes a loop over 0..count, with a body as of [Rows].
func NewLoop(count int, body func(i int, gate *Gate)) *Loop {
	return &Loop{run: run{count: count, body: body}}
}

// Run runs the loop, one run at a time. The error is the context's.
func (l *Loop) Run(ctx context.Context) error {
	r := &l.run
	r.ctx, r.request, r.slots = ctx, &l.own, Slots()
	if marked, ok := ctx.Value(requestKey{}).(*request); ok {
		r.request = marked
	}
	r.next.Store(0)
	r.closed.Store(false)
	r.crash.Store(nil)
	if min(r.slots, r.count) > 1 {
		return r.on(r.slots)
	}
	l.gate = Gate{run: r}
	r.workThrough(&l.gate)
	if text := r.crash.Load(); text != nil {
		panic(*text)
	}
	return ctx.Err()
}
