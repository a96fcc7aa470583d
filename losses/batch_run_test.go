package losses_test

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
)

func TestBatchDoesNotDependOnThreads(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for name, c := range batchCases() {
		in := c.together()
		runtime.GOMAXPROCS(1)
		one := evaluate(t, c.loss, in)
		for _, threads := range []int{2, 3} {
			runtime.GOMAXPROCS(threads)
			if other := evaluate(t, c.loss, in); !reflect.DeepEqual(one, other) {
				t.Errorf("%s: %d threads give %+v, one gives %+v", name, threads, other, one)
			}
		}
	}
}

// puppet is a loss of which every problem calls solve with its number, the first coordinate of its first source point.
type puppet struct {
	losses.Loss
	pairs float64
	solve func(ctx context.Context, b int) error
}

func (p puppet) Bind(in losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	return puppetProblem{p, int(in["source"].(*losses.Measure).Points.F64[0])}, nil
}

type puppetProblem struct {
	puppet
	b int
}

func (p puppetProblem) Work() losses.Work { return losses.Work{Pairs: p.pairs} }

func (p puppetProblem) Solve(ctx context.Context, _ losses.Want) (losses.TermResult, error) {
	return losses.TermResult{Outcomes: []losses.Outcome{{Value: float64(p.b)}}}, p.solve(ctx, p.b)
}

// evaluatePuppet evaluates a batch of that many problems of that many pairs of points.
func evaluatePuppet(ctx context.Context, t *testing.T, count int, pairs float64, solve func(ctx context.Context, b int) error) (*losses.Result, error) {
	t.Helper()
	points := losses.NewArray(make([]float64, count), count, 1, 1)
	for b := range count {
		points.F64[b] = float64(b)
	}
	in := losses.Inputs{"source": &losses.Measure{Points: points}, "target": measure(1, 1)}
	e, err := losses.Objective{Terms: []losses.Term{term(1, puppet{divergence, pairs, solve})}}.Bind(in, 0)
	if err != nil {
		t.Fatal(err)
	}
	return e.Evaluate(ctx)
}

// raise makes v at least now.
func raise(v *atomic.Int32, now int32) {
	for {
		old := v.Load()
		if old >= now || v.CompareAndSwap(old, now) {
			return
		}
	}
}

// As many problems as there are processors are solved at once, and no more; the outcomes are in their order whichever ends first.
func TestProblemsRunAtOnce(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	var running, most atomic.Int32
	first, second := make(chan struct{}), make(chan struct{})
	result, err := evaluatePuppet(t.Context(), t, 50, 1<<12, func(_ context.Context, b int) error {
		raise(&most, running.Add(1))
		defer running.Add(-1)
		switch b {
		case 0: // these two end only while the other runs, whichever begins
			close(first)
			<-second
		case 1:
			close(second)
			<-first
		}
		return nil
	})
	if err != nil || most.Load() != 2 {
		t.Errorf("at most %d ran at once, want 2 (%v)", most.Load(), err)
	}
	for b, outcome := range result.Terms[0].Outcomes {
		if outcome.Value != float64(b) {
			t.Errorf("outcome %d is that of problem %v", b, outcome.Value)
		}
	}
}

// Problems that fill the processors by themselves, and store matrices for it, wait for each other.
func TestLargeProblemsRunOneByOne(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	var running, most atomic.Int32
	_, err := evaluatePuppet(t.Context(), t, 50, 1<<24, func(context.Context, int) error {
		raise(&most, running.Add(1))
		runtime.Gosched()
		running.Add(-1)
		return nil
	})
	if err != nil || most.Load() != 1 {
		t.Errorf("%d ran at once, want 1 (%v)", most.Load(), err)
	}
}

// Once the context ends, each processor may finish the problem it is in, which sees the context itself, and no other starts.
func TestCancelStopsABatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var started, atCancel atomic.Int32
	result, err := evaluatePuppet(ctx, t, 1000, 1, func(ctx context.Context, _ int) error {
		if started.Add(1) == 3 {
			cancel()
			atCancel.Store(started.Load()) // the others may have gone on until here
		}
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || result != nil {
		t.Errorf("got %v, %v, want context.Canceled", result, err)
	}
	if more, limit := int(started.Load()-atCancel.Load()), runtime.GOMAXPROCS(0); more > limit {
		t.Errorf("%d problems started after it, want at most %d", more, limit)
	}
}

// A panic in one problem is the caller's, who can recover from it.
func TestPanicInABatch(t *testing.T) {
	defer func() {
		if text, ok := recover().(string); !ok || !strings.Contains(text, "broken problem") || !strings.Contains(text, "batch_run_test.go") {
			t.Errorf("recovered %q, want the panic and where it was", text)
		}
	}()
	_, _ = evaluatePuppet(t.Context(), t, 20, 1, func(_ context.Context, b int) error {
		if b == 7 {
			panic("broken problem")
		}
		return nil
	})
	t.Error("the panic was lost")
}

// BenchmarkBatch is 64 small problems in one evaluation; `-cpu 1,2` shows what running them at once gives.
func BenchmarkBatch(b *testing.B) {
	r := losstest.Random(1)
	cloud := func() *losses.Measure {
		points := losstest.Normal(r, 64*64, 8, 1, 0)
		points.Shape = []int{64, 64, 8}
		return &losses.Measure{Points: points}
	}
	e, err := losses.Objective{Terms: []losses.Term{term(1, divergence)}, Gradients: []string{"source.points"}}.Bind(
		losses.Inputs{"source": cloud(), "target": cloud()}, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Evaluate(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
