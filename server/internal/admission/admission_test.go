package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limits are small ones.
var limits = Limits{Small: 2, Large: 1, PerCaller: 4, Queued: 6, Wait: 10 * time.Second, Bytes: 800, Processors: 2}

// of is a request that nothing is known of: a small one, or a large one by its pairs.
func of(caller string, pairs float64) Request {
	return Request{Caller: caller, Kind: "kind", Pairs: pairs, Iterations: 1, Input: 1, Memory: 1}
}

const (
	smallPairs = 1e4 // .2 ms at first guess
	largePairs = 1e8 // 2 s
)

// world is a controller and the requests that a test made.
type world struct {
	*Controller
	t       *testing.T
	learns  bool // from what was computed
	results sync.Mutex
	order   []string // the names of those that had their turn
	ended   map[string]error
}

var errNotYet = errors.New("it has not ended yet")

func newWorld(t *testing.T, l Limits) *world {
	return &world{Controller: New(l), t: t, learns: true, ended: map[string]error{}}
}

// run makes a request that is computed for a time, and waits until it waits for something.
func (w *world) run(ctx context.Context, name string, r Request, takes time.Duration) {
	go func() {
		ticket, err := w.Admit(ctx, r)
		if err == nil {
			w.hasTurn(name)
			time.Sleep(takes)
			if w.learns {
				ticket.Computed(1)
			}
			ticket.Done()
		}
		w.results.Lock()
		defer w.results.Unlock()
		w.ended[name] = err
	}()
	synctest.Wait()
}

// end is what a request has ended with so far, or errNotYet.
func (w *world) end(name string) error {
	w.results.Lock()
	defer w.results.Unlock()
	if err, ended := w.ended[name]; ended {
		return err
	}
	return errNotYet
}

// turns are the names of those that have had their turn so far.
func (w *world) turns() []string {
	w.results.Lock()
	defer w.results.Unlock()
	return slices.Clone(w.order)
}

func (w *world) hasTurn(name string) {
	w.results.Lock()
	defer w.results.Unlock()
	w.order = append(w.order, name)
}

// idle wants nothing to be counted for anybody.
func (w *world) idle() {
	w.t.Helper()
	got := w.Load()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got != (Load{}) || w.held != 0 || w.left != 0 || len(w.queued) != 0 {
		w.t.Errorf("nothing is left to do, but the load is %+v, queued %v", got, w.queued)
	}
}

func (w *world) refused(name string, reason Reason) *Refusal {
	w.t.Helper()
	var refusal *Refusal
	if !errors.As(w.end(name), &refusal) || refusal.Reason != reason {
		w.t.Fatalf("%s: got %v, want a refusal for reason %d", name, w.end(name), reason)
	}
	return refusal
}

// teach lets a request be computed several times, alone.
func (w *world) teach(r Request, takes time.Duration) {
	for i := range enough {
		w.run(context.Background(), fmt.Sprint("lesson ", i), r, takes)
		time.Sleep(takes)
		synctest.Wait()
	}
	w.order = nil
}

// Requests wait for a turn when as many are computed as may be, and never more are.
func TestAtMostSoManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		for i := range 5 {
			w.run(t.Context(), fmt.Sprint(i), of("a", smallPairs), time.Second+time.Duration(i)*time.Millisecond)
		}
		if got, want := w.Load(), (Load{RunningSmall: 2, QueuedSmall: 3, Bytes: 2*2 + 3}); got != want {
			t.Errorf("load %+v, want %+v", got, want)
		}
		time.Sleep(time.Second + 2*time.Millisecond)
		synctest.Wait()
		if got := w.Load(); got.RunningSmall != 2 || got.QueuedSmall != 1 {
			t.Errorf("after the first two, load %+v, want 2 running and 1 waiting", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(w.turns(), []string{"0", "1", "2", "3", "4"}) {
			t.Errorf("the turns were %v, want those of one caller as they came", w.turns())
		}
		w.idle()
	})
}

// However many large requests there are, a small one does not wait for them, nor a large one for small ones.
func TestSmallAndLargeDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		for i := range 3 {
			w.run(t.Context(), fmt.Sprint("large ", i), of("a", largePairs), time.Minute)
		}
		w.run(t.Context(), "small", of("a", smallPairs), time.Second)
		if got, want := w.turns(), []string{"large 0", "small"}; !slices.Equal(got, want) {
			t.Errorf("the turns were %v, want %v", got, want)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		w.idle()
	})
}

// A caller with one request has its turn before the rest of one with many, and work counts, not the number of requests.
func TestTurnsAreFairByWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{Small: 1, Large: 1, PerCaller: 100, Queued: 100, Wait: time.Hour, Processors: 1})
		w.run(t.Context(), "first", of("other", smallPairs), time.Second)
		for range 10 {
			w.run(t.Context(), "cheap", of("cheap", smallPairs), time.Second)
		}
		for range 10 {
			w.run(t.Context(), "dear", of("dear", 5*smallPairs), time.Second)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		// After k turns of the dear one there were about 5k of the cheap one's, until it had no more.
		dear := 0
		for i, name := range w.turns()[1:13] {
			if name == "dear" {
				dear++
			} else if cheap := i + 1 - dear; cheap > 5*(dear+1) {
				t.Errorf("%d turns of the cheap one after %d of the dear one: %v", cheap, dear, w.turns())
			}
		}
		if dear < 2 || dear > 3 {
			t.Errorf("%d turns of the dear one among the first 12, want 2 or 3: %v", dear, w.turns())
		}
		w.idle()
	})
}

