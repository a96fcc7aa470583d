package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/server"
)

// Whatever started has become something, and the classes sum to the whole.
func (r *Report) wantBooksClosed(t *testing.T) {
	t.Helper()
	if r.Started != r.Answered+r.Failed+r.Abandoned+r.Interrupted {
		t.Errorf("started %d, answered %d, failed %d, abandoned %d, interrupted %d", r.Started, r.Answered, r.Failed, r.Abandoned, r.Interrupted)
	}
	var answered, failed, failures int64
	for _, c := range r.Classes {
		answered, failed = answered+c.Answered, failed+c.Failed
	}
	for _, f := range r.Failures {
		failures += f.Count
	}
	if answered != r.Answered || failed != r.Failed || failures != r.Failed {
		t.Errorf("classes have %d answered and %d failed, failures are %d; want %d and %d", answered, failed, failures, r.Answered, r.Failed)
	}
}

func TestEveryLoopAgainstAServer(t *testing.T) {
	address := serve(t, server.Config{Version: "v9"})
	for name, edit := range map[string]func(*Config){
		"closed":         func(*Config) {},
		"closed stream":  func(c *Config) { c.Stream = true },
		"open":           func(c *Config) { c.Rate = 200 },
		"open stream":    func(c *Config) { c.Rate, c.Stream = 200, true },
		"two addresses":  func(c *Config) { c.Target.Addresses = []string{address, address} },
		"two losses":     func(c *Config) { c.Losses = []string{"kl", "sinkhorn:blur=0.5"} },
		"losses, stream": func(c *Config) { c.Losses, c.Stream = []string{"kl", "sinkhorn:blur=0.5"}, true },
		"of a process":   func(c *Config) { c.PID = os.Getpid() },
	} {
		t.Run(name, func(t *testing.T) {
			config := few(address)
			edit(&config)
			report := run(t, config)
			report.wantBooksClosed(t)
			if report.Answered < 10 || report.Failed != 0 || report.Differing != 0 || report.Version != "v9" {
				t.Errorf("got %+v, want at least 10 answers of v9 and nothing else", report)
			}
			// The first answer to each request is what others are compared with.
			if first := int64(len(report.Classes) * variants); report.Verified < report.Answered-first {
				t.Errorf("compared %d of %d answers", report.Verified, report.Answered)
			}
			for _, c := range report.Classes {
				if l := c.Latency; c.Answered == 0 || !(l.P50 > 0 && l.P50 <= l.P99 && l.P99 <= l.Max && l.Mean <= l.Max) || c.ComputeSeconds <= 0 {
					t.Errorf("class %+v", c)
				}
			}
		})
	}
}

