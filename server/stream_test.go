package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// syncBuffer is a buffer that a server's goroutines write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// client is the client's side of a stream.
type client struct {
	t    *testing.T
	wire grpc.BidiStreamingClient[kantorv1.EvaluateStreamRequest, kantorv1.EvaluateStreamResponse]
}

func (s *started) stream(t *testing.T, ctx context.Context) client {
	t.Helper()
	wire, err := s.losses.EvaluateStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return client{t, wire}
}

// opened is a stream with an objective that the server has accepted.
func (s *started) opened(t *testing.T, open *kantorv1.Open) client {
	t.Helper()
	c := s.stream(t, testContext(t))
	c.open(open)
	if m := c.receive(); m.GetOpened().GetWindow() != int32(s.config.Window) {
		t.Fatalf("got %v, want opened with a window of %d", m, s.config.Window)
	}
	return c
}

// send ignores errors: the reason comes with the next receive.
func (c client) send(m *kantorv1.EvaluateStreamRequest) { _ = c.wire.Send(m) }

func (c client) open(open *kantorv1.Open) {
	c.send(&kantorv1.EvaluateStreamRequest{Message: &kantorv1.EvaluateStreamRequest_Open{Open: open}})
}

func (c client) batch(b *kantorv1.Batch) {
	c.send(&kantorv1.EvaluateStreamRequest{Message: &kantorv1.EvaluateStreamRequest_Batch{Batch: b}})
}

// kl sends a batch whose value is ½mean².
func (c client) kl(id uint64, mean float64) { c.batch(&kantorv1.Batch{Id: id, Inputs: klInputs(mean)}) }

