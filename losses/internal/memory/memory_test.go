package memory

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
)

// total makes the process's total another one for a test.
func total(t *testing.T, bytes int64) {
	SetTotal(bytes)
	t.Cleanup(func() { SetTotal(DefaultTotal) })
}

func acquire(t *testing.T, bytes int64) (release func()) {
	t.Helper()
	release, err := Acquire(t.Context(), bytes)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

// Whoever asks, large and small, at most the total and the share of the small are held, and everybody gets a turn.
func TestNeverMoreThanTheTotal(t *testing.T) {
	total(t, 6400)
	var wait sync.WaitGroup
	for worker := range 16 {
		random := rand.New(rand.NewPCG(1, uint64(worker)))
		wait.Go(func() {
			for range 200 {
				bytes := random.Int64N(6401)
				if worker%2 == 0 {
					bytes = random.Int64N(101)
				}
				release := acquire(t, bytes)
				if held := Held(); held > 6400+800 {
					t.Errorf("%d bytes are held, want at most 7200", held)
				}
				release()
			}
		})
	}
	wait.Wait()
	if Held() != 0 {
		t.Errorf("%d bytes are held, want none", Held())
	}
}

// First come, first served: one who would fit waits behind one who came before and does not, so that nobody waits for ever.
func TestNobodyOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		total(t, 640)
		first := acquire(t, 400)
		order := make(chan int, 2)
		for i, bytes := range []int64{600, 100} {
			go func() {
				release := acquire(t, bytes)
				order <- i
				release()
			}()
			synctest.Wait()
		}
		if len(order) != 0 {
			t.Fatalf("got %d turns while 400 of 640 bytes are held, want none", len(order))
		}
		first()
		if a, b := <-order, <-order; a != 0 || b != 1 {
			t.Errorf("the turns were %d, %d, want 0, 1", a, b)
		}
	})
}

// A small problem does not stand in the line of the large ones.
func TestSmallProblemsDoNotWaitForLargeOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		total(t, 6400)
		defer acquire(t, 6400)()
		for range 8 { // their share: 800 bytes of 100 each
			defer acquire(t, 100)()
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := Acquire(ctx, 100)
			gone <- err
		}()
		synctest.Wait()
		if len(gone) != 0 {
			t.Errorf("got a turn with all of the share in use, want to wait")
		}
		cancel()
		<-gone
	})
}

// Who gives up waiting holds nothing and stands in nobody's way.
func TestCancelledWaitersLeaveTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		total(t, 640)
		first := acquire(t, 640)
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, err := Acquire(ctx, 640)
			gone <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		first()
		first() // again is nothing
		acquire(t, 640)()
		if Held() != 0 {
			t.Errorf("%d bytes are held, want none", Held())
		}
	})
}

func TestMoreThanTheTotalIsABug(t *testing.T) {
	total(t, 640)
	for _, bytes := range []int64{-1, 641} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d of 640 bytes: got no panic", bytes)
				}
			}()
			_, _ = Acquire(t.Context(), bytes)
		}()
	}
}

// Without a total nothing can be stored, and asking for nothing is still answered.
func TestATotalOfNothing(t *testing.T) {
	total(t, 0)
	acquire(t, 0)()
	if Total() != 0 {
		t.Errorf("got %d, want 0", Total())
	}
}