// Every loss of the contract has inputs that the server takes.
func TestEveryLossIsAccepted(t *testing.T) {
	names := Losses()
	oneof := (&kantorv1.Term{}).ProtoReflect().Descriptor().Oneofs().ByName("loss").Fields()
	if oneof.Len() != len(names) {
		t.Errorf("%d losses have inputs, the contract has %d", len(names), oneof.Len())
	}
	config := few("unused")
	config.Mix, config.Losses = []Share{{Size{33, 3}, 1}}, names
	work, err := kinds(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range work {
		response, err := server.Evaluator{}.Evaluate(t.Context(), k.requests[0])
		if err != nil || len(response.GetGradients()) != 1 {
			t.Errorf("%s: got %v, %v, want a gradient", k.loss, response, err)
		}
	}
}

// fake answers as it is told.
type fake struct {
	kantorv1.UnimplementedLossServiceServer
	kantorv1.UnimplementedInfoServiceServer
	evaluate func(context.Context, *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error)
}

func (f fake) Evaluate(ctx context.Context, r *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
	return f.evaluate(ctx, r)
}

func (f fake) GetServerInfo(context.Context, *kantorv1.GetServerInfoRequest) (*kantorv1.GetServerInfoResponse, error) {
	return &kantorv1.GetServerInfoResponse{}, nil
}

// EvaluateStream gives each batch's answer or failure.
func (f fake) EvaluateStream(wire grpc.BidiStreamingServer[kantorv1.EvaluateStreamRequest, kantorv1.EvaluateStreamResponse]) error {
	if _, err := wire.Recv(); err != nil {
		return err
	}
	opened := &kantorv1.EvaluateStreamResponse_Opened{Opened: &kantorv1.Opened{Window: 2}}
	if err := wire.Send(&kantorv1.EvaluateStreamResponse{Message: opened}); err != nil {
		return err
	}
	for {
		message, err := wire.Recv()
		if err != nil {
			return err
		}
		id := message.GetBatch().GetId()
		response, err := f.evaluate(wire.Context(), &kantorv1.EvaluateRequest{Inputs: message.GetBatch().GetInputs(), Seed: message.GetBatch().GetSeed()})
		out := &kantorv1.EvaluateStreamResponse{Message: &kantorv1.EvaluateStreamResponse_Result{Result: &kantorv1.Result{Id: id, Response: response}}}
		if err != nil {
			out.Message = &kantorv1.EvaluateStreamResponse_Failure{Failure: &kantorv1.Failure{Id: id, Status: status.Convert(err).Proto()}}
		}
		if err := wire.Send(out); err != nil {
			return err
		}
	}
}

func (f fake) serve(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.WaitForHandlers(true))
	kantorv1.RegisterLossServiceServer(s, f)
	kantorv1.RegisterInfoServiceServer(s, f)
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(listener) })
	t.Cleanup(func() {
		s.Stop()
		served.Wait()
	})
	return listener.Addr().String()
}

// A server that stalls once makes all requests late that were due meanwhile, not only the one that it stalled on.
func TestOpenLoopCountsFromWhenRequestsWereDue(t *testing.T) {
	const stall = 300 * time.Millisecond
	var once atomic.Bool
	var one sync.Mutex
	address := fake{evaluate: func(context.Context, *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
		one.Lock()
		defer one.Unlock()
		if !once.Swap(true) {
			time.Sleep(stall)
		}
		return &kantorv1.EvaluateResponse{}, nil
	}}.serve(t)
	config := few(address)
	config.Rate, config.Duration = 200, stall
	report := run(t, config)
	// Those that were due in the first half of the stall waited for its second half.
	if report.Latency.P50 < float64(stall.Milliseconds())/10 || report.Latency.Max < float64(stall.Milliseconds())/2 {
		t.Errorf("got a median of %v ms and a maximum of %v ms, want those of a stall of %v", report.Latency.P50, report.Latency.Max, stall)
	}
}

// A latency is never less than what the server takes.
func TestLatenciesHoldTheServersTime(t *testing.T) {
	const takes = 5 * time.Millisecond
	address := fake{evaluate: func(context.Context, *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
		for start := time.Now(); time.Since(start) < takes; time.Sleep(time.Millisecond) {
		}
		return &kantorv1.EvaluateResponse{}, nil
	}}.serve(t)
	for _, rate := range []float64{0, 100} {
		config := few(address)
		config.Rate = rate
		if report := run(t, config); report.Latency.P50 < 5 || report.Latency.Mean < 5 {
			t.Errorf("rate %v: got a median of %v ms and a mean of %v ms, want at least %v", rate, report.Latency.P50, report.Latency.Mean, takes)
		}
	}
}

