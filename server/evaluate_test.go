package server

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

func TestEvaluateGivesValueGradientAndBuild(t *testing.T) {
	s := start(t, Config{Version: "v1.2.3"})
	req := klRequest(3)
	req.Objective.Gradients = []string{"posterior.mean"}
	response, err := s.losses.Evaluate(testContext(t), req)
	if err != nil {
		t.Fatal(err)
	}
	if response.GetValue() != 4.5 {
		t.Errorf("value %v, want ½·3²", response.GetValue())
	}
	want := &kantorv1.Input{Kind: &kantorv1.Input_Gaussian{Gaussian: &kantorv1.Gaussian{Mean: f64([]int64{1, 1}, 3)}}}
	if got := response.GetGradients()["posterior"]; !proto.Equal(got, want) || len(response.GetGradients()) != 1 {
		t.Errorf("gradients %v, want only the mean's, 3", response.GetGradients())
	}
	if b := response.GetBuild(); b.GetVersion() != "v1.2.3" || b.GetKernel() != losses.Kernel() || b.GetPairMemoryBytes() != losses.PairMemory() {
		t.Errorf("build %v", b)
	}
	if response.GetTiming().GetDecode() == nil || response.GetTiming().GetCompute() == nil {
		t.Errorf("timing %v, want decode and compute", response.GetTiming())
	}
}

