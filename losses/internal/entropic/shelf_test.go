package entropic

import (
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
)

// A sync.Pool would keep a buffer for every processor that one was given back on.
func TestLargeBuffersAreSharedByAllProcessors(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection lets go of buffers
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	const n = 3 << 16
	seen := map[*float32]bool{}
	var mu sync.Mutex
	for range 64 {
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				b := newBuffer[float32](n)
				mu.Lock()
				seen[&b[0]] = true
				mu.Unlock()
				freeBuffer(b)
			})
		}
		both.Wait()
	}
	if len(seen) > 2 {
		t.Errorf("two at a time used %d buffers, want at most 2", len(seen))
	}
}

func TestShelfKeepsNumberFormatsAndSizesApart(t *testing.T) {
	b := newBuffer[float64](1 << 16)
	freeBuffer(b)
	if got := newBuffer[float64](1<<16 + 1); len(got) != 1<<16+1 {
		t.Errorf("got %d numbers, want %d", len(got), 1<<16+1)
	}
	if got := newBuffer[float32](1 << 16); len(got) != 1<<16 {
		t.Errorf("got %d numbers, want %d", len(got), 1<<16)
	}
}

func TestShelfLetsGoOfWhatNobodyTookBetweenTwoCollections(t *testing.T) {
	var s shelf[float32]
	s.watched = true // so that only the calls below age it
	s.put(1, make([]float32, 1))
	s.collected()
	b := s.get(1)
	if b == nil {
		t.Fatal("a buffer was let go after one collection, want two")
	}
	s.put(1, b)
	s.put(2, make([]float32, 2))
	s.collected()
	s.put(1, b) // it was taken meanwhile, another of its class was not
	s.collected()
	if len(s.get(1)) != 1 || s.get(1) != nil || s.get(2) != nil {
		t.Error("kept other buffers than the one that was put back between two collections")
	}
}

// Whether a collection is noticed at all.
func TestShelfIsEmptyAfterCollections(t *testing.T) {
	var s shelf[float64]
	let := make(chan bool)
	b := make([]float64, 1<<10)
	runtime.AddCleanup(&b[0], func(c chan bool) { close(c) }, let)
	s.put(1, b)
	b = nil
	for {
		runtime.GC()
		select {
		case <-let:
			return
		default:
			runtime.Gosched()
		}
	}
}
