package parallel

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// withSlots makes the number of slots another one for a test, and wants all of them back at its end.
func withSlots(t *testing.T, n int) {
	SetSlots(n)
	t.Cleanup(func() {
		SetSlots(0)
		slots.mu.Lock()
		defer slots.mu.Unlock()
		if slots.used != 0 || len(slots.line) != 0 || slots.waiting.Load() != 0 {
			t.Errorf("%d slots are used and %d goroutines of %d requests wait, want none", slots.used, slots.waiting.Load(), len(slots.line))
		}
	})
}

// untilWaiting returns when that many goroutines are in line.
func untilWaiting(n int32) {
	for slots.waiting.Load() != n {
		runtime.Gosched()
	}
}

// A small request beside a large one waits for one tile, and for one more with each of its own: the two take turns.
func TestASmallRequestTakesTurnsWithALargeOne(t *testing.T) {
	withSlots(t, 1)
	var large, before, after int
	var small sync.WaitGroup
	err := Rows(Request(t.Context()), 1000, TileCost, func(lo, _ int, _ *Gate) {
		if large++; lo != 5 {
			return
		}
		before = large
		small.Go(func() {
			_ = Rows(Request(t.Context()), 3, TileCost, func(lo, _ int, _ *Gate) {
				if lo == 2 {
					after = large // the large request has no slot now
				}
			})
		})
		untilWaiting(1)
	})
	small.Wait()
	if err != nil || large != 1000 {
		t.Errorf("%d of 1000 tiles, %v", large, err)
	}
	if between := after - before; between != 2 {
		t.Errorf("the large request computed %d tiles between the small one's arrival and its last of 3 tiles, want 2", between)
	}
}

// Turns are the requests', not the goroutines': one with many loops at once gets no more than one with a single loop.
func TestTurnsAreTheRequests(t *testing.T) {
	withSlots(t, 1)
	var many, single, atEnd atomic.Int32
	begin := make(chan struct{})
	var wait sync.WaitGroup
	loop := func(ctx context.Context, n int, count *atomic.Int32, end func()) {
		wait.Go(func() {
			<-begin
			_ = Do(ctx, func(gate *Gate) {
				for range n {
					count.Add(1)
					gate.Open()
				}
				end()
			})
		})
	}
	// A third holds the slot until all the others are in line.
	ctx := Request(t.Context())
	for range 8 {
		loop(ctx, 1000, &many, func() {})
	}
	loop(Request(t.Context()), 500, &single, func() { atEnd.Store(many.Load()) }) // with the slot in its hand
	_ = Do(Request(t.Context()), func(*Gate) {
		close(begin)
		untilWaiting(9)
	})
	wait.Wait()
	if n := atEnd.Load(); n < 499 || n > 501 {
		t.Errorf("8 loops of one request had %d turns while a request with one loop had 500, want as many", n)
	}
}

// However many loops run, and however they nest, no more tiles are computed at once than there are slots.
func TestNoMoreTilesThanSlots(t *testing.T) {
	for _, n := range []int{1, 2, 3} {
		t.Run("", func(t *testing.T) {
			withSlots(t, n)
			var running, visited atomic.Int32
			var wait sync.WaitGroup
			for range 4 {
				wait.Go(func() {
					_ = Each(Request(t.Context()), 5, func(int) error {
						return Each(t.Context(), 2, func(int) error {
							return Rows(t.Context(), 20, TileCost, func(_, _ int, gate *Gate) {
								if now := running.Add(1); now > int32(n) {
									t.Errorf("%d tiles at once, want at most %d", now, n)
								}
								visited.Add(1)
								runtime.Gosched()
								running.Add(-1)
							})
						})
					})
				})
			}
			wait.Wait()
			if visited.Load() != 4*5*2*20 {
				t.Errorf("%d tiles, want %d", visited.Load(), 4*5*2*20)
			}
		})
	}
}

// Whoever waits in line leaves it when its context ends, whether it has begun or not.
func TestCancelWhileInLine(t *testing.T) {
	withSlots(t, 1)
	early, stopEarly := context.WithCancel(t.Context())
	late, stopLate := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	var lateTiles int
	begun := make(chan struct{})
	wait.Go(func() {
		err := Do(Request(late), func(gate *Gate) {
			close(begun)
			untilWaiting(1)
			for gate.Open() {
				lateTiles++
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
	<-begun
	_ = Do(Request(t.Context()), func(*Gate) {
		untilWaiting(1) // the late one, which has handed its slot over
		wait.Go(func() {
			if err := Rows(Request(early), 5, TileCost, func(int, int, *Gate) { t.Error("a tile of a cancelled loop ran") }); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
		})
		untilWaiting(2)
		stopEarly()
		untilWaiting(1)
		stopLate()
		untilWaiting(0)
	})
	wait.Wait()
	if lateTiles != 0 {
		t.Errorf("the loop that was cancelled in line computed %d more tiles, want none", lateTiles)
	}
}

// A loop whose tiles are all taken does not wait for the turn of those of its goroutines that have none.
func TestGoroutinesWithoutATileAreSentAway(t *testing.T) {
	withSlots(t, 2)
	var wait sync.WaitGroup
	hold := make(chan struct{})
	held := make(chan struct{})
	wait.Go(func() {
		_ = Do(Request(t.Context()), func(*Gate) {
			close(held)
			<-hold
		})
	})
	<-held
	// Two goroutines for the other slot, of which the second stays in line until the first is done.
	err := Rows(Request(t.Context()), 4, TileCost, func(int, int, *Gate) { untilWaiting(1) })
	if err != nil {
		t.Error(err)
	}
	close(hold)
	wait.Wait()
}

func TestPanicGivesTheSlotBack(t *testing.T) {
	withSlots(t, 2)
	for range 10 {
		func() {
			defer func() { _ = recover() }()
			_ = Rows(t.Context(), 100, TileCost, func(lo, _ int, _ *Gate) {
				if lo >= 50 {
					panic("broken tile")
				}
			})
		}()
	}
}