// A caller that comes back again and again pays for what it had: being away for a moment forgives nothing.
func TestACallerPaysForWhatItHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Limits{Small: 1, Large: 1, PerCaller: 100, Queued: 100, Wait: time.Hour, Processors: 1})
		w.learns = false // what the guess says of them
		for range 20 {
			w.run(t.Context(), "patient", of("patient", smallPairs), time.Second)
		}
		// Each request of the greedy one is worth 10, and it has only one at a time.
		greedy, cancel := context.WithCancel(t.Context())
		go func() {
			for greedy.Err() == nil {
				if ticket, err := w.Admit(greedy, of("greedy", 10*smallPairs)); err == nil {
					w.hasTurn("greedy")
					time.Sleep(time.Second)
					ticket.Done()
				}
			}
		}()
		time.Sleep(20*time.Second + time.Millisecond)
		turns := 0
		for _, name := range w.turns() {
			if name == "greedy" {
				turns++
			}
		}
		if turns < 1 || turns > 3 {
			t.Errorf("%d of 20 turns are the greedy one's, want about 2: %v", turns, w.turns())
		}
		cancel()
		time.Sleep(time.Hour)
		synctest.Wait()
		w.idle()
	})
}

// What does not fit in the queue is refused at once, with a time to come back that is a later one for each.
func TestAFullQueueRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		w.teach(of("a", largePairs), 2*time.Second)
		for i := range 8 {
			w.run(t.Context(), fmt.Sprint(i), of("a", largePairs), 2*time.Second)
		}
		for i := 5; i < 8; i++ {
			want := time.Duration(2*(i-4)) * time.Second
			if got := w.refused(fmt.Sprint(i), QueueFull).Retry; got != want {
				t.Errorf("request %d is to come back after %v, want %v: they take 2 s each", i, got, want)
			}
		}
		w.run(t.Context(), "b", of("b", largePairs), 0)
		w.run(t.Context(), "c", of("c", largePairs), 0)
		w.run(t.Context(), "d", of("d", largePairs), 0)
		w.refused("d", QueueFull) // 6 wait, of all callers
		time.Sleep(time.Minute)
		synctest.Wait()
		if w.end("b") != nil || w.end("c") != nil {
			t.Errorf("b ended with %v and c with %v, want their turns", w.end("b"), w.end("c"))
		}
		w.idle()
	})
}

// Those that come back when they were told, again and again, are all answered.
func TestThoseThatComeBackAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		var answered atomic.Int64
		for range 40 {
			go func() {
				for {
					ticket, err := w.Admit(t.Context(), of("a", smallPairs))
					var refusal *Refusal
					if errors.As(err, &refusal) {
						time.Sleep(refusal.Retry)
						continue
					}
					time.Sleep(time.Millisecond)
					ticket.Done()
					answered.Add(1)
					return
				}
			}()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if answered.Load() != 40 {
			t.Errorf("%d of 40 were answered", answered.Load())
		}
		w.idle()
	})
}

// Nobody waits longer than the longest wait, whatever was thought of how long it would be.
func TestNobodyWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		w.run(t.Context(), "forever", of("a", largePairs), time.Hour)
		w.run(t.Context(), "waits", of("b", largePairs), 0)
		time.Sleep(limits.Wait - time.Millisecond)
		synctest.Wait()
		if err := w.end("waits"); err != errNotYet {
			t.Fatalf("before the longest wait: %v", err)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if w.refused("waits", QueueWait).Retry <= 0 {
			t.Error("it is not told when to come back")
		}
		time.Sleep(time.Hour)
		w.idle()
	})
}

// With 5 s for each of those before it, the fifth would wait for 15 s at best: luck, and a processor for each, do not help here.
func TestAWaitThatIsTooLongIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		w.teach(of("a", largePairs), 10*time.Second)
		for i := range 5 {
			w.run(t.Context(), fmt.Sprint(i), of("a", largePairs), 8*time.Second)
		}
		w.refused("4", QueueWait)
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}

// A request that is cancelled while it waits leaves at once, with the cause, and those behind it move up.
func TestCancelledInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		w.run(t.Context(), "runs", of("a", largePairs), time.Second)
		ctx, cancel := context.WithCancelCause(t.Context())
		w.run(ctx, "cancelled", of("a", largePairs), time.Second)
		w.run(t.Context(), "next", of("a", largePairs), time.Second)
		why := errors.New("why")
		cancel(why)
		synctest.Wait()
		if w.end("cancelled") != why {
			t.Errorf("got %v, want the cause", w.end("cancelled"))
		}
		if got := w.Load(); got.QueuedLarge != 1 || got.Bytes != 3 {
			t.Errorf("load %+v, want one waiting", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !slices.Equal(w.turns(), []string{"runs", "next"}) {
			t.Errorf("the turns were %v", w.turns())
		}
		w.idle()
		if _, err := w.Admit(ctx, of("a", smallPairs)); err != why {
			t.Errorf("cancelled before it came: got %v, want the cause", err)
		}
	})
}
