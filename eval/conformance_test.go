package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// conformanceCase is a file of testdata/conformance, whose README says what the keys mean.
type conformanceCase struct {
	Name    string
	Source  string
	Request json.RawMessage
	// Diagnose is a DiagnoseRequest in place of the EvaluateRequest.
	Diagnose json.RawMessage
	Expect   *expectation
	Error    *struct{ Code, Field string }
}

type expectation struct {
	Value     wanted
	Tolerance float64
	Terms     map[string]struct {
		outcome
		Outcomes []outcome
		Warnings []string
	}
	Gradients   map[string]wantedTensor
	Diagnostics map[string]wantedDiagnostic
}

// wantedTensor is a gradient, or a detail of a diagnostic.
type wantedTensor struct {
	Dtype     string
	Shape     []int64
	Values    []wanted
	Tolerance float64
}

// outcome is what one problem gives.
type outcome struct {
	Value     wanted
	Tolerance float64
	Contains  *float64
	Converged *bool
}

// wanted is a number in protobuf's JSON form.
type wanted float64

// UnmarshalJSON implements [json.Unmarshaler].
func (w *wanted) UnmarshalJSON(text []byte) error {
	if string(text) == `"Infinity"` {
		*w = wanted(math.Inf(1))
		return nil
	}
	return json.Unmarshal(text, (*float64)(w))
}

// near is the tolerance of the format: relative above 1, absolute below. Equal infinities are near.
func near(got, want, tolerance float64) bool {
	return got == want || math.Abs(got-want) <= tolerance*max(1, math.Abs(want))
}

func TestConformance(t *testing.T) {
	client, diagnostics := serve(t)
	paths, err := filepath.Glob("../testdata/conformance/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var c conformanceCase
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&c); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if c.Name+".json" != filepath.Base(path) || c.Source == "" || (c.Expect == nil) == (c.Error == nil) || (c.Request == nil) == (c.Diagnose == nil) {
			t.Fatalf("%s: want its own name, a source, either request or diagnose, and either expect or error", path)
		}
		if c.Diagnose != nil {
			t.Run(c.Name, func(t *testing.T) { c.diagnose(t, diagnostics) })
			continue
		}
		t.Run(c.Name, func(t *testing.T) { c.run(t, client) })
	}
}

// run sends the request by all three ways and compares them with each other and with what is expected.
func (c conformanceCase) run(t *testing.T, client kantorv1.LossServiceClient) {
	req := &kantorv1.EvaluateRequest{}
	if err := protojson.Unmarshal(c.Request, req); err != nil {
		t.Fatal(err)
	}
	unary, unaryErr := client.Evaluate(t.Context(), req)
	streamed, streamErr := stream(t, client, req)
	dir := t.TempDir()
	command := Command{Request: filepath.Join(dir, "request.json")}
	if err := os.WriteFile(command.Request, c.Request, 0o600); err != nil {
		t.Fatal(err)
	}
	if len(req.GetObjective().GetGradients()) > 0 {
		command.Gradients = filepath.Join(dir, "gradients")
	}
	text, evalErr := run(t, command)
	if c.Error != nil {
		c.checkError(t, map[string]error{"unary": unaryErr, "stream": streamErr}, evalErr)
		return
	}
	for way, err := range map[string]error{"unary": unaryErr, "stream": streamErr, "eval": evalErr} {
		if err != nil {
			t.Fatalf("%s: %v", way, err)
		}
	}
	if got, want := canonical(t, streamed), canonical(t, unary); !bytes.Equal(got, want) {
		t.Errorf("the stream gave %v, the unary call %v", streamed, unary)
	}
	checkEval(t, text, command.Gradients, unary)
	c.Expect.check(t, unary)
}

// stream computes a request on a stream of its own. A refused open is what the unary call would say.
func stream(t *testing.T, client kantorv1.LossServiceClient, req *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
	t.Helper()
	wire, err := client.EvaluateStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	open := &kantorv1.EvaluateStreamRequest_Open{Open: &kantorv1.Open{Objective: req.GetObjective()}}
	batch := &kantorv1.EvaluateStreamRequest_Batch{Batch: &kantorv1.Batch{Id: 1, Inputs: req.GetInputs(), Seed: req.GetSeed()}}
	_ = wire.Send(&kantorv1.EvaluateStreamRequest{Message: open})
	_ = wire.Send(&kantorv1.EvaluateStreamRequest{Message: batch})
	if err := wire.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var response *kantorv1.EvaluateResponse
	var failure error
	for {
		m, err := wire.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return response, failure
		case err != nil:
			return nil, err
		case m.GetResult() != nil:
			response = m.GetResult().GetResponse()
		case m.GetFailure() != nil:
			failure = status.FromProto(m.GetFailure().GetStatus()).Err()
		}
	}
}

// canonical is a response without what a repetition changes.
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

