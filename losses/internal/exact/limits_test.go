package exact

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"kantor/losses/internal/losstest"
	"kantor/losses/internal/memory"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// countdown is a context that ends when it has been looked at some times.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// Wherever a solve stands when its context ends, it says so, and starts no more than a few tiles after that.
func TestCancelledSolvesStop(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r := losstest.Random(21)
	for name, p := range map[string]Problem{
		"network": {Cost: vec.Distance, A: cloud(normal(r, 400, 2, 0.7, 0.2), 2, nil), B: cloud(normal(r, 500, 2, 1, 0), 2, nil)},
		"listed":  {Cost: vec.Distance, A: cloud(normal(r, 60, 2, 0.7, 0.2), 2, nil), B: cloud(normal(r, 60, 2, 1, 0), 2, nil)},
		"line":    {A: cloud(normal(r, 9000, 1, 0.7, 0.2), 1, nil), B: cloud(normal(r, 9000, 1, 1, 0), 1, nil)},
	} {
		for looks := 0; ; looks = 1 + 3*looks/2 {
			before := parallel.Tiles()
			ctx := &countdown{context.Background(), looks}
			s, err := Solve(ctx, p)
			if err == nil {
				if looks == 0 {
					t.Errorf("%s: solved though the context had ended", name)
				}
				break
			}
			if !errors.Is(err, context.Canceled) || s != nil {
				t.Fatalf("%s: got %v, %v, want context.Canceled", name, s, err)
			}
			if tiles := parallel.Tiles() - before; tiles > int64(looks)+2 {
				t.Errorf("%s: %d tiles though the context ended at look %d", name, tiles, looks)
			}
		}
	}
}

// The simplex looks at its context between pivots.
func TestCancelledPivotsStop(t *testing.T) {
	pivots := func(looks int) (int, error) {
		r := losstest.Random(24)
		p := Problem{Cost: vec.Distance, A: cloud(normal(r, 900, 2, 0.7, 0.2), 2, nil), B: cloud(normal(r, 900, 2, 1, 0), 2, nil)}
		n := newNetwork(p, newMasses(p.A, p.B))
		n.scale()
		if err := n.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := parallel.Do(&countdown{context.Background(), looks}, func(gate *parallel.Gate) { n.simplex.run(gate) })
		return n.simplex.pivots, err
	}
	all, err := pivots(1 << 30)
	if err != nil {
		t.Fatal(err)
	}
	if some, err := pivots(2); !errors.Is(err, context.Canceled) || some == 0 || some > all/2 {
		t.Errorf("%d of %d pivots with a context that ends soon, and %v", some, all, err)
	}
}

// Without any room for pairs the same problem has the same optimum, and what it allocates grows with the points, not with the pairs.
func TestMemoryGrowsWithPoints(t *testing.T) {
	allocated := func(n int) (float64, float64) {
		r := losstest.Random(22)
		p := Problem{A: cloud(normal(r, n, 8, 0.7, 0.2), 8, nil), B: cloud(normal(r, n, 8, 1, 0), 8, nil)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := Solve(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return s.Value, float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
	}
	stored, _ := allocated(600)
	memory.SetTotal(0)
	t.Cleanup(func() { memory.SetTotal(memory.DefaultTotal) })
	anew, small := allocated(600)
	if diff := stored - anew; diff > 1e-12*stored || -diff > 1e-12*stored {
		t.Errorf("value %v with a stored kernel, %v without", stored, anew)
	}
	// Lists grow a little as rounds do, and scratch as parts of a pass do; a matrix in binary32 would add 4 bytes a point for every further point.
	if _, large := allocated(1800); large-small > 4*(1800-600) {
		t.Errorf("%.0f bytes a point for 600 points, %.0f for 1800", small, large)
	}
	r := losstest.Random(23)
	p := Problem{A: cloud(normal(r, 500, 2, 1, 0), 2, nil), B: cloud(normal(r, 500, 2, 1, 0), 2, nil)}
	if pairs, bytes := p.Work(); pairs != 250_000 || bytes != 0 {
		t.Errorf("work is %v pairs and %d bytes, want 250000 and 0", pairs, bytes)
	}
	memory.SetTotal(memory.DefaultTotal)
	if _, bytes := p.Work(); bytes < 4*250_000 || bytes > 5*250_000 {
		t.Errorf("work is %d bytes, want some 4 a pair", bytes)
	}
}
