package admission

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func near(got, want time.Duration) bool { return math.Abs(got.Seconds()/want.Seconds()-1) < 1e-6 }

// A request that was computed is known; others of its kind are guessed from it, then those of other kinds.
func TestSpeedsAreLearnt(t *testing.T) {
	s := newSpeeds()
	a := Request{Kind: "a", Pairs: 1e6, Iterations: 100}
	if got := s.likely(a); !near(got, 20*time.Millisecond) {
		t.Errorf("of nothing: %v", got)
	}
	s.learn(a, time.Second)
	larger, other := a, a
	larger.Pairs = 1e7
	other.Kind = "b"
	for _, c := range []struct {
		r    Request
		want time.Duration
	}{{a, time.Second}, {larger, 10 * time.Second}, {other, time.Second}} {
		if got := s.likely(c.r); !near(got, c.want) {
			t.Errorf("%+v: likely %v, want %v", c.r, got, c.want)
		}
	}
	for range 20 {
		s.learn(a, 3*time.Second)
	}
	if got := s.likely(a); got < 2900*time.Millisecond || got > 3*time.Second {
		t.Errorf("after twenty of 3 s: likely %v", got)
	}
}

// The least is half of the fastest among the last sixteen, and nothing before there are three.
func TestTheLeastIsHalfOfTheFastest(t *testing.T) {
	s := newSpeeds()
	r := Request{Kind: "a", Pairs: 1e6, Iterations: 100}
	for i, want := range []time.Duration{0, 0, 0, time.Second} {
		if got := s.least(r); got != want && !near(got, want) {
			t.Errorf("after %d: least %v, want %v", i, got, want)
		}
		s.learn(r, time.Duration(2+i)*time.Second)
	}
	for range remembered {
		s.learn(r, 10*time.Second)
	}
	if got := s.least(r); !near(got, 5*time.Second) {
		t.Errorf("after many of 10 s: least %v, want 5 s", got)
	}
	if got := s.least(Request{Kind: "a", Pairs: 2e6, Iterations: 100}); got != 0 {
		t.Errorf("of a size that was never seen: least %v, want 0", got)
	}
}

// Whatever two requests of a class are, the least of one is not above what another has taken, in proportion to its pairs and iterations or not.
func TestAClassIsNarrow(t *testing.T) {
	for pairs := 1000.0; pairs < 3000; pairs *= 1.01 {
		for iterations := 50; iterations < 150; iterations++ {
			a, b := Request{Pairs: 1000, Iterations: 50}, Request{Pairs: pairs, Iterations: iterations}
			if classOf(a) == classOf(b) && work(b)/work(a) > 2.000001 {
				t.Fatalf("%+v and %+v are in one class", a, b)
			}
		}
	}
}

// What is remembered is bounded, whatever is asked for.
func TestSpeedsAreForgotten(t *testing.T) {
	s := newSpeeds()
	for i := range 3 * maxClasses {
		s.learn(Request{Kind: fmt.Sprint(i), Pairs: 1}, time.Second)
	}
	if len(s.classes) > maxClasses || len(s.kinds) > maxClasses {
		t.Errorf("%d classes and %d kinds are remembered, want at most %d", len(s.classes), len(s.kinds), maxClasses)
	}
	l := newLine(1, 0)
	for i := range 3 * maxCallers {
		l.book(&Ticket{request: Request{Caller: fmt.Sprint(i)}, likely: time.Second})
	}
	if len(l.turns) > maxCallers {
		t.Errorf("%d callers are remembered, want at most %d", len(l.turns), maxCallers)
	}
}

func (w *world) likely(r Request) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.speeds.likely(r)
}

func (w *world) least(r Request) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.speeds.least(r)
}

// Requests that are computed at once share the machine, and what is learnt is what they take of it.
func TestTimeIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		r := of("a", smallPairs)
		w.run(t.Context(), "long", r, 3*time.Second)
		w.run(t.Context(), "short", r, time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.likely(r); !near(got, 500*time.Millisecond) {
			t.Errorf("a second beside another is %v of the machine, want 0.5 s", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := w.likely(r); !near(got, 1000*time.Millisecond) {
			t.Errorf("then 2.5 s of the machine with a weight of 1/4 make %v, want 1 s", got)
		}
	})
}

// A deadline that cannot be met is a refusal at once, which says why; one that could be is none.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		r := of("a", largePairs)
		within := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
		w.run(within(time.Millisecond), "unknown", r, 0)
		if err := w.end("unknown"); err != nil {
			t.Errorf("of nothing known: %v", err)
		}
		time.Sleep(time.Second)
		w = newWorld(t, limits)
		w.teach(r, 4*time.Second)
		w.run(within(1900*time.Millisecond), "hopeless", r, 0)
		want := "it would take at least 2s, 0s of that in the queue, and its deadline leaves 1.9s"
		if refusal := w.refused("hopeless", TooLate); refusal.Retry != 0 || refusal.Text != want {
			t.Errorf("got %q, want %q", refusal.Text, want)
		}
		w.run(within(2100*time.Millisecond), "with luck", r, 10*time.Second)
		w.run(within(5*time.Second), "waits", r, time.Second) // nothing is known of what is left of the one before it
		w.run(within(3900*time.Millisecond), "behind", r, time.Second)
		w.refused("behind", TooLate) // that which waits takes 2 s at least, and so does it
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if err := w.end("waits"); err != errNotYet {
			t.Errorf("before its deadline: %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := w.end("waits"); err != context.DeadlineExceeded {
			t.Errorf("when its deadline came: %v", err)
		}
		w.idle()
	})
}

// When its turn comes too late for its deadline, a request is not computed in vain.
func TestATurnThatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		r := of("a", largePairs)
		w.teach(r, 4*time.Second)
		w.run(t.Context(), "runs", r, 4*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		w.run(ctx, "late", r, time.Second)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		w.refused("late", TooLate)
		w.idle()
	})
}

// One of sixteen hopeless requests is tried, so that a machine or data that have become faster are found out.
func TestHopelessRequestsAreTriedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		r := of("a", largePairs)
		w.teach(r, 4*time.Second)
		admitted := 0
		for range 2 * tryAfter {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if ticket, err := w.Admit(ctx, r); err == nil {
				admitted++
				if admitted == 2 {
					time.Sleep(time.Millisecond)
					ticket.Computed(0) // faster after all
				}
				ticket.Done()
			}
			cancel()
		}
		if admitted != 2 {
			t.Errorf("%d of %d were tried, want 2", admitted, 2*tryAfter)
		}
		if got := w.least(r); got > time.Millisecond {
			t.Errorf("after one of 1 ms the least is %v", got)
		}
	})
}
