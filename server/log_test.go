package server

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	kantorv1 "kantor/gen/kantor/v1"
)

// finishLines returns the lines of ended calls, decoded.
func finishLines(t *testing.T, log string) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(log) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if fields["msg"] == "finished call" {
			lines = append(lines, fields)
		}
	}
	return lines
}

func logAll(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// stopped stops a server and returns what it has logged.
func stopped(t *testing.T, s *started, log *syncBuffer) string {
	t.Helper()
	s.cancel()
	waitFor(t, s.served, "the server to stop")
	return log.String()
}

func TestFinishLineOfACall(t *testing.T) {
	var log syncBuffer
	s := start(t, Config{Logger: logTo(&log)})
	ctx := metadata.AppendToOutgoingContext(testContext(t), requestIDHeader, "step-7")
	if _, err := s.losses.Evaluate(ctx, klRequest(3)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.losses.Evaluate(ctx, &kantorv1.EvaluateRequest{}); err == nil {
		t.Fatal("an empty request has a result")
	}
	lines := finishLines(t, stopped(t, s, &log))
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2: %v", len(lines), lines)
	}
	for name, want := range map[string]any{
		"level": "INFO", "request_id": "step-7", "method": "kantor.v1.LossService/Evaluate", "code": "OK", "caller": "127.0.0.1",
		"losses": "kl", "n": 1.0, "d": 1.0, "results": 1.0, "failures": 0.0, "rejected": 0.0,
	} {
		if lines[0][name] != want {
			t.Errorf("%s: got %v, want %v", name, lines[0][name], want)
		}
	}
	whole, sum := lines[0]["seconds"].(float64), 0.0
	for _, phase := range phaseNames {
		seconds, ok := lines[0][phase+"_seconds"].(float64)
		if !ok || seconds < 0 {
			t.Errorf("%s_seconds: got %v", phase, lines[0][phase+"_seconds"])
		}
		sum += seconds
	}
	if sum <= 0 || sum > whole {
		t.Errorf("the phases take %v s of %v", sum, whole)
	}
	if lines[1]["code"] != "InvalidArgument" || lines[1]["reason"] != "BAD_INPUT" || lines[1]["losses"] != nil {
		t.Errorf("of a bad request: %v", lines[1])
	}
}

// A stream has one line, which sums up its batches.
func TestFinishLineOfAStream(t *testing.T) {
	var log syncBuffer
	s := start(t, Config{Logger: logTo(&log)})
	wire := openStream(t, s, objective(klTerm()))
	for id := range uint64(5) {
		exchange(t, wire, &kantorv1.Batch{Id: id + 1, Inputs: klInputs(float64(id))})
	}
	exchange(t, wire, &kantorv1.Batch{Id: 6, Overrides: map[string]float64{"nothing": 1}}) // fails before it is one
	exchange(t, wire, &kantorv1.Batch{Id: 7})                                              // fails before it is admitted
	if err := wire.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := wire.Recv(); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v, want the end", err)
	}
	lines := finishLines(t, stopped(t, s, &log))
	if len(lines) != 1 || lines[0]["method"] != "kantor.v1.LossService/EvaluateStream" || lines[0]["results"] != 5.0 ||
		lines[0]["failures"] != 2.0 || lines[0]["rejected"] != 0.0 || lines[0]["losses"] != "kl" {
		t.Errorf("got %v, want one line of 5 results and 2 failures", lines)
	}
}

// openStream opens a stream and takes the answer to that.
func openStream(t *testing.T, s *started, o *kantorv1.Objective) streamClient {
	t.Helper()
	wire, err := s.losses.EvaluateStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := wire.Send(&kantorv1.EvaluateStreamRequest{Message: &kantorv1.EvaluateStreamRequest_Open{Open: &kantorv1.Open{Objective: o}}}); err != nil {
		t.Fatal(err)
	}
	if answer, err := wire.Recv(); err != nil || answer.GetOpened() == nil {
		t.Fatalf("got %v, %v, want it opened", answer, err)
	}
	return wire
}

// streamClient is a client's end of a stream.
type streamClient = grpc.BidiStreamingClient[kantorv1.EvaluateStreamRequest, kantorv1.EvaluateStreamResponse]

