package parallel

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

func TestRowsCoverEachRowOnce(t *testing.T) {
	for _, n := range []int{1, 2, 7, 1000, 5000} {
		for _, cost := range []int{0, 1, TileCost / 3, TileCost, 10 * TileCost} {
			seen := make([]atomic.Int32, n)
			err := Rows(t.Context(), n, cost, func(lo, hi int, _ *Gate) {
				if (hi-lo)*cost > TileCost && hi-lo > 1 {
					t.Errorf("n=%d cost=%d: a tile of %d rows is over the limit", n, cost, hi-lo)
				}
				for i := lo; i < hi; i++ {
					seen[i].Add(1)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			for i := range seen {
				if c := seen[i].Load(); c != 1 {
					t.Fatalf("n=%d cost=%d: row %d was visited %d times", n, cost, i, c)
				}
			}
		}
	}
}

func TestGroupsCoverEachRowOnce(t *testing.T) {
	for _, n := range []int{1, 31, 32, 33, 1000} {
		seen := make([]atomic.Int32, n)
		err := Groups(t.Context(), n, func(group, lo, hi int, _ *Gate) {
			if group >= GroupCount(n) {
				t.Errorf("n=%d: group %d, want under %d", n, group, GroupCount(n))
			}
			for i := lo; i < hi; i++ {
				seen[i].Add(1)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range seen {
			if c := seen[i].Load(); c != 1 {
				t.Fatalf("n=%d: row %d was visited %d times", n, i, c)
			}
		}
	}
}

// Once the context ends, each worker may finish the tile it is in, and no other starts.
func TestCancelStopsTiles(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var started atomic.Int32
	before := Tiles()
	err := Rows(ctx, 1000, TileCost, func(int, int, *Gate) {
		switch n := started.Add(1); {
		case n == 3:
			cancel()
		case n > 3:
			<-ctx.Done() // this one began before the cancellation; the next may not
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	// The other workers at most may have passed the gate when the third tile cancelled.
	if n := started.Load(); n > 3+maxWorkers() {
		t.Errorf("%d tiles ran, want at most one more per processor after the third", n)
	}
	if counted := Tiles() - before; counted != int64(started.Load()) {
		t.Errorf("counted %d tiles, ran %d", counted, started.Load())
	}
}

func TestGateInsideATileCloses(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	inner := 0
	err := Rows(ctx, 1, 100*TileCost, func(_, _ int, gate *Gate) {
		for range 100 {
			if inner++; inner == 5 {
				cancel()
			}
			if !gate.Open() {
				return
			}
		}
	})
	if !errors.Is(err, context.Canceled) || inner != 5 {
		t.Errorf("got %v after %d inner tiles, want context.Canceled after 5", err, inner)
	}
}

func TestPanicReachesTheCaller(t *testing.T) {
	defer func() {
		text, ok := recover().(string)
		if !ok || !strings.Contains(text, "broken tile") || !strings.Contains(text, "parallel_test.go") {
			t.Errorf("recovered %q, want the panic and where it was", text)
		}
	}()
	_ = Rows(t.Context(), 100, TileCost, func(lo, _ int, _ *Gate) {
		if lo == 50 {
			panic("broken tile")
		}
	})
	t.Error("the panic was lost")
}

func maxWorkers() int32 { return int32(runtime.GOMAXPROCS(0)) }

func TestLoopRunsAgain(t *testing.T) {
	for _, count := range []int{0, 1, 7} {
		var sum atomic.Int64
		loop := NewLoop(count, func(i int, _ *Gate) { sum.Add(int64(i + 1)) })
		for run := range 3 {
			if err := loop.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if want := int64((run + 1) * count * (count + 1) / 2); sum.Load() != want {
				t.Fatalf("%d, run %d: the bodies add up to %d, want %d", count, run, sum.Load(), want)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	loop := NewLoop(1, func(int, *Gate) { t.Error("ran after the cancellation") })
	if err := loop.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	loop = NewLoop(1, func(int, *Gate) {})
	if allocations := testing.AllocsPerRun(100, func() { _ = loop.Run(t.Context()) }); allocations > 0 {
		t.Errorf("%v allocations a run, want none", allocations)
	}
}