func (c client) receive() *kantorv1.EvaluateStreamResponse {
	c.t.Helper()
	m, err := c.wire.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// result receives a result and returns its value.
func (c client) result(id uint64) float64 {
	c.t.Helper()
	m := c.receive()
	if m.GetResult().GetId() != id {
		c.t.Fatalf("got %v, want the result of batch %d", m, id)
	}
	return m.GetResult().GetResponse().GetValue()
}

// failure receives the failure of a batch.
func (c client) failure(id uint64) error {
	c.t.Helper()
	m := c.receive()
	if m.GetFailure() == nil || m.GetFailure().GetId() != id {
		c.t.Fatalf("got %v, want the failure of batch %d", m, id)
	}
	return status.FromProto(m.GetFailure().GetStatus()).Err()
}

// end closes the client's side and wants the stream to end well.
func (c client) end() {
	c.t.Helper()
	if err := c.wire.CloseSend(); err != nil {
		c.t.Fatal(err)
	}
	if m, err := c.wire.Recv(); !errors.Is(err, io.EOF) {
		c.t.Fatalf("got %v, %v, want the end of the stream", m, err)
	}
}

// ended wants the stream to have ended with an error.
func (c client) ended() error {
	c.t.Helper()
	m, err := c.wire.Recv()
	if err == nil || errors.Is(err, io.EOF) {
		c.t.Fatalf("got %v, %v, want an error", m, err)
	}
	return err
}

func klOpen() *kantorv1.Open { return &kantorv1.Open{Objective: objective(klTerm())} }

func TestStreamAnswersInOrder(t *testing.T) {
	c := start(t, Config{}).opened(t, klOpen())
	const batches = 50
	go func() {
		for id := uint64(1); id <= batches; id++ {
			c.kl(id, float64(id))
		}
	}()
	for id := uint64(1); id <= batches; id++ {
		if got, want := c.result(id), 0.5*float64(id*id); got != want {
			t.Errorf("batch %d: got %v, want %v", id, got, want)
		}
	}
	c.end()
}

// The same request gives the same bytes by either way, the timing apart.
func TestUnaryAndStreamAgree(t *testing.T) {
	s := start(t, Config{})
	req := klRequest(1.25)
	req.Objective.Gradients = []string{"posterior.mean", "posterior.log_variance"}
	unary, err := s.losses.Evaluate(testContext(t), req)
	if err != nil {
		t.Fatal(err)
	}
	c := s.opened(t, &kantorv1.Open{Objective: req.GetObjective()})
	c.batch(&kantorv1.Batch{Id: 7, Inputs: req.GetInputs(), Seed: req.GetSeed()})
	streamed := c.receive().GetResult().GetResponse()
	if got, want := canonical(t, streamed), canonical(t, unary); !bytes.Equal(got, want) {
		t.Errorf("stream %v, unary %v", streamed, unary)
	}
	c.end()
}

func canonical(t *testing.T, response *kantorv1.EvaluateResponse) []byte {
	t.Helper()
	response = proto.CloneOf(response)
	response.Timing = nil
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(response)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStreamSurvivesBadBatches(t *testing.T) {
	s := start(t, Config{})
	c := s.opened(t, klOpen())
	wide := klInputs(1)
	wide["posterior"].GetGaussian().Mean.Shape = []int64{2, 1}
	newer := klInputs(1)
	newer["posterior"].ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	newerBatch := withUnknown(&kantorv1.Batch{Id: 4, Inputs: klInputs(1)}, newer["posterior"].ProtoReflect().GetUnknown())
	for _, bad := range []struct {
		batch *kantorv1.Batch
		field string
	}{
		{&kantorv1.Batch{Id: 1, Inputs: wide}, `inputs["posterior"].mean`},
		{&kantorv1.Batch{Id: 2}, "objective.terms[0].kl.posterior"},
		{&kantorv1.Batch{Id: 3, Inputs: newer}, `inputs["posterior"]`},
		{newerBatch, "batch"},
		{&kantorv1.Batch{Id: 0, Inputs: klInputs(1)}, "id"},
		{&kantorv1.Batch{Id: 6, Inputs: klInputs(1), Overrides: map[string]float64{"kl.blur": 1}}, `overrides["kl.blur"]`},
	} {
		c.batch(bad.batch)
		wantViolation(t, c.failure(bad.batch.GetId()), bad.field)
		c.kl(100, 2)
		if got := c.result(100); got != 2 {
			t.Errorf("after a bad batch: got %v, want 2", got)
		}
	}
	c.end()
	if got := s.Stats(); got.Evaluations != 6 || got.Failures != 6 || got.Terms["kl"] != 6 {
		t.Errorf("stats %+v, want 6 evaluations and 6 failures", got)
	}
}

func TestStreamSurvivesAPanic(t *testing.T) {
	c := start(t, Config{}, func(s *Server) { s.evaluator.solve = panicking }).opened(t, klOpen())
	for id := uint64(1); id <= 2; id++ {
		c.kl(id, 1)
		if err := c.failure(id); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want INTERNAL, masked", err)
		}
	}
	c.end()
}

func TestStreamRefusesBadOpens(t *testing.T) {
	s := start(t, Config{})
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)
	cost := &kantorv1.SinkhornDivergence{Cost: 9}
	batch := &kantorv1.EvaluateStreamRequest_Batch{Batch: &kantorv1.Batch{Id: 1, Inputs: klInputs(1)}}
	open := func(o *kantorv1.Open) *kantorv1.EvaluateStreamRequest {
		return &kantorv1.EvaluateStreamRequest{Message: &kantorv1.EvaluateStreamRequest_Open{Open: o}}
	}
	for _, c := range []struct {
		first *kantorv1.EvaluateStreamRequest
		field string
	}{
		{&kantorv1.EvaluateStreamRequest{Message: batch}, "open"},
		{&kantorv1.EvaluateStreamRequest{}, "message"},
		{withUnknown(&kantorv1.EvaluateStreamRequest{}, unknown), "message"},
		{withUnknown(open(klOpen()), unknown), "message"},
		{open(withUnknown(klOpen(), unknown)), "open"},
		{open(&kantorv1.Open{}), "objective.terms"},
		{open(&kantorv1.Open{Objective: objective(&kantorv1.Term{})}), "objective.terms[0]"},
		{open(&kantorv1.Open{Objective: objective(klTerm(), sinkhornTerm(cost))}), "objective.terms[1].sinkhorn.cost"},
		{open(&kantorv1.Open{Objective: objective(withUnknown(klTerm(), unknown))}), "objective.terms[0]"},
	} {
		stream := s.stream(t, testContext(t))
		stream.send(c.first)
		wantViolation(t, stream.ended(), c.field)
	}
}

