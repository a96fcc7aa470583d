package parallel

import (
	"context"
	"errors"
	"testing"
)

// What bodies write in a round is read after it, and what is written between rounds is read in the next, without a lock of the caller's.
func TestLoopRounds(t *testing.T) {
	for _, count := range []int{1, 2, 5} {
		in, out := make([]int, count), make([]int, count)
		loop := NewLoop(count, func(i int, _ *Gate) { out[i] = in[i] + 1 })
		for round := range 3000 {
			for i := range in {
				in[i] = round * (i + 1)
			}
			if err := loop.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, v := range out {
				if want := round*(i+1) + 1; v != want {
					t.Fatalf("%d tiles, round %d: tile %d gives %d, want %d", count, round, i, v, want)
				}
			}
		}
	}
}

func TestLoopEndsWithTheContext(t *testing.T) {
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		ran := make([]bool, 100)
		loop := NewLoop(len(ran), func(i int, _ *Gate) {
			ran[i] = true
			cancel()
		})
		if err := loop.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want context.Canceled", err)
		}
		count := 0
		for _, r := range ran {
			if r {
				count++
			}
		}
		if count < 1 || count > Slots() {
			t.Errorf("%d tiles ran, want no more than one for each of %d slots", count, Slots())
		}
		if err := loop.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("again: got %v, want context.Canceled", err)
		}
	}
}

func TestLoopRaisesAPanic(t *testing.T) {
	for range 200 {
		loop := NewLoop(8, func(i int, _ *Gate) {
			if i == 3 {
				panic("tile 3")
			}
		})
		func() {
			defer func() {
				if r := recover(); r == nil {
					t.Fatal("no panic reached the caller")
				}
			}()
			_ = loop.Run(t.Context())
		}()
	}
}

// Loops of several requests at once, with fewer slots than they would take.
func TestLoopsSideBySide(t *testing.T) {
	err := Each(t.Context(), 6, func(n int) error {
		ctx := Request(t.Context())
		total := make([]int, 4)
		loop := NewLoop(4, func(i int, _ *Gate) { total[i]++ })
		for round := range 500 {
			if err := loop.Run(ctx); err != nil {
				return err
			}
			for i, v := range total {
				if v != round+1 {
					t.Errorf("loop %d, round %d: tile %d ran %d times", n, round, i, v)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
