package admission

import "time"

// Ticket is a request that waits or has its turn.
type Ticket struct {
	controller *Controller
	request    Request
	number     uint64 // of arrival
	line       *line
	likely     time.Duration
	least      time.Duration
	deadline   time.Time
	bounded    bool       // there is a deadline
	turn       chan error // gets nil when the turn has come; nil: it came at once
	start      float64    // in the line's virtual time

	// Guarded by the controller's mutex:
	state  state
	shared time.Duration // the controller's, at the beginning
	answer int64         // bytes of it, until they are taken
}

type state int

const (
	waiting state = iota
	running
	computed
	done
)

func (t *Ticket) total() int64 { return t.request.Input + t.request.Memory }

// Computed ends the turn: the answer is there, and holds as many bytes until Done. Its time teaches what such requests take.
func (t *Ticket) Computed(answer int64) {
	c := t.controller
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.state != running {
		return
	}
	c.end(t)
	c.speeds.learn(t.request, c.shared-t.shared)
	t.state, t.answer = computed, answer
	c.left += answer
	c.dispatch()
}

// Done gives back everything that is counted for the request, however it ended. Only the first call counts.
func (t *Ticket) Done() {
	c := t.controller
	c.mu.Lock()
	defer c.mu.Unlock()
	switch t.state {
	case running:
		c.end(t)
	case computed:
		c.left -= t.answer
	}
	t.state = done
	c.dispatch()
}

// pass lets time go by until now: it is divided evenly among what is computed.
func (c *Controller) pass(now time.Time) {
	if n := c.small.running + c.large.running; n > 0 {
		c.shared += now.Sub(c.tick) / time.Duration(n)
	}
	c.tick = now
}

func (c *Controller) begin(t *Ticket, now time.Time) {
	c.pass(now)
	t.line.begin(t)
	t.state, t.shared = running, c.shared
}

func (c *Controller) end(t *Ticket) {
	c.pass(time.Now())
	t.line.running--
	t.line.used -= t.total()
}

// leave takes a request out of the queue.
func (c *Controller) leave(t *Ticket) {
	t.line.remove(t)
	c.held -= t.request.Input
	if caller := t.request.Caller; c.queued[caller] > 1 {
		c.queued[caller]--
	} else {
		delete(c.queued, caller)
	}
	t.state = done
}

// dispatch gives turns to those that wait, as long as there is room.
func (c *Controller) dispatch() {
	for _, l := range []*line{c.small, c.large} {
		for t := l.next(); t != nil; t = l.next() {
			now := time.Now()
			c.leave(t)
			if refusal := c.late(t, 0, now); refusal != nil {
				l.unbook(t)
				t.turn <- refusal
				continue
			}
			c.begin(t, now)
			t.turn <- nil
		}
	}
}