func TestFailuresAreCountedByCodeAndReason(t *testing.T) {
	var calls atomic.Int64
	address := fake{evaluate: func(context.Context, *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
		switch calls.Add(1) % 3 {
		case 0:
			return nil, status.Error(codes.Internal, "broken")
		case 1:
			s, _ := status.New(codes.ResourceExhausted, "full").WithDetails(&errdetails.ErrorInfo{Reason: "QUEUE_FULL"})
			return nil, s.Err()
		}
		return &kantorv1.EvaluateResponse{Timing: &kantorv1.Timing{Compute: durationpb.New(time.Second)}}, nil
	}}.serve(t)
	for _, stream := range []bool{false, true} {
		config := few(address)
		config.Stream, config.Mix = stream, config.Mix[:1]
		report := run(t, config)
		report.wantBooksClosed(t)
		found := map[string]int64{}
		for _, f := range report.Failures {
			found[fmt.Sprint(f.Code, " ", f.Reason, " ", f.Class, " ", f.Message)] = f.Count
		}
		if len(found) != 2 || found["Internal  8x2 broken"] == 0 || found["ResourceExhausted QUEUE_FULL 8x2 full"] == 0 {
			t.Errorf("stream %v: got %v, want Internal and ResourceExhausted QUEUE_FULL", stream, found)
		}
		if report.ComputeSeconds != float64(report.Answered) {
			t.Errorf("stream %v: got %v s of %d answers of a second each", stream, report.ComputeSeconds, report.Answered)
		}
		table := &strings.Builder{}
		if err := report.Table(table); err != nil || !strings.Contains(table.String(), "QUEUE_FULL") {
			t.Errorf("%v\n%s", err, table)
		}
	}
}

func TestDifferingAnswersAreFound(t *testing.T) {
	var calls atomic.Int64
	address := fake{evaluate: func(context.Context, *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
		n := calls.Add(1)
		timing := &kantorv1.Timing{Compute: durationpb.New(time.Duration(n))} // which may differ
		return &kantorv1.EvaluateResponse{Value: float64(n / 40), Timing: timing}, nil
	}}.serve(t)
	config := few(address)
	config.Mix, config.Trainers, config.Duration = config.Mix[:1], 1, time.Second
	report := run(t, config)
	// The first 39 answers are equal, and among them the first one to each request.
	if report.Answered < 80 || report.Differing != report.Answered-39 {
		t.Errorf("%d of %d differ, %d were compared, want all but 39", report.Differing, report.Answered, report.Verified)
	}
}

