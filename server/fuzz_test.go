package server

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// FuzzDecodeTensor wants no panic, nothing but InputErrors, and an array that is the tensor's bytes and no more.
func FuzzDecodeTensor(f *testing.F) {
	f.Add(int32(1), int64(1), int64(1), uint8(2), []byte{0, 0, 0, 0})
	f.Add(int32(2), int64(1), int64(2), uint8(2), make([]byte, 16))
	f.Add(int32(2), int64(0), int64(math.MaxInt64), uint8(2), []byte{})
	f.Add(int32(2), int64(1<<20), int64(1<<20), uint8(5), []byte{1})
	f.Add(int32(1), int64(math.MinInt64), int64(-1), uint8(2), make([]byte, 4))
	f.Add(int32(9), int64(1), int64(1), uint8(0), make([]byte, 4))
	f.Add(int32(1), int64(1), int64(1), uint8(255), make([]byte, 4))
	f.Fuzz(func(t *testing.T, dtype int32, even, odd int64, rank uint8, data []byte) {
		shape := make([]int64, rank)
		for i := range shape {
			shape[i] = even
			if i%2 == 1 {
				shape[i] = odd
			}
		}
		a, err := decodeTensor("x", &kantorv1.Tensor{Dtype: kantorv1.Dtype(dtype), Shape: shape, Data: data})
		if err != nil {
			wantInputError(t, err)
			return
		}
		if bytes := 4*len(a.F32) + 8*len(a.F64); bytes != len(data) {
			t.Errorf("%d bytes became %d", len(data), bytes)
		}
	})
}

// FuzzDecodeRequest wants of any bytes no panic, nothing but InputErrors, and no more memory than a multiple of what was sent.
func FuzzDecodeRequest(f *testing.F) {
	for _, req := range conformanceRequests(f) {
		raw, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var req kantorv1.EvaluateRequest
		if proto.Unmarshal(raw, &req) != nil {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		objective, inputs, err := decode(&req)
		runtime.ReadMemStats(&after)
		// Paths and names of fields cost a few hundred bytes each, for a few bytes sent; tensors cost themselves.
		if used, limit := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+1000*len(raw)); used > limit {
			t.Errorf("%d bytes took %d to decode, want at most %d", len(raw), used, limit)
		}
		if err != nil {
			wantInputError(t, err)
			return
		}
		// A sampled prior is the one thing that is larger than what was sent; losses bounds it by MaxElements.
		for name, input := range inputs {
			if p, ok := input.(*losses.Prior); ok && p.Size > 1000 {
				p.Size = 1000
				inputs[name] = p
			}
		}
		if _, err := objective.Bind(inputs, req.GetSeed()); err != nil {
			wantInputError(t, err)
		}
	})
}

// FuzzDiagnoseRequest wants of any bytes no panic and nothing but InputErrors that do not speak of objectives.
func FuzzDiagnoseRequest(f *testing.F) {
	for _, req := range conformanceDiagnoses(f) {
		raw, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var req kantorv1.DiagnoseRequest
		if proto.Unmarshal(raw, &req) != nil {
			return
		}
		for name, input := range req.GetInputs() { // a sampled prior is the one thing that is larger than what was sent
			if p := input.GetPrior(); p != nil && p.GetSize() > 1000 {
				delete(req.Inputs, name)
			}
		}
		if _, err := bindDiagnostics(&req); err != nil {
			wantInputError(t, err)
			var bad *losses.InputError
			if errors.As(err, &bad) && strings.HasPrefix(bad.Field, "objective") {
				t.Errorf("%v speaks of an objective", err)
			}
		}
	})
}