// exchange sends a batch and takes its answer.
func exchange(t *testing.T, wire streamClient, b *kantorv1.Batch) *kantorv1.EvaluateStreamResponse {
	t.Helper()
	if err := wire.Send(&kantorv1.EvaluateStreamRequest{Message: &kantorv1.EvaluateStreamRequest_Batch{Batch: b}}); err != nil {
		t.Fatal(err)
	}
	answer, err := wire.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// Neither numbers nor names that the caller chose come into the log, at any level, whether a request succeeds or fails, and whatever the words of its error.
func TestLogHasNoPayloads(t *testing.T) {
	const word = "sentinel" // 8 bytes, so that it is a float64 too
	number := math.Float64frombits(binary.LittleEndian.Uint64([]byte(word)))
	var log syncBuffer
	s := start(t, Config{Logger: logAll(&log)})
	named := klTerm()
	named.Name = word
	named.GetKl().Posterior = word
	good := func() *kantorv1.EvaluateRequest {
		return &kantorv1.EvaluateRequest{Objective: objective(named), Inputs: map[string]*kantorv1.Input{word: normal(number, 0)}}
	}
	unused, badName, badGradient := good(), good(), good()
	unused.Inputs[word+"2"] = normal(number, 0)
	badName.Inputs = map[string]*kantorv1.Input{strings.ToUpper(word): normal(number, 0)}
	badGradient.Objective = &kantorv1.Objective{Terms: good().Objective.Terms, Gradients: []string{word + ".nothing"}}
	ctx := metadata.AppendToOutgoingContext(testContext(t), "x-"+word, word, requestIDHeader, word+" ")
	for req, want := range map[*kantorv1.EvaluateRequest]codes.Code{
		good(): codes.OK, unused: codes.InvalidArgument, badName: codes.InvalidArgument, badGradient: codes.InvalidArgument,
	} {
		_, err := s.losses.Evaluate(ctx, req)
		if status.Code(err) != want {
			t.Fatalf("got %v, want %v", err, want)
		}
		if err != nil && !strings.Contains(strings.ToLower(err.Error()), word) {
			t.Errorf("the error does not tell the name, so this proves nothing: %v", err)
		}
	}
	wire := openStream(t, s, objective(named))
	if exchange(t, wire, &kantorv1.Batch{Id: 1, Inputs: good().Inputs}).GetResult() == nil {
		t.Error("the batch has no result")
	}
	if exchange(t, wire, &kantorv1.Batch{Id: 2, Inputs: unused.Inputs, Overrides: map[string]float64{word: number}}).GetFailure() == nil {
		t.Error("the bad batch has no failure")
	}
	_ = wire.CloseSend()
	_, _ = wire.Recv()
	text := strings.ToLower(stopped(t, s, &log))
	if len(finishLines(t, text)) != 5 {
		t.Errorf("want 5 lines of calls: %s", text)
	}
	for _, secret := range []string{word, strconv.FormatFloat(number, 'g', 6, 64)[:6], "posterior"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has %q: %s", secret, text)
		}
	}
}

func TestHealthChecksAreLoggedForDebuggingAlone(t *testing.T) {
	for _, test := range []struct {
		level slog.Level
		lines int
	}{{slog.LevelInfo, 0}, {slog.LevelDebug, 1}} {
		var log syncBuffer
		s := start(t, Config{Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: test.level}))})
		if _, err := healthpb.NewHealthClient(s.conn).Check(testContext(t), &healthpb.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
		if lines := finishLines(t, stopped(t, s, &log)); len(lines) != test.lines {
			t.Errorf("at %v: %d lines, want %d", test.level, len(lines), test.lines)
		}
	}
	if level := finishLevel("/grpc.health.v1.Health/Check", codes.NotFound); level != slog.LevelInfo {
		t.Errorf("a check that fails: got %v, want Info", level)
	}
}

func TestCallOutsideOfTheLogIsNone(t *testing.T) {
	callOf(context.Background()).setCaller("nobody")
	callLines{}.Finished(context.Background(), Finished{Start: time.Now()})
	callLines{}.Rejected(context.Background(), ReasonQueueFull)
}
