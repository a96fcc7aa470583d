package server

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// What was sent before the stop is answered, the client is told once and for how long, and the server ends with the stream.
func TestStopDrainsStreams(t *testing.T) {
	g := newGated()
	s := start(t, Config{DrainGrace: patience}, g.install)
	c := s.opened(t, klOpen())
	c.kl(1, 2)
	g.wait(t)
	s.cancel()
	if grace := c.receive().GetDraining().GetGrace().AsDuration(); grace != patience {
		t.Errorf("draining with a grace of %v, want %v", grace, patience)
	}
	c.kl(2, 4) // before this client has read that the server drains
	close(g.pass)
	if got := []float64{c.result(1), c.result(2)}; !slices.Equal(got, []float64{2, 8}) {
		t.Errorf("got %v", got)
	}
	c.end()
	waitFor(t, s.served, "the server to stop, long before its grace ends")
}

// A stream whose client takes no notice is ended with a status at the end of the grace, and so is a call.
func TestStopEndsWhatDoesNotEnd(t *testing.T) {
	g := newGated()
	s := start(t, Config{DrainGrace: 20 * time.Millisecond}, g.install)
	idle, busy := s.opened(t, klOpen()), s.opened(t, klOpen())
	busy.kl(1, 2)
	g.wait(t)
	call := make(chan error, 1)
	go func() {
		_, err := s.losses.Evaluate(testContext(t), klRequest(1))
		call <- err
	}()
	g.wait(t)
	s.cancel()
	for _, c := range []client{idle, busy} {
		if m := c.receive(); m.GetDraining() == nil {
			t.Errorf("got %v, want draining", m)
		}
		if err := c.ended(); status.Code(err) != codes.Unavailable {
			t.Errorf("stream: got %v, want Unavailable", err)
		}
	}
	if err := <-call; status.Code(err) != codes.Unavailable {
		t.Errorf("call: got %v, want Unavailable", err)
	}
	waitFor(t, s.served, "the server to stop")
}

func TestStopSaysNotServing(t *testing.T) {
	s := start(t, Config{DrainGrace: 50 * time.Millisecond})
	health := healthpb.NewHealthClient(s.conn)
	watch, err := health.Watch(testContext(t), &healthpb.HealthCheckRequest{Service: kantorv1.LossService_ServiceDesc.ServiceName})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING} {
		m, err := watch.Recv()
		if err != nil || m.GetStatus() != want {
			t.Fatalf("got %v, %v, want %v", m, err, want)
		}
		s.cancel()
	}
	waitFor(t, s.served, "the server to stop")
}

func TestHealthNamesEveryService(t *testing.T) {
	s := start(t, Config{})
	for _, service := range []string{"", "kantor.v1.LossService", "kantor.v1.DiagnosticService", "kantor.v1.InfoService"} {
		m, err := healthpb.NewHealthClient(s.conn).Check(testContext(t), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || m.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q: got %v, %v", service, m, err)
		}
	}
}

