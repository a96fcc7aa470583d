package admission

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// heavy is a request that needs so many bytes, a quarter of which is its input.
func heavy(caller string, bytes int64) Request {
	return Request{Caller: caller, Kind: "kind", Pairs: smallPairs, Iterations: 1, Input: bytes / 4, Memory: bytes - bytes/4}
}

// What can never fit is refused at once, and says what it needs and what there is.
func TestWhatNeverFitsIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		w.run(t.Context(), "fits", heavy("a", 600), time.Second)
		w.run(t.Context(), "too much", heavy("a", 601), time.Second)
		refusal := w.refused("too much", TooMuch)
		if want := "it needs about 601 bytes of memory, want at most 600, which is what there is for one request"; refusal.Retry != 0 || refusal.Text != want {
			t.Errorf("got %q, retry %v, want %q and no retry", refusal.Text, refusal.Retry, want)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if w.end("fits") != nil {
			t.Errorf("exactly what there is: %v", w.end("fits"))
		}
		w.idle()
	})
}

// At no time is more computed than fits, nobody overtakes one that waits for memory, and small ones do not wait for it.
func TestMemoryIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limits
		l.Large = 10
		w := newWorld(t, l)
		for i, bytes := range []int64{400, 300, 101} {
			w.run(t.Context(), fmt.Sprint(i), heavy("a", bytes), time.Second)
		}
		w.run(t.Context(), "small", heavy("a", 100), time.Second)
		if got := fmt.Sprint(w.turns()); got != "[0 small]" {
			t.Errorf("the turns were %s, want [0 small]", got)
		}
		if got := w.Load().Bytes; got != 400+100+75+25 {
			t.Errorf("%d bytes are counted, want those that are computed and the inputs of those that wait", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		turns := w.turns()
		slices.Sort(turns[2:]) // these at once
		if got := fmt.Sprint(turns); got != "[0 small 1 2]" {
			t.Errorf("the turns were %s, want [0 small 1 2]", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		w.idle()
	})
}

// What waits holds no more than its share, with the answers that nobody has taken yet, which are counted until they are.
func TestWhatWaitsHoldsItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		first, err := w.Admit(t.Context(), heavy("a", 200))
		if err != nil {
			t.Fatal(err)
		}
		first.Computed(60)
		if got := w.Load(); got != (Load{Bytes: 60}) {
			t.Errorf("with an answer to send, load %+v, want its 60 bytes", got)
		}
		w.run(t.Context(), "runs", heavy("a", 400), time.Second)
		w.run(t.Context(), "waits", heavy("a", 160), time.Second)
		w.run(t.Context(), "refused", heavy("a", 160), time.Second)
		if w.refused("refused", QueueBytes).Retry <= 0 {
			t.Error("it is not told when to come back")
		}
		first.Done()
		first.Done() // once more changes nothing
		w.run(t.Context(), "waits too", heavy("a", 160), time.Second)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if w.end("waits") != nil || w.end("waits too") != nil {
			t.Errorf("got %v, %v", w.end("waits"), w.end("waits too"))
		}
		w.idle()
	})
}

// Done gives back what a request had in every state that it can be in.
func TestDoneGivesBackInEveryState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, limits)
		for _, computed := range []bool{false, true} {
			ticket, err := w.Admit(t.Context(), heavy("a", 400))
			if err != nil {
				t.Fatal(err)
			}
			if computed {
				ticket.Computed(5)
				ticket.Computed(5)
			}
			ticket.Done()
			ticket.Computed(5)
			w.idle()
		}
	})
}
