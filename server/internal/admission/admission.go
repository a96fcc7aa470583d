package admission

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Request is what is known of a request before it is computed.
type Request struct {
	Caller     string  // who turns are fair between
	Kind       string  // what is computed: the names of losses
	Pairs      float64 // of points, that one iteration visits
	Iterations int     // at most
	Input      int64   // bytes that it holds while it waits and while it is computed
	Memory     int64   // bytes that computing it takes beside them
}

// Limits bound what is computed and what waits. All of them are positive but Bytes.
type Limits struct {
	Small, Large int           // requests computed at once: those of at most SmallTime and, beside them, the others
	PerCaller    int           // requests that wait, of one caller
	Queued       int           // of all callers
	Wait         time.Duration // the longest wait
	Bytes        int64         // memory for all requests; 0: there is no limit
	Processors   int           // that compute
}

// SmallTime is what a request takes at most to be a short one.
const SmallTime = 20 * time.Millisecond

// Of the bytes, an eighth is for what waits, an eighth for short requests and the rest for long ones, so that none of them takes the others' room.
const shares = 8

// Most is the most bytes that one request may need; 0: there is no limit.
func (l Limits) Most() int64 { return l.Bytes - 2*l.share() }

func (l Limits) share() int64 { return l.Bytes / shares }

// Reason is why a request is refused.
type Reason int

// The reasons.
const (
	QueueFull  Reason = iota // as many wait as may
	QueueWait                // its turn would come, or has come, later than the longest wait
	QueueBytes               // what waits holds as many bytes as it may
	TooMuch                  // it needs more bytes than it could ever have
	TooLate                  // it would not be done before its deadline
)

// Refusal is an error that says why a request is not computed.
type Refusal struct {
	Reason Reason
	Text   string
	Retry  time.Duration // after which another try may be worth it; 0: none is
}

func (r *Refusal) Error() string { return r.Text }

// Load is what there is to do.
type Load struct {
	RunningSmall, RunningLarge int
	QueuedSmall, QueuedLarge   int
	Bytes                      int64 // of what waits, of what is computed, and of answers that are not taken yet
}

// Controller admits requests.
type Controller struct {
	limits Limits

	mu     sync.Mutex
	small  *line
	large  *line
	speeds *speeds
	number uint64 // of the last request
	queued map[string]int
	held   int64 // bytes of what waits
	left   int64 // bytes of answers that are not taken yet
	// shared is the time that a request would have had which was computed all the while, with its part of the machine beside the others. It is kept up to the
	// moment tick.
	shared time.Duration
	tick   time.Time
}

// New makes a controller.
func New(limits Limits) *Controller {
	share := limits.share()
	return &Controller{
		limits: limits,
		small:  newLine(limits.Small, share),
		large:  newLine(limits.Large, limits.Most()),
		speeds: newSpeeds(),
		queued: map[string]int{},
	}
}

// Load tells what there is to do now.
func (c *Controller) Load() Load {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Load{
		RunningSmall: c.small.running, RunningLarge: c.large.running,
		QueuedSmall: c.small.queued, QueuedLarge: c.large.queued,
		Bytes: c.held + c.left + c.small.used + c.large.used,
	}
}

