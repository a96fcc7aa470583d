package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/server/internal/admission"
)

// reasonAndDelay are what the details of a status say.
func reasonAndDelay(s *status.Status) (reason string, delay time.Duration) {
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = d.GetReason()
		case *errdetails.RetryInfo:
			delay = d.GetRetryDelay().AsDuration()
		}
	}
	return reason, delay
}

// busy is a server whose turns are all taken by calls that wait for the gate, and where one more waits for its turn: by default the queue is full then.
func busy(t *testing.T, config Config) (*started, *gated, *sync.WaitGroup) {
	t.Helper()
	config.Queue = cmp.Or(config.Queue, 1)
	g := newGated()
	s := start(t, config, g.install)
	calls := &sync.WaitGroup{}
	// They may end after the test has, with which its own context does.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(func() {
		calls.Wait()
		cancel()
	})
	atOnce := s.config.admission().Small
	for range atOnce + 1 {
		calls.Go(func() {
			if _, err := s.losses.Evaluate(ctx, klRequest(1)); err != nil {
				t.Error(err)
			}
		})
	}
	for range atOnce {
		g.wait(t)
	}
	waitUntil(t, func() bool { return s.Load().QueuedSmall == 1 }, "one waits for its turn")
	return s, g, calls
}

// Over the limit a call is refused with the reason and with when to come back, both ways; so are diagnostics; those before it are answered.
func TestOverTheLimit(t *testing.T) {
	s, g, calls := busy(t, Config{})
	call := func(trailer grpc.CallOption) error {
		_, err := s.losses.Evaluate(testContext(t), klRequest(1), trailer)
		return err
	}
	diagnose := func(trailer grpc.CallOption) error {
		_, err := kantorv1.NewDiagnosticServiceClient(s.conn).Diagnose(testContext(t), &kantorv1.DiagnoseRequest{
			Diagnostics: []*kantorv1.Diagnostic{activeUnits(&kantorv1.ActiveUnits{})}, Inputs: map[string]*kantorv1.Input{"posterior": line(1, 2)},
		}, trailer)
		return err
	}
	for name, f := range map[string]func(grpc.CallOption) error{"evaluate": call, "diagnose": diagnose} {
		var trailer metadata.MD
		st := status.Convert(f(grpc.Trailer(&trailer)))
		reason, delay := reasonAndDelay(st)
		if st.Code() != codes.ResourceExhausted || reason != ReasonQueueFull || delay <= 0 {
			t.Errorf("%s: got %v, reason %q, retry after %v", name, st, reason, delay)
		}
		if got := trailer.Get(pushback); !slices.Equal(got, []string{strconv.FormatInt(delay.Milliseconds(), 10)}) {
			t.Errorf("%s: the trailer says %q, want %v", name, got, delay)
		}
	}
	close(g.pass)
	calls.Wait()
	waitUntil(t, func() bool { return s.Load() == Load{} }, "nothing is counted any more")
}

// A batch over the limit fails with that, and the stream lives on.
func TestABatchOverTheLimit(t *testing.T) {
	s, g, calls := busy(t, Config{})
	c := s.opened(t, klOpen())
	c.kl(1, 2)
	st := status.Convert(c.failure(1))
	if reason, delay := reasonAndDelay(st); st.Code() != codes.ResourceExhausted || reason != ReasonQueueFull || delay <= 0 {
		t.Errorf("got %v, reason %q, retry after %v", st, reason, delay)
	}
	close(g.pass)
	calls.Wait()
	c.kl(2, 2)
	if got := c.result(2); got != 2 {
		t.Errorf("got %v, want 2", got)
	}
	c.end()
	waitUntil(t, func() bool { return s.Load() == Load{} }, "nothing is counted any more")
}

// What can never fit is refused for good, with what it needs and what there is.
func TestMoreThanThereIs(t *testing.T) {
	s := start(t, Config{MemoryBytes: 1000})
	var trailer metadata.MD
	req := klRequest(1)
	req.Inputs["posterior"] = normal(1, 0)
	req.Inputs["posterior"].GetGaussian().Mean = f64([]int64{100, 1}, make([]float64, 100)...)
	req.Inputs["posterior"].GetGaussian().Spread = &kantorv1.Gaussian_LogVariance{LogVariance: f64([]int64{100, 1}, make([]float64, 100)...)}
	_, err := s.losses.Evaluate(testContext(t), req, grpc.Trailer(&trailer))
	st := status.Convert(err)
	if reason, delay := reasonAndDelay(st); st.Code() != codes.ResourceExhausted || reason != ReasonTooMuch || delay != 0 {
		t.Errorf("got %v, reason %q, retry after %v", st, reason, delay)
	}
	if got := trailer.Get(pushback); !slices.Equal(got, []string{"-1"}) {
		t.Errorf("the trailer says %q, want never", got)
	}
	if _, err := s.losses.Evaluate(testContext(t), klRequest(1)); err != nil {
		t.Errorf("what fits: %v", err)
	}
}

