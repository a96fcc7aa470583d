package kernelbench_test

import (
	"context"
	"errors"
	"testing"

	"kantor/losses/kernelbench"
)

// The last one is the plain loop, which every CPU runs, and each of them has work to time.
func TestEveryImplementationHasWork(t *testing.T) {
	names := kernelbench.Implementations()
	if names[len(names)-1] != "generic" {
		t.Fatalf("got %v, want generic at the end", names)
	}
	for _, name := range names {
		for _, d := range []int{0, 1, 33} {
			run, pairs := kernelbench.Softmin(name, d)
			if run(); pairs <= 0 {
				t.Errorf("%s, dimension %d: %d pairs", name, d, pairs)
			}
		}
		if run, operations := kernelbench.Peak(name); operations <= 0 {
			t.Errorf("%s: %d operations", name, operations)
		} else {
			run()
		}
	}
}

func TestPassStopsWithTheContext(t *testing.T) {
	run, pairs := kernelbench.Pass(100, 3)
	if err := run(t.Context()); err != nil || pairs != 100*100 {
		t.Errorf("got %d pairs, %v", pairs, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}
