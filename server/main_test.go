package server

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// patience bounds every wait of these tests. It is never reached unless something is broken.
const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// started is a running server with a client's connection to it.
type started struct {
	*Server
	conn   *grpc.ClientConn
	losses kantorv1.LossServiceClient
	cancel context.CancelFunc // begins to stop the server
	served chan struct{}      // closed when Serve has returned
}

// start serves on loopback until the test ends.
func start(t *testing.T, config Config, edit ...func(*Server)) *started {
	t.Helper()
	if config.DrainGrace == 0 {
		config.DrainGrace = 50 * time.Millisecond
	}
	srv, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range edit {
		f(srv)
	}
	listener, err := Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	s := &started{Server: srv, served: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() {
		defer close(s.served)
		if err := srv.Serve(ctx, listener); err != nil {
			t.Error(err)
		}
	}()
	s.conn = dial(t, listener)
	s.losses = kantorv1.NewLossServiceClient(s.conn)
	t.Cleanup(func() {
		_ = s.conn.Close()
		cancel()
		waitFor(t, s.served, "the server to stop")
	})
	return s
}

func dial(t *testing.T, listener net.Listener) *grpc.ClientConn {
	t.Helper()
	return dialAddress(t, Address(listener))
}

func dialAddress(t *testing.T, address string, more ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options := append(more, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)))
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// testContext ends with the test or, if that hangs, after patience.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func waitFor(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	if !endsWithin(done, patience) {
		t.Fatalf("waited %v for %s", patience, what)
	}
}

// waitUntil polls a condition that other goroutines make true.
func waitUntil(t *testing.T, condition func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("waited %v until %s", patience, what)
}

func f64(shape []int64, values ...float64) *kantorv1.Tensor {
	t := &kantorv1.Tensor{Dtype: kantorv1.Dtype_DTYPE_FLOAT64, Shape: shape}
	for _, v := range values {
		t.Data = binary.LittleEndian.AppendUint64(t.Data, math.Float64bits(v))
	}
	return t
}

// line is a measure of points in one dimension.
func line(points ...float64) *kantorv1.Input {
	return &kantorv1.Input{Kind: &kantorv1.Input_Measure{Measure: &kantorv1.Measure{Points: f64([]int64{int64(len(points)), 1}, points...)}}}
}

// normal is one Gaussian in one dimension.
func normal(mean, logVariance float64) *kantorv1.Input {
	return &kantorv1.Input{Kind: &kantorv1.Input_Gaussian{Gaussian: &kantorv1.Gaussian{
		Mean:   f64([]int64{1, 1}, mean),
		Spread: &kantorv1.Gaussian_LogVariance{LogVariance: f64([]int64{1, 1}, logVariance)},
	}}}
}

func klTerm() *kantorv1.Term {
	return &kantorv1.Term{Loss: &kantorv1.Term_Kl{Kl: &kantorv1.GaussianKl{}}}
}

func sinkhornTerm(s *kantorv1.SinkhornDivergence) *kantorv1.Term {
	return &kantorv1.Term{Loss: &kantorv1.Term_Sinkhorn{Sinkhorn: s}}
}

func objective(terms ...*kantorv1.Term) *kantorv1.Objective { return &kantorv1.Objective{Terms: terms} }

// klRequest is ½mean², the divergence of N(mean, 1).
func klRequest(mean float64) *kantorv1.EvaluateRequest {
	return &kantorv1.EvaluateRequest{Objective: objective(klTerm()), Inputs: klInputs(mean)}
}

func klInputs(mean float64) map[string]*kantorv1.Input {
	return map[string]*kantorv1.Input{"posterior": normal(mean, 0)}
}

// violation returns the code of an error and the field of its one BadRequest violation.
func violation(err error) (codes.Code, string) {
	s := status.Convert(err)
	for _, detail := range s.Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok && len(bad.GetFieldViolations()) == 1 {
			return s.Code(), bad.GetFieldViolations()[0].GetField()
		}
	}
	return s.Code(), ""
}

// wantViolation fails unless err is INVALID_ARGUMENT for the field.
func wantViolation(t *testing.T, err error, field string) {
	t.Helper()
	if code, got := violation(err); code != codes.InvalidArgument || got != field {
		t.Errorf("got %v for field %q, want InvalidArgument for %q (%v)", code, got, field, err)
	}
}

// logTo is a logger that a test reads.
func logTo(w interface{ Write([]byte) (int, error) }) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, nil))
}

// gated is a solver that waits for a test before it solves, and tells when it waits.
type gated struct {
	waiting chan struct{}
	pass    chan struct{}
}

func newGated() *gated { return &gated{make(chan struct{}, 100), make(chan struct{})} }

func (g *gated) solve(e *losses.Evaluation, ctx context.Context) (*losses.Result, error) {
	g.waiting <- struct{}{}
	select {
	case <-g.pass:
		return e.Evaluate(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *gated) install(s *Server) { s.evaluator.solve = g.solve }

func (g *gated) wait(t *testing.T) {
	t.Helper()
	select {
	case <-g.waiting:
	case <-time.After(patience):
		t.Fatal("no batch began to be computed")
	}
}