// The last line of the log tells what was computed; programs read it.
func TestStopLogsTheCounts(t *testing.T) {
	var log syncBuffer
	s := start(t, Config{Logger: logTo(&log)})
	for range 3 {
		if _, err := s.losses.Evaluate(testContext(t), klRequest(1)); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = s.losses.Evaluate(testContext(t), &kantorv1.EvaluateRequest{})
	s.cancel()
	waitFor(t, s.served, "the server to stop")
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	var last struct {
		Message     string `json:"msg"`
		Evaluations int
		Failures    int
		Terms       map[string]int
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if last.Message != "stopped" || last.Evaluations != 3 || last.Failures != 1 || last.Terms["kl"] != 3 {
		t.Errorf("last line %s", lines[len(lines)-1])
	}
	if !strings.Contains(log.String(), `"finished call"`) || strings.Contains(log.String(), "payload") {
		t.Errorf("want a line per call and no payloads: %s", log.String())
	}
}

func TestServeWithAnEndedContextReturns(t *testing.T) {
	srv, err := New(Config{DrainGrace: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Serve(ctx, listener); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

func TestServeReturnsTheListenersError(t *testing.T) {
	srv, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := srv.Serve(t.Context(), listener); err == nil {
		t.Error("no error from a closed listener")
	}
}

// bigSinkhorn would compute for minutes: thousands of points, a low temperature and a tolerance that is never reached.
func bigSinkhorn() *kantorv1.EvaluateRequest {
	const n = 4000
	points := func(shift float64) *kantorv1.Input {
		values := make([]float64, n)
		for i := range values {
			values[i] = shift + float64(i*i%n)/n
		}
		return line(values...)
	}
	term := sinkhornTerm(&kantorv1.SinkhornDivergence{
		Temperature:   &kantorv1.SinkhornDivergence_Epsilon{Epsilon: 1e-4},
		Stop:          &kantorv1.SinkhornDivergence_Tolerance{Tolerance: 1e-300},
		MaxIterations: 1 << 30,
	})
	return &kantorv1.EvaluateRequest{Objective: objective(term), Inputs: map[string]*kantorv1.Input{"source": points(0), "target": points(3)}}
}

// However the caller gives up, the computation ends: goleak finds what goes on, and Serve waits for handlers.
func TestGivingUpStopsComputing(t *testing.T) {
	for name, giveUp := range map[string]func(*started, context.CancelFunc){
		"cancel":     func(_ *started, cancel context.CancelFunc) { cancel() },
		"disconnect": func(s *started, _ context.CancelFunc) { _ = s.conn.Close() },
		"shutdown":   func(s *started, _ context.CancelFunc) { s.cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Config{DrainGrace: time.Millisecond})
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			failed := make(chan error, 1)
			go func() {
				_, err := s.losses.Evaluate(ctx, bigSinkhorn())
				failed <- err
			}()
			c := s.stream(t, ctx)
			req := bigSinkhorn()
			c.open(&kantorv1.Open{Objective: req.GetObjective()})
			c.receive()
			c.batch(&kantorv1.Batch{Id: 1, Inputs: req.GetInputs()})
			time.Sleep(50 * time.Millisecond) // into the computation; giving up before it has to work as well
			giveUp(s, cancel)
			if err := <-failed; err == nil {
				t.Error("the call succeeded")
			}
			s.cancel()
			waitFor(t, s.served, "the computations to end")
		})
	}
}

func TestDeadlineStopsComputing(t *testing.T) {
	var begun atomic.Int64
	s := start(t, Config{}, func(s *Server) {
		s.evaluator.solve = func(e *losses.Evaluation, ctx context.Context) (*losses.Result, error) {
			begun.Add(1)
			return e.Evaluate(ctx)
		}
	})
	// A machine that is busy may take longer than the deadline to get the request to where it is computed.
	for limit := 50 * time.Millisecond; begun.Load() == 0; limit *= 2 {
		ctx, cancel := context.WithTimeout(testContext(t), limit)
		_, err := s.losses.Evaluate(ctx, bigSinkhorn())
		cancel()
		if status.Code(err) != codes.DeadlineExceeded {
			t.Fatalf("got %v, want DeadlineExceeded", err)
		}
	}
	waitUntil(t, func() bool { return s.Stats().Failures >= begun.Load() }, "the computation has ended")
}

// The server's own status for a passed deadline, which a client sees whose clock runs behind.
func TestDeadlineHasAStatus(t *testing.T) {
	s := start(t, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	_, err := s.compute(ctx, bigSinkhorn(), newPassage(s.Server))
	if st := toStatus(err); st.Code() != codes.DeadlineExceeded || len(st.Details()) != 1 {
		t.Errorf("got %v", st)
	}
}

// One seed is one sample, whatever computes beside it.
func TestPriorsAreSeeded(t *testing.T) {
	s := start(t, Config{})
	req := func(seed uint64) *kantorv1.EvaluateRequest {
		prior := &kantorv1.Input{Kind: &kantorv1.Input_Prior{Prior: &kantorv1.Prior{Family: &kantorv1.Prior_StandardNormal{}, Size: 50}}}
		return &kantorv1.EvaluateRequest{
			Objective: objective(sinkhornTerm(&kantorv1.SinkhornDivergence{})),
			Inputs:    map[string]*kantorv1.Input{"source": line(0, 1, 2), "target": prior},
			Seed:      seed,
		}
	}
	evaluate := func(seed uint64) []byte {
		response, err := s.losses.Evaluate(testContext(t), req(seed))
		if err != nil {
			t.Fatal(err)
		}
		return canonical(t, response)
	}
	if a, b := evaluate(1), evaluate(1); !slices.Equal(a, b) {
		t.Error("the same seed gave two results")
	}
	if a, b := evaluate(1), evaluate(2); slices.Equal(a, b) {
		t.Error("two seeds gave one result")
	}
}

func TestOverridesOfAStream(t *testing.T) {
	s := start(t, Config{})
	two := klTerm()
	two.Name, two.Weight = "again", proto.Float64(3)
	c := s.opened(t, &kantorv1.Open{Objective: objective(klTerm(), two)})
	for i, step := range []struct {
		overrides map[string]float64
		want      float64
	}{
		{nil, 2 + 6},
		{map[string]float64{"kl.weight": 10}, 20 + 6},
		{map[string]float64{"kl.weight": 0, "again.weight": 1}, 2},
		{nil, 2 + 6}, // an override is for one batch
	} {
		c.batch(&kantorv1.Batch{Id: uint64(i + 1), Inputs: klInputs(2), Overrides: step.overrides})
		if got := c.result(uint64(i + 1)); got != step.want {
			t.Errorf("%v: got %v, want %v", step.overrides, got, step.want)
		}
	}
	c.end()
}