// Requests that are given up on purpose are no failures, and the trainers go on.
func TestAbandonedRequests(t *testing.T) {
	address := fake{evaluate: func(ctx context.Context, _ *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
		select {
		case <-time.After(2 * time.Millisecond):
			return &kantorv1.EvaluateResponse{}, nil
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}}.serve(t)
	for _, stream := range []bool{false, true} {
		config := few(address)
		config.Stream, config.Cancel, config.Disconnect = stream, 0.3, 0.3
		report := run(t, config)
		report.wantBooksClosed(t)
		if report.Abandoned == 0 || report.Answered == 0 || report.Failed != 0 {
			t.Errorf("stream %v: got %+v, want some abandoned, some answered, none failed", stream, report)
		}
	}
}

// What was measured until the context ends is reported.
func TestInterrupted(t *testing.T) {
	var once sync.Once
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	address := fake{evaluate: func(own context.Context, _ *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
		once.Do(cancel)
		<-own.Done()
		return nil, status.FromContextError(own.Err()).Err()
	}}.serve(t)
	for _, rate := range []float64{0, 1000} {
		config := few(address)
		config.Rate, config.Duration = rate, time.Hour
		report, err := Run(ctx, config)
		if rate == 0 && (err != nil || report.Interrupted == 0 || report.Failed != 0) {
			t.Errorf("got %+v, %v, want the interrupted", report, err)
		}
		if rate > 0 && err == nil { // the context had ended before it began
			t.Errorf("got %+v, want that no server was asked", report)
		}
	}
}

func TestDeadline(t *testing.T) {
	address := fake{evaluate: func(ctx context.Context, _ *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}}.serve(t)
	for _, stream := range []bool{false, true} {
		config := few(address)
		config.Stream, config.Deadline = stream, 100*time.Millisecond
		report := run(t, config)
		report.wantBooksClosed(t)
		if report.Failed == 0 || report.Answered != 0 || report.Failures[0].Code != "DeadlineExceeded" {
			t.Errorf("stream %v: got %+v, want DeadlineExceeded", stream, report)
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for want, edit := range map[string]func(*Config){
		"address: is missing":                      func(c *Config) { c.Target.Addresses = nil },
		"mix: is empty":                            func(c *Config) { c.Mix = nil },
		"loss: is missing":                         func(c *Config) { c.Losses = nil },
		`loss: "sinkhron" is no loss`:              func(c *Config) { c.Losses = []string{"sinkhron"} },
		`loss: "blurr" is no field`:                func(c *Config) { c.Losses = []string{"sinkhorn:blurr=1"} },
		"rate: is -1":                              func(c *Config) { c.Rate = -1 },
		"trainers: is 0":                           func(c *Config) { c.Trainers = 0 },
		"duration: is 0s":                          func(c *Config) { c.Duration = 0 },
		"deadline: is 0s":                          func(c *Config) { c.Deadline = 0 },
		"verify: is 2":                             func(c *Config) { c.Verify = 2 },
		"cancel, disconnect: are 0.7 and 0.7":      func(c *Config) { c.Cancel, c.Disconnect = 0.7, 0.7 },
		"cancel, disconnect: are for trainers":     func(c *Config) { c.Cancel, c.Rate = 0.1, 1 },
		"mix: 1000000x600 takes":                   func(c *Config) { c.Mix = []Share{{Size{1000000, 600}, 1}} },
		"trainers: are 1, want as many as losses":  func(c *Config) { c.Stream, c.Trainers, c.Losses = true, 1, []string{"kl", "sinkhorn"} },
		"pid: open /proc/-1/stat":                  func(c *Config) { c.PID = -1 },
		"token: would go to other:1 in plain text": func(c *Config) { c.Target = Target{Addresses: []string{"other:1"}, Token: "secret"} },
		"ca: open nowhere":                         func(c *Config) { c.Target.CA = "nowhere" },
		"cert, key: are given one without":         func(c *Config) { c.Target.Certificate = "x" },
	} {
		config := few(serve(t, server.Config{}))
		edit(&config)
		_, err := Run(t.Context(), config)
		var input *losses.InputError
		if !errors.As(err, &input) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestParseMix(t *testing.T) {
	mix, err := ParseMix("64x16:9, 1024x32")
	if err != nil || len(mix) != 2 || mix[0] != (Share{Size{64, 16}, 9}) || mix[1] != (Share{Size{1024, 32}, 1}) {
		t.Errorf("got %v, %v", mix, err)
	}
	for text, want := range map[string]string{
		"":            `mix: got "", want NxD`,
		"64":          `mix: got "64", want NxD`,
		"64x":         `mix: got "64x", want NxD`,
		"64x2:":       `mix: got "64x2:", want NxD`,
		"0x2":         "mix: 0x2 has 0 points",
		"2x0":         "mix: 2x0 is of dimension 0",
		"2x2:0":       "mix: 2x2:0 has a weight of 0",
		"2x2:NaN":     "mix: 2x2:NaN has a weight of NaN",
		"2x2,2x2":     "mix: 2x2 is given twice",
		"99999999x2":  "mix: 99999999x2 has 99999999 points",
		"2x999999999": "mix: 2x999999999 is of dimension 999999999",
	} {
		if _, err := ParseMix(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// The mix and the losses come as often as they are told to.
func TestPick(t *testing.T) {
	config := few("unused")
	config.Losses = []string{"kl", "sinkhorn"}
	work, err := kinds(config)
	if err != nil {
		t.Fatal(err)
	}
	if len(work) != 4 || work[1].upTo != 0.75 || work[3].upTo != 1 {
		t.Errorf("got %v", work)
	}
}