// Each reason has its status.
func TestRefusalsHaveStatuses(t *testing.T) {
	if len(RejectionReasons()) != int(admission.TooLate)+1 {
		t.Fatalf("there are other reasons than %v", RejectionReasons())
	}
	for reason, want := range map[admission.Reason]string{
		admission.QueueFull: ReasonQueueFull, admission.QueueWait: ReasonQueueWait, admission.QueueBytes: ReasonQueueBytes,
		admission.TooMuch: ReasonTooMuch, admission.TooLate: ReasonTooLate,
	} {
		code := codes.ResourceExhausted
		if reason == admission.TooLate {
			code = codes.DeadlineExceeded
		}
		st := toStatus(fmt.Errorf("wrapped: %w", &admission.Refusal{Reason: reason, Text: "why"}))
		if got, _ := reasonAndDelay(st); st.Code() != code || got != want || st.Message() != "why" {
			t.Errorf("%v: got %v, reason %q", reason, st, got)
		}
	}
}

// A deadline that cannot be met ends a request before it is computed, with what it would take.
func TestADeadlineThatCannotBeMet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		computed := 0
		s.evaluator.solve = func(*losses.Evaluation, context.Context) (*losses.Result, error) {
			computed++
			time.Sleep(time.Second)
			return &losses.Result{}, nil
		}
		evaluate := func(within time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			p := newPassage(s)
			defer p.release()
			_, err := s.compute(ctx, klRequest(1), p)
			return err
		}
		for range 3 {
			if err := evaluate(time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		var refusal *admission.Refusal
		if err := evaluate(400 * time.Millisecond); !errors.As(err, &refusal) || refusal.Reason != admission.TooLate || computed != 3 {
			t.Errorf("got %v after %d computations, want a refusal after 3", err, computed)
		}
		if want := "it would take at least 500ms, 0s of that in the queue, and its deadline leaves 400ms"; refusal.Text != want {
			t.Errorf("got %q, want %q", refusal.Text, want)
		}
		if err := evaluate(600 * time.Millisecond); err != nil {
			t.Errorf("with luck there was time enough, but %v", err)
		}
		s.kill(nil)
	})
}

// recorder is an observer that remembers.
type recorder struct {
	mu       sync.Mutex
	admitted []Admitted
	finished []Finished
	rejected []string
	panics   int
}

func (r *recorder) Admitted(_ context.Context, a Admitted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admitted = append(r.admitted, a)
}

func (r *recorder) Finished(_ context.Context, f Finished) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finished = append(r.finished, f)
}

func (r *recorder) Rejected(_ context.Context, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected = append(r.rejected, reason)
}

func (r *recorder) Panicked(context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.panics++
}

// The observer is told everything once, of calls, batches and diagnostics, and a result says how long it waited.
func TestTheObserverIsTold(t *testing.T) {
	var r recorder
	s, g, calls := busy(t, Config{Observer: &r})
	if _, err := s.losses.Evaluate(testContext(t), klRequest(1)); err == nil {
		t.Error("the queue is not full")
	}
	time.Sleep(time.Millisecond)
	close(g.pass)
	calls.Wait()
	two := klRequest(1)
	two.Objective.Terms = append(two.Objective.Terms, &kantorv1.Term{Name: "again", Loss: klTerm().GetLoss()}, sinkhornTerm(&kantorv1.SinkhornDivergence{MaxIterations: 1}))
	two.Inputs["source"], two.Inputs["target"] = line(0, 1, 2), line(5, 7)
	response, err := s.losses.Evaluate(testContext(t), two)
	if err != nil || response.GetTiming().GetQueue() == nil {
		t.Fatalf("got %v, timing %v", err, response.GetTiming())
	}
	if _, err := s.losses.Evaluate(testContext(t), &kantorv1.EvaluateRequest{}); err == nil {
		t.Error("an empty request was answered")
	}
	n := s.config.admission().Small + 2
	if len(r.admitted) != n || len(r.finished) != n || !slices.Equal(r.rejected, []string{ReasonQueueFull}) || r.panics != 0 {
		t.Fatalf("%d admitted, %d finished, %v rejected, want %d, %d and one of a full queue", len(r.admitted), len(r.finished), r.rejected, n, n)
	}
	waited := slices.MaxFunc(r.finished, func(a, b Finished) int { return cmp.Compare(a.Queue, b.Queue) })
	if waited.Queue < time.Millisecond {
		t.Errorf("the longest in the queue was %v, want a millisecond at least", waited.Queue)
	}
	last := r.finished[n-1]
	if !slices.Equal(last.Losses, []string{"kl", "sinkhorn"}) || last.Caller != "127.0.0.1" || last.Points != 3 || last.Dimension != 1 || last.Bytes <= 0 {
		t.Errorf("got %+v", last)
	}
	if !slices.Equal(last.Solves, []Solve{{"sinkhorn", 1, false}}) || last.Err != nil || last.Compute <= 0 || last.Decode <= 0 || last.Encode <= 0 {
		t.Errorf("got %+v", last)
	}
}

func TestTheObserverIsToldOfPanics(t *testing.T) {
	var r recorder
	s := start(t, Config{Observer: &r}, func(s *Server) { s.evaluator.solve = panicking })
	if _, err := s.losses.Evaluate(testContext(t), klRequest(1)); status.Code(err) != codes.Internal {
		t.Errorf("got %v", err)
	}
	if r.panics != 1 || len(r.finished) != 1 || !errors.Is(r.finished[0].Err, errInternal) {
		t.Errorf("%d panics, finished %+v", r.panics, r.finished)
	}
}