// A new open changes the objective of the batches after it and of no others, and a refused one ends the stream after their answers.
func TestStreamReopens(t *testing.T) {
	c := start(t, Config{Window: 8}).opened(t, klOpen())
	c.kl(1, 2)
	double := klTerm()
	double.Weight = proto.Float64(2)
	c.open(&kantorv1.Open{Objective: objective(double)})
	c.kl(2, 2)
	if got := c.result(1); got != 2 {
		t.Errorf("before the new open: got %v, want 2", got)
	}
	if m := c.receive(); m.GetOpened() == nil {
		t.Fatalf("got %v, want opened", m)
	}
	if got := c.result(2); got != 4 {
		t.Errorf("after the new open: got %v, want 4", got)
	}
	c.kl(3, 2)
	c.open(&kantorv1.Open{})
	if got := c.result(3); got != 4 {
		t.Errorf("before the refused open: got %v, want 4", got)
	}
	wantViolation(t, c.ended(), "objective.terms")
}

// The window's batches are computed at once, and the next is not even begun.
func TestStreamComputesAWindowAtOnce(t *testing.T) {
	g := newGated()
	c := start(t, Config{Window: 3}, g.install).opened(t, klOpen())
	for id := uint64(1); id <= 4; id++ {
		c.kl(id, 2)
	}
	for range 3 {
		g.wait(t)
	}
	select {
	case <-g.waiting:
		t.Error("a fourth batch is computed, want three in flight")
	case <-time.After(20 * time.Millisecond):
	}
	close(g.pass)
	for id := uint64(1); id <= 4; id++ {
		c.result(id)
	}
	c.end()
}

func TestStreamRefusesAnIdInFlight(t *testing.T) {
	g := newGated()
	c := start(t, Config{}, g.install).opened(t, &kantorv1.Open{Objective: objective(klTerm()), Unordered: true})
	c.kl(5, 2)
	g.wait(t)
	c.kl(5, 2)
	wantViolation(t, c.failure(5), "id")
	close(g.pass)
	c.result(5)
	c.kl(5, 4) // free again
	if got := c.result(5); got != 8 {
		t.Errorf("got %v, want 8", got)
	}
	c.end()
}

// Unordered results do not wait for earlier ones.
func TestStreamUnordered(t *testing.T) {
	slow := make(chan struct{})
	s := start(t, Config{}, func(s *Server) {
		s.evaluator.solve = func(e *losses.Evaluation, ctx context.Context) (*losses.Result, error) {
			result, err := e.Evaluate(ctx)
			if err == nil && result.Value == 0.5 {
				<-slow
			}
			return result, err
		}
	})
	c := s.opened(t, &kantorv1.Open{Objective: objective(klTerm()), Unordered: true})
	c.kl(1, 1)
	c.kl(2, 2)
	c.result(2)
	close(slow)
	c.result(1)
	c.end()
}

func TestStreamAnswersWhatIsInFlightAfterHalfClose(t *testing.T) {
	g := newGated()
	c := start(t, Config{}, g.install).opened(t, klOpen())
	c.kl(1, 2)
	c.kl(2, 4)
	g.wait(t)
	if err := c.wire.CloseSend(); err != nil {
		t.Fatal(err)
	}
	close(g.pass)
	if got := []float64{c.result(1), c.result(2)}; !slices.Equal(got, []float64{2, 8}) {
		t.Errorf("got %v", got)
	}
	c.end()
}

func TestStreamWithoutMessagesEndsWell(t *testing.T) {
	c := start(t, Config{})
	c.stream(t, testContext(t)).end()
}

// A client that goes away takes its computations with it.
func TestCancelledStreamStopsComputing(t *testing.T) {
	g := newGated()
	s := start(t, Config{}, g.install)
	ctx, cancel := context.WithCancel(testContext(t))
	c := s.stream(t, ctx)
	c.open(klOpen())
	c.receive()
	c.kl(1, 1)
	c.kl(2, 1)
	g.wait(t)
	g.wait(t)
	cancel()
	if code := status.Code(c.ended()); code != codes.Canceled {
		t.Errorf("got %v, want Canceled", code)
	}
	waitUntil(t, func() bool { return s.Stats().Failures == 2 }, "both batches have ended")
}
