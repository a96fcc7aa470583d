package admission

import (
	"math"
	"slices"
	"time"
)

// line is the requests of one length: those that are computed and, behind them, those that wait. Turns are fair between callers by start times in virtual time
// (Goyal, Vin and Cheng 1996): a request starts, virtually, when its caller's one before has ended, and the earliest start is next.
type line struct {
	most  int   // at once
	bytes int64 // at most, of those that are computed; 0: there is no limit

	running int
	used    int64 // bytes
	queued  int
	virtual float64 // seconds; the start of the one that last had its turn
	turns   map[string]*turns
}

// turns are one caller's in a line.
type turns struct {
	end      float64 // in virtual time, of its last request
	waiting  []*Ticket
	comeback time.Time // when the last of its requests that were refused was told to come back
}

func newLine(most int, bytes int64) *line {
	return &line{most: most, bytes: bytes, turns: map[string]*turns{}}
}

// of are the turns of a caller.
func (l *line) of(caller string) *turns {
	t := l.turns[caller]
	if t == nil {
		l.forget()
		t = &turns{}
		l.turns[caller] = t
	}
	return t
}

// maxCallers is how many callers are remembered that have nothing waiting.
const maxCallers = 1 << 10

// forget lets go of callers that owe nothing and, when there are very many, of what the others owe.
func (l *line) forget() {
	if len(l.turns) < maxCallers {
		return
	}
	for _, owes := range []bool{false, true} {
		for name, t := range l.turns {
			if len(t.waiting) == 0 && (owes || t.end <= l.virtual) {
				delete(l.turns, name)
			}
		}
		if len(l.turns) < maxCallers/2 {
			return
		}
	}
}

// book gives a request its virtual times.
func (l *line) book(t *Ticket) {
	turns := l.of(t.request.Caller)
	t.start = math.Max(l.virtual, turns.end)
	turns.end = t.start + t.likely.Seconds()
}

// room reports whether a request can be computed beside those that are.
func (l *line) room(t *Ticket) bool {
	return l.running < l.most && (l.bytes == 0 || l.used+t.total() <= l.bytes)
}

// begin counts a request that has its turn.
func (l *line) begin(t *Ticket) {
	l.virtual = math.Max(l.virtual, t.start)
	l.running++
	l.used += t.total()
}

// push puts a request at the end of its caller's.
func (l *line) push(t *Ticket) {
	turns := l.of(t.request.Caller)
	turns.waiting = append(turns.waiting, t)
	l.queued++
}

// unbook gives back the virtual time of a request that does not get its turn.
func (l *line) unbook(t *Ticket) { l.of(t.request.Caller).end -= t.likely.Seconds() }

// remove takes a request out of the line.
func (l *line) remove(t *Ticket) {
	turns := l.of(t.request.Caller)
	i := slices.Index(turns.waiting, t)
	turns.waiting = slices.Delete(turns.waiting, i, i+1)
	l.queued--
}

// next is the request whose turn is next, if it can be computed now; nil: none. Nobody overtakes it because it is large: it would wait for ever.
func (l *line) next() *Ticket {
	if l.queued == 0 || l.running >= l.most {
		return nil
	}
	var first *Ticket
	for _, turns := range l.turns {
		if len(turns.waiting) == 0 {
			continue
		}
		if t := turns.waiting[0]; first == nil || t.start < first.start || t.start == first.start && t.number < first.number {
			first = t
		}
	}
	if !l.room(first) {
		return nil
	}
	return first
}

// waiters is how many callers wait.
func (l *line) waiters() int {
	n := 0
	for _, turns := range l.turns {
		if len(turns.waiting) > 0 {
			n++
		}
	}
	return n
}

// leastWait is how long a caller's next request waits even if all before it are lucky and each of them leaves processors idle.
func (l *line) leastWait(caller string, processors int) time.Duration {
	turns := l.turns[caller]
	if turns == nil {
		return 0
	}
	var sum time.Duration
	for _, t := range turns.waiting {
		sum += t.least
	}
	return sum / time.Duration(min(l.most, processors))
}