// Every number that says how a solve ended reaches the caller under its own name.
func TestASolveIsEncodedInFull(t *testing.T) {
	solve := losses.Solve{Converged: true, Iterations: 7, MarginalError: 0.5, Epsilon: 0.25, Strategy: "float32 kernel, stored"}
	got := encode(&losses.Result{Terms: []losses.TermResult{{Outcomes: []losses.Outcome{{Solve: &solve}}}}}).GetTerms()[0].GetOutcomes()[0].GetSolve()
	want := &kantorv1.Solve{Converged: true, Iterations: 7, MarginalError: 0.5, Epsilon: 0.25, Strategy: "float32 kernel, stored"}
	if !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestStatsCountEvaluationsTermsAndFailures(t *testing.T) {
	s := start(t, Config{})
	two := klRequest(1)
	two.Objective.Terms = append(two.Objective.Terms, &kantorv1.Term{Name: "again", Loss: klTerm().GetLoss()})
	for _, req := range []*kantorv1.EvaluateRequest{klRequest(1), two, {}} {
		_, _ = s.losses.Evaluate(testContext(t), req)
	}
	got := s.Stats()
	if got.Evaluations != 2 || got.Failures != 1 || got.Terms["kl"] != 3 || got.Terms["sinkhorn"] != 0 || len(got.Terms) != len(lossNames()) {
		t.Errorf("stats %+v, want 2 evaluations with 3 kl terms and 1 failure", got)
	}
}

// The field's name in the contract is the loss's kind, in paths and in counters.
func TestLossNamesAreKinds(t *testing.T) {
	for _, name := range lossNames() {
		term := &kantorv1.Term{}
		term.ProtoReflect().Mutable(lossOneof.Fields().ByName(protoreflect.Name(name)))
		loss, err := decodeLoss("", term)
		if err != nil || loss.Kind() != name {
			t.Errorf("%s: kind %v, error %v", name, loss, err)
		}
	}
}

func TestServerInfoTellsLimits(t *testing.T) {
	s := start(t, Config{MessageBytes: 1 << 20, Window: 2, MemoryBytes: 1 << 30, Queue: 7, QueueWait: time.Second, StreamIdle: time.Minute})
	info, err := kantorv1.NewInfoServiceClient(s.conn).GetServerInfo(testContext(t), &kantorv1.GetServerInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := &kantorv1.Limits{MessageBytes: 1 << 20, Points: losses.MaxPoints, Dimension: losses.MaxDimension, Terms: losses.MaxTerms, Window: 2,
		Problems: losses.MaxProblems, MemoryBytes: 6 << 27, Queue: 7, RunningSmall: int32(max(4, 2*losses.Processors())),
		RunningLarge: int32(max(8, losses.Processors())), QueueWait: durationpb.New(time.Second), StreamIdle: durationpb.New(time.Minute)}
	names := []string{"sinkhorn", "kantorovich", "kl", "transport", "sliced", "bures", "mmd", "stein", "cone_critic", "categorical_kl", "bernoulli_kl",
		"von_mises_fisher_kl", "discrete_kl", "jensen_shannon", "total_correlation", "dip", "stress"}
	diagnostics := []string{"active_units", "nearest_neighbour_kl", "entropy", "permutation_test", "effective_scale", "expected_shrink"}
	if !proto.Equal(info.GetLimits(), want) || !slices.Equal(info.GetLosses(), names) || !slices.Equal(info.GetDiagnostics(), diagnostics) {
		t.Errorf("info %v", info)
	}
}

// Unknown fields are refused wherever they stand.
func TestUnknownFieldsAreRefused(t *testing.T) {
	s := start(t, Config{})
	unknown := protoreflect.RawFields(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
	prior := &kantorv1.Input{Kind: &kantorv1.Input_Prior{Prior: &kantorv1.Prior{}}}
	for field, place := range map[string]func(*kantorv1.EvaluateRequest) proto.Message{
		"request":               func(r *kantorv1.EvaluateRequest) proto.Message { return r },
		"objective":             func(r *kantorv1.EvaluateRequest) proto.Message { return r.GetObjective() },
		"objective.terms[0]":    func(r *kantorv1.EvaluateRequest) proto.Message { return r.GetObjective().GetTerms()[0] },
		"objective.terms[0].kl": func(r *kantorv1.EvaluateRequest) proto.Message { return r.GetObjective().GetTerms()[0].GetKl() },
		`inputs["posterior"]`:   func(r *kantorv1.EvaluateRequest) proto.Message { return r.GetInputs()["posterior"].GetGaussian() },
		`inputs["posterior"].mean`: func(r *kantorv1.EvaluateRequest) proto.Message {
			return r.GetInputs()["posterior"].GetGaussian().GetMean()
		},
		`inputs["additional"].prior`: func(r *kantorv1.EvaluateRequest) proto.Message { return r.GetInputs()["additional"].GetPrior() },
	} {
		req := klRequest(1)
		req.Inputs["additional"] = proto.CloneOf(prior)
		place(req).ProtoReflect().SetUnknown(unknown)
		_, err := s.losses.Evaluate(testContext(t), req)
		wantViolation(t, err, field)
	}
	_, err := kantorv1.NewInfoServiceClient(s.conn).GetServerInfo(testContext(t), withUnknown(&kantorv1.GetServerInfoRequest{}, unknown))
	wantViolation(t, err, "request")
}

func withUnknown[M proto.Message](m M, unknown protoreflect.RawFields) M {
	m.ProtoReflect().SetUnknown(unknown)
	return m
}

// A name may be as long as a message, and an error must still fit into the trailer.
func TestErrorsAreClipped(t *testing.T) {
	s := start(t, Config{})
	req := klRequest(1)
	req.Inputs[strings.Repeat("é", 100_000)] = normal(0, 0)
	_, err := s.losses.Evaluate(testContext(t), req)
	code, field := violation(err)
	if text := status.Convert(err).Message(); code != codes.InvalidArgument || len(field) > maxFieldBytes || len(text) > maxFieldBytes+maxReasonBytes+2 {
		t.Errorf("got %v with a field of %d bytes and a message of %d", code, len(field), len(text))
	}
}

func TestClipKeepsCharactersWhole(t *testing.T) {
	for text, want := range map[string]string{"abc": "abc", "abcdef": "abcdef", "abcdefg": "abc…", "abééé": "ab…"} {
		if got := clip(text, 6); got != want {
			t.Errorf("clip(%q, 6) = %q, want %q", text, got, want)
		}
	}
}

// panicking stands in for a loss with a bug.
func panicking(*losses.Evaluation, context.Context) (*losses.Result, error) { panic("secret") }

func TestPanicIsMaskedAndTheServerLives(t *testing.T) {
	var log syncBuffer
	s := start(t, Config{Logger: logTo(&log)}, func(s *Server) { s.evaluator.solve = panicking })
	for range 2 {
		_, err := s.losses.Evaluate(testContext(t), klRequest(1))
		if st := status.Convert(err); st.Code() != codes.Internal || strings.Contains(st.String(), "secret") {
			t.Errorf("got %v, want INTERNAL without the panic's text", st)
		}
	}
	if text := log.String(); !strings.Contains(text, "secret") || !strings.Contains(text, "evaluate_test.go") {
		t.Errorf("the log lacks the panic's text or stack: %s", text)
	}
	if got := s.Stats(); got.Failures != 2 {
		t.Errorf("stats %+v, want 2 failures", got)
	}
}

// What panics outside of compute is masked by the interceptors, of unary calls and of streams.
func TestRecoveryCoversOtherCalls(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Drain(0)
	unary, stream := s.interceptors()
	inUnary := throughUnary(t.Context(), unary, func(context.Context, any) (any, error) { panic("secret") })
	inStream := throughStream(contextStream{ctx: t.Context()}, stream, func(any, grpc.ServerStream) error { panic("secret") })
	for _, err := range []error{inUnary, inStream} {
		if st := status.Convert(err); st.Code() != codes.Internal || strings.Contains(st.String(), "secret") {
			t.Errorf("got %v, want INTERNAL, masked", st)
		}
	}
}

// throughUnary calls a handler through interceptors, as gRPC does.
func throughUnary(ctx context.Context, interceptors []grpc.UnaryServerInterceptor, handler grpc.UnaryHandler) error {
	for _, each := range slices.Backward(interceptors) {
		inner := handler
		handler = func(ctx context.Context, req any) (any, error) {
			return each(ctx, req, &grpc.UnaryServerInfo{FullMethod: "/a/B"}, inner)
		}
	}
	_, err := handler(grpc.NewContextWithServerTransportStream(ctx, headers{}), nil)
	return err
}

// throughStream does for a stream what throughUnary does for a call.
func throughStream(wire grpc.ServerStream, interceptors []grpc.StreamServerInterceptor, handler grpc.StreamHandler) error {
	for _, each := range slices.Backward(interceptors) {
		inner := handler
		handler = func(srv any, wire grpc.ServerStream) error {
			return each(srv, wire, &grpc.StreamServerInfo{FullMethod: "/a/B"}, inner)
		}
	}
	return handler(nil, wire)
}

// headers take what interceptors say of a call.
type headers struct{ grpc.ServerTransportStream }

func (headers) SetHeader(metadata.MD) error { return nil }

// contextStream is a server's stream of which only the context and the header are used.
type contextStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (b contextStream) Context() context.Context    { return b.ctx }
func (b contextStream) SetHeader(metadata.MD) error { return nil }

func TestMessagesAboveTheLimitAreRefused(t *testing.T) {
	s := start(t, Config{MessageBytes: 4096})
	big := &kantorv1.EvaluateRequest{Objective: objective(klTerm()), Inputs: map[string]*kantorv1.Input{"posterior": line(make([]float64, 1000)...)}}
	if _, err := s.losses.Evaluate(testContext(t), big); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a request of 8000 bytes: got %v, want ResourceExhausted", err)
	}
	// 300 float32 fit; their means as 300 float64, twice, do not.
	wide := klRequest(0)
	mean := &kantorv1.Tensor{Dtype: kantorv1.Dtype_DTYPE_FLOAT32, Shape: []int64{1, 300}, Data: make([]byte, 1200)}
	wide.Inputs["posterior"].GetGaussian().Mean = mean
	wide.Inputs["posterior"].GetGaussian().Spread = &kantorv1.Gaussian_LogVariance{LogVariance: mean}
	wide.Objective.Terms = append(wide.Objective.Terms, &kantorv1.Term{Name: "again", Loss: klTerm().GetLoss()})
	wide.Objective.Extras = []string{"kl.per_dimension", "again.per_dimension"}
	if _, err := s.losses.Evaluate(testContext(t), wide); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a response of 4800 bytes: got %v, want ResourceExhausted", err)
	}
	if _, err := s.losses.Evaluate(testContext(t), klRequest(1)); err != nil {
		t.Errorf("the server does not live on: %v", err)
	}
}

func TestStatusOfEachError(t *testing.T) {
	for _, c := range []struct {
		err  error
		code codes.Code
	}{
		{nil, codes.OK},
		{badf("f", "r"), codes.InvalidArgument},
		{context.Canceled, codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{errStopping, codes.Unavailable},
		{errInternal, codes.Internal},
		{&tooLargeError{"r"}, codes.ResourceExhausted},
		{status.Error(codes.Aborted, "gRPC's own"), codes.Aborted},
		{errors.New("of no known kind"), codes.Internal},
	} {
		s := toStatus(c.err)
		if s.Code() != c.code || strings.Contains(s.Message(), "of no known kind") {
			t.Errorf("%v: got %v, want %v", c.err, s, c.code)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []Config{{MessageBytes: -1}, {Window: -1}, {DrainGrace: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}

func TestTensorsRoundTrip(t *testing.T) {
	for _, a := range []losses.Array{
		{Shape: []int{2, 3}, F64: []float64{0, math.Copysign(0, -1), 1e-310, math.MaxFloat64, -1, math.Pi}},
		{Shape: []int{2}, F32: []float32{math.SmallestNonzeroFloat32, -3}},
	} {
		got, err := decodeTensor("x", encodeTensor(a))
		if err != nil || !slices.Equal(got.Shape, a.Shape) || !slices.Equal(got.F32, a.F32) || !slices.Equal(got.F64, a.F64) {
			t.Errorf("%v became %v, %v", a, got, err)
		}
	}
}