// checkEval compares what the command printed and wrote with a response, bit for bit: JSON has the shortest text that reads as the same number.
func checkEval(t *testing.T, text, dir string, response *kantorv1.EvaluateResponse) {
	t.Helper()
	var want bytes.Buffer
	if err := print(&want, response); err != nil {
		t.Fatal(err)
	}
	if text != want.String() {
		t.Errorf("eval printed %s, the unary call is %s", text, want.String())
	}
	if dir == "" {
		return
	}
	gradients := tensors(response.GetGradients())
	written, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(written) != len(gradients) {
		t.Errorf("eval wrote %v, want %d files (%v)", written, len(gradients), err)
	}
	for name, tensor := range gradients {
		file := name
		if short := shortOf(name); short != "" {
			file = short
		}
		got, err := readTensor(filepath.Join(dir, file+".npy"))
		if err != nil || !proto.Equal(got, tensor) {
			t.Errorf("%s: eval wrote %v, want %v (%v)", name, got, tensor, err)
		}
	}
}

func (c conformanceCase) checkError(t *testing.T, ways map[string]error, evaluated error) {
	t.Helper()
	for way, err := range ways {
		s := status.Convert(err)
		field := ""
		for _, detail := range s.Details() {
			if bad, ok := detail.(*errdetails.BadRequest); ok && len(bad.GetFieldViolations()) == 1 {
				field = bad.GetFieldViolations()[0].GetField()
			}
		}
		code := strings.ReplaceAll(c.Error.Code, "_", "")
		if !strings.EqualFold(s.Code().String(), code) || field != c.Error.Field {
			t.Errorf("%s: got %v for %q, want %s for %q", way, err, field, c.Error.Code, c.Error.Field)
		}
	}
	var bad *losses.InputError
	if !errors.As(evaluated, &bad) || bad.Field != c.Error.Field {
		t.Errorf("eval: got %v, want an error for %q", evaluated, c.Error.Field)
	}
}

func (e *expectation) check(t *testing.T, response *kantorv1.EvaluateResponse) {
	t.Helper()
	if got := response.GetValue(); !near(got, float64(e.Value), e.Tolerance) {
		t.Errorf("value %v, want %v to %v", got, e.Value, e.Tolerance)
	}
	if len(response.GetTerms()) != len(e.Terms) {
		t.Errorf("got %d terms, want %d", len(response.GetTerms()), len(e.Terms))
	}
	for _, term := range response.GetTerms() {
		want, known := e.Terms[term.GetName()]
		outcomes := want.Outcomes
		if outcomes == nil {
			outcomes = []outcome{want.outcome}
		}
		if !known || len(term.GetOutcomes()) != len(outcomes) {
			t.Errorf("term %v, want %d outcomes of one of %v", term, len(outcomes), slices.Sorted(maps.Keys(e.Terms)))
			continue
		}
		for b, want := range outcomes {
			want.check(t, fmt.Sprintf("problem %d of %s", b, term.GetName()), term.GetOutcomes()[b])
		}
		var codes []string
		for _, w := range term.GetWarnings() {
			codes = append(codes, w.GetCode())
		}
		if want.Warnings != nil && !slices.Equal(codes, want.Warnings) {
			t.Errorf("%s: warnings %v, want %v", term.GetName(), codes, want.Warnings)
		}
	}
	e.checkGradients(t, tensors(response.GetGradients()))
}

func (o outcome) check(t *testing.T, name string, got *kantorv1.Outcome) {
	t.Helper()
	if !near(got.GetValue(), float64(o.Value), o.Tolerance) {
		t.Errorf("%s: value %v, want %v to %v", name, got.GetValue(), o.Value, o.Tolerance)
	}
	if i := got.GetInterval(); o.Contains != nil && !(i != nil && i.GetLower() <= *o.Contains && *o.Contains <= i.GetUpper()) {
		t.Errorf("%s: interval %v, want one that contains %v", name, i, *o.Contains)
	}
	if o.Converged != nil && got.GetSolve().GetConverged() != *o.Converged {
		t.Errorf("%s: solve %v, want converged %v", name, got.GetSolve(), *o.Converged)
	}
}

func (e *expectation) checkGradients(t *testing.T, got map[string]*kantorv1.Tensor) {
	t.Helper()
	if len(got) != len(e.Gradients) {
		t.Errorf("gradients of %v, want of %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(e.Gradients)))
	}
	for name, want := range e.Gradients {
		want.check(t, name, got[name])
	}
}

func (w wantedTensor) check(t *testing.T, name string, got *kantorv1.Tensor) {
	t.Helper()
	if got.GetDtype().String() != w.Dtype || !slices.Equal(got.GetShape(), w.Shape) {
		t.Errorf("%s: %v of shape %v, want %s of %v", name, got.GetDtype(), got.GetShape(), w.Dtype, w.Shape)
		return
	}
	for i, v := range elements(got) {
		if v := float64(v.(number)); !near(v, float64(w.Values[i]), w.Tolerance) {
			t.Errorf("%s: %v at %d, want %v to %v", name, v, i, w.Values[i], w.Tolerance)
		}
	}
}