// Admit waits for the request's turn. The error is a *[Refusal], or the context's cause: who is cancelled leaves the queue at once. Else the ticket is to be
// given back by Done.
func (c *Controller) Admit(ctx context.Context, r Request) (*Ticket, error) {
	t, err := c.enter(ctx, r)
	if err != nil || t.turn == nil {
		return t, err
	}
	timer := time.NewTimer(c.limits.Wait)
	defer timer.Stop()
	select {
	case err = <-t.turn:
	case <-ctx.Done():
		err = c.abandon(ctx, t)
	case <-timer.C:
		err = c.abandon(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// abandon takes a request out of the queue that has waited too long or was cancelled, and returns why; nil: its turn has just come.
func (c *Controller) abandon(ctx context.Context, t *Ticket) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.state != waiting {
		return <-t.turn
	}
	c.leave(t)
	t.line.unbook(t)
	c.dispatch() // one behind it may fit where it did not
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &Refusal{QueueWait, fmt.Sprintf("it has waited %v for its turn, want at most that", c.limits.Wait), c.retry(t)}
}

// enter begins a request, or puts it in line, or refuses it.
func (c *Controller) enter(ctx context.Context, r Request) (*Ticket, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	t := c.ticket(r)
	t.deadline, t.bounded = ctx.Deadline()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if refusal := c.impossible(t, now); refusal != nil {
		return nil, refusal
	}
	if t.line.queued == 0 && t.line.room(t) {
		t.line.book(t)
		c.begin(t, now)
		return t, nil
	}
	if refusal := c.full(t); refusal != nil {
		return nil, refusal
	}
	t.turn = make(chan error, 1)
	t.line.book(t)
	t.line.push(t)
	c.queued[r.Caller]++
	c.held += r.Input
	return t, nil
}

// ticket makes a request's, in the line for its length.
func (c *Controller) ticket(r Request) *Ticket {
	c.number++
	t := &Ticket{controller: c, request: r, number: c.number, likely: c.speeds.likely(r), least: c.speeds.least(r), line: c.small}
	if t.likely > SmallTime || c.limits.Bytes > 0 && t.total() > c.limits.share() {
		t.line = c.large
	}
	return t
}

// impossible refuses what could not be answered however long it waited.
func (c *Controller) impossible(t *Ticket, now time.Time) error {
	if most := c.limits.Most(); c.limits.Bytes > 0 && t.total() > most {
		return &Refusal{TooMuch, fmt.Sprintf("it needs about %d bytes of memory, want at most %d, which is what there is for one request", t.total(), most), 0}
	}
	return c.late(t, t.line.leastWait(t.request.Caller, c.limits.Processors), now)
}

// late refuses a request that cannot be answered before its deadline even if it and what is before it, which takes as long as wait, are lucky.
func (c *Controller) late(t *Ticket, wait time.Duration, now time.Time) error {
	if !t.bounded {
		return nil
	}
	left := max(0, t.deadline.Sub(now))
	if wait+t.least <= left || t.least > left && c.speeds.tryHopeless(t.request) {
		return nil
	}
	return &Refusal{TooLate, fmt.Sprintf("it would take at least %v, %v of that in the queue, and its deadline leaves %v",
		round(wait+t.least), round(wait), round(left)), 0}
}

// full refuses what has no place in the queue.
func (c *Controller) full(t *Ticket) error {
	mine, all := c.queued[t.request.Caller], c.small.queued+c.large.queued
	switch {
	case mine >= c.limits.PerCaller:
		return &Refusal{QueueFull, fmt.Sprintf("%d requests of this caller wait for their turn, want at most %d", mine, c.limits.PerCaller), c.retry(t)}
	case all >= c.limits.Queued:
		return &Refusal{QueueFull, fmt.Sprintf("%d requests wait for their turn, want at most %d", all, c.limits.Queued), c.retry(t)}
	case c.limits.Bytes > 0 && c.held+c.left+t.request.Input > c.limits.share():
		return &Refusal{QueueBytes, fmt.Sprintf("what waits holds %d bytes, and this has %d, want at most %d together",
			c.held+c.left, t.request.Input, c.limits.share()), c.retry(t)}
	}
	if wait := t.line.leastWait(t.request.Caller, c.limits.Processors); wait > c.limits.Wait {
		return &Refusal{QueueWait, fmt.Sprintf("its turn would come in %v at best, want at most %v", round(wait), c.limits.Wait), c.retry(t)}
	}
	return nil
}

// Bounds of the time after which a refused request may come back.
const (
	shortestRetry = 10 * time.Millisecond
	longestRetry  = 10 * time.Second
)

// retry is when a refused request is to come back. A caller's come back one after the other, as fast as such requests are answered beside what other callers
// have: if all of them came with the first, all but one would be refused again.
func (c *Controller) retry(t *Ticket) time.Duration {
	now, turns := time.Now(), t.line.of(t.request.Caller)
	if turns.comeback.Before(now) {
		turns.comeback = now
	}
	turns.comeback = turns.comeback.Add(min(t.likely, longestRetry) * time.Duration(max(1, t.line.waiters())))
	if latest := now.Add(longestRetry); turns.comeback.After(latest) {
		turns.comeback = latest
	}
	return max(shortestRetry, turns.comeback.Sub(now))
}

// round is a duration with as many digits as an estimate is worth.
func round(d time.Duration) time.Duration {
	for unit := time.Microsecond; unit < time.Second; unit *= 10 {
		if d < 100*unit {
			return d.Round(unit)
		}
	}
	return d.Round(time.Second / 10)
}