// FuzzStreamFrame wants of any frame, first or later, an answer, a failure or a refusal, and no panic.
func FuzzStreamFrame(f *testing.F) {
	open := &kantorv1.EvaluateStreamRequest{Message: &kantorv1.EvaluateStreamRequest_Open{Open: klOpen()}}
	batch := &kantorv1.EvaluateStreamRequest{Message: &kantorv1.EvaluateStreamRequest_Batch{
		Batch: &kantorv1.Batch{Id: 1, Inputs: klInputs(1), Overrides: map[string]float64{"kl.weight": 2}},
	}}
	for _, frames := range [][2]*kantorv1.EvaluateStreamRequest{{open, batch}, {open, open}, {batch, open}, {open, {}}} {
		var raw [2][]byte
		for i, m := range frames {
			var err error
			if raw[i], err = proto.Marshal(m); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(raw[0], raw[1])
	}
	srv, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { srv.Drain(0) })
	// What is computed is not the matter here.
	srv.evaluator.solve = func(*losses.Evaluation, context.Context) (*losses.Result, error) { return &losses.Result{}, nil }
	f.Fuzz(func(t *testing.T, first, second []byte) {
		st := newStream(srv, nil)
		for _, raw := range [][]byte{first, second} {
			var m kantorv1.EvaluateStreamRequest
			if proto.Unmarshal(raw, &m) != nil {
				return
			}
			if err := st.receive(t.Context(), frame{message: &m}); err != nil {
				wantInputError(t, err)
				return
			}
		}
		st.workers.Wait()
		close(st.finished)
		for done := range st.finished {
			done.answer.message = done.message
		}
		for _, a := range st.queue {
			if failure := a.message.GetFailure(); failure.GetStatus().GetCode() == int32(codes.Internal) {
				t.Errorf("got %v", status.FromProto(failure.GetStatus()))
			}
		}
		st.letGo()
		if load := srv.Load(); load != (Load{}) {
			t.Errorf("nothing is left to do, but the load is %+v", load)
		}
	})
}

func wantInputError(t *testing.T, err error) {
	t.Helper()
	var bad *losses.InputError
	if !errors.As(err, &bad) || bad.Field == "" || bad.Reason == "" {
		t.Errorf("got %v, want an InputError with a field and a reason", err)
	}
}

// conformanceRequests are the requests of testdata/conformance.
func conformanceRequests(tb testing.TB) []*kantorv1.EvaluateRequest {
	tb.Helper()
	files, err := filepath.Glob("../testdata/conformance/*.json")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no cases: %v", err)
	}
	var requests []*kantorv1.EvaluateRequest
	for _, file := range files {
		if given := conformanceCase(tb, file).Request; given != nil {
			requests = append(requests, fromJSON(tb, file, given, &kantorv1.EvaluateRequest{}))
		}
	}
	return requests
}

// conformanceDiagnoses are those for diagnostics.
func conformanceDiagnoses(tb testing.TB) []*kantorv1.DiagnoseRequest {
	tb.Helper()
	files, err := filepath.Glob("../testdata/conformance/*.json")
	var requests []*kantorv1.DiagnoseRequest
	for _, file := range files {
		if given := conformanceCase(tb, file).Diagnose; given != nil {
			requests = append(requests, fromJSON(tb, file, given, &kantorv1.DiagnoseRequest{}))
		}
	}
	if err != nil || len(requests) == 0 {
		tb.Fatalf("no cases: %v", err)
	}
	return requests
}

// conformanceCase reads a case: it has one of both requests.
func conformanceCase(tb testing.TB, file string) (c struct{ Request, Diagnose json.RawMessage }) {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
	return c
}

func fromJSON[M proto.Message](tb testing.TB, file string, text []byte, message M) M {
	tb.Helper()
	if err := protojson.Unmarshal(text, message); err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
	return message
}

// FuzzParseTokens wants of any file no panic, no secret in an error, and that what is accepted is found by its text alone.
func FuzzParseTokens(f *testing.F) {
	for _, text := range []string{"", "# x\n", "one:" + tokenA, "one:" + tokenA + "\r\n two:" + tokenB + "\n", "one:sha256:" + hexDigest(tokenA), "one:sha256:00",
		"one:" + tokenA + "\ntwo:" + tokenA, "\x00:" + tokenA, "one:" + tokenA + "=\n", "sha256:" + tokenA, "one:two:" + tokenA, ":\n::\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		tokens, err := parseTokens(text)
		accepted := &Tokens{}
		accepted.current.Store(&tokens)
		for line := range strings.SplitSeq(string(text), "\n") {
			name, secret, _ := strings.Cut(strings.TrimSpace(line), ":")
			if err != nil && len(secret) >= minTokenBytes && strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells %q: %v", secret, err)
			}
			if err != nil || line == "" || strings.HasPrefix(name, "#") || secret == "" || strings.HasPrefix(secret, "sha256:") {
				continue
			}
			if found := accepted.find(secret); found == nil || found.name != name {
				t.Errorf("%q is not found as %q's", secret, name)
			}
		}
		if err == nil && (len(tokens) == 0 || len(tokens) > maxTokens || accepted.find("") != nil) {
			t.Errorf("%d tokens were accepted", len(tokens))
		}
	})
}
