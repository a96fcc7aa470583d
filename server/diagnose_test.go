package server

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

func diagnose(t *testing.T, s *started, req *kantorv1.DiagnoseRequest) (*kantorv1.DiagnoseResponse, error) {
	t.Helper()
	return kantorv1.NewDiagnosticServiceClient(s.conn).Diagnose(testContext(t), req)
}

func activeUnits(m *kantorv1.ActiveUnits) *kantorv1.Diagnostic {
	return &kantorv1.Diagnostic{Kind: &kantorv1.Diagnostic_ActiveUnits{ActiveUnits: m}}
}

func permutationTest(m *kantorv1.PermutationTest) *kantorv1.Diagnostic {
	return &kantorv1.Diagnostic{Kind: &kantorv1.Diagnostic_PermutationTest{PermutationTest: m}}
}

func neighbourKl(m *kantorv1.NearestNeighbourKl) *kantorv1.Diagnostic {
	return &kantorv1.Diagnostic{Kind: &kantorv1.Diagnostic_NearestNeighbourKl{NearestNeighbourKl: m}}
}

func effectiveScale(m *kantorv1.EffectiveScale) *kantorv1.Diagnostic {
	return &kantorv1.Diagnostic{Kind: &kantorv1.Diagnostic_EffectiveScale{EffectiveScale: m}}
}

func expectedShrink(m *kantorv1.ExpectedShrink) *kantorv1.Diagnostic {
	return &kantorv1.Diagnostic{Kind: &kantorv1.Diagnostic_ExpectedShrink{ExpectedShrink: m}}
}

func entropy(m *kantorv1.Entropy) *kantorv1.Diagnostic {
	return &kantorv1.Diagnostic{Kind: &kantorv1.Diagnostic_Entropy{Entropy: m}}
}

// The field's name in the contract is the diagnostic's kind, in paths and as the default name.
func TestDiagnosticNamesAreKinds(t *testing.T) {
	for _, name := range fieldNames(diagnosticOneof) {
		d := &kantorv1.Diagnostic{}
		d.ProtoReflect().Mutable(diagnosticOneof.Fields().ByName(protoreflect.Name(name)))
		loss, err := decodeDiagnostic("", d)
		if err != nil || loss.Kind() != name {
			t.Errorf("%s: kind %v, error %v", name, loss, err)
		}
	}
}

// All of them in one request, with the numbers that they have for the points ±1 and ±2, every parameter set.
func TestDiagnoseGivesEachDiagnostic(t *testing.T) {
	s := start(t, Config{Version: "v1.2.3"})
	threshold, blur := 2.0, 1.0
	named := permutationTest(&kantorv1.PermutationTest{Source: "y", Target: "x", Kernel: kantorv1.Kernel_KERNEL_GAUSSIAN, Blur: &blur, Permutations: 19})
	named.Name = "p"
	response, err := diagnose(t, s, &kantorv1.DiagnoseRequest{
		Inputs: map[string]*kantorv1.Input{"x": line(-1, 1), "y": line(-2, 2), "g": normal(0, 2)},
		Diagnostics: []*kantorv1.Diagnostic{
			activeUnits(&kantorv1.ActiveUnits{Posterior: "y", Threshold: &threshold}),
			neighbourKl(&kantorv1.NearestNeighbourKl{Source: "x", Target: "y", Neighbours: 1}),
			entropy(&kantorv1.Entropy{Source: "g"}),
			named,
			effectiveScale(&kantorv1.EffectiveScale{Source: "x", Target: "y"}),
			expectedShrink(&kantorv1.ExpectedShrink{Source: "x", Target: "y", Debias: kantorv1.Debias_DEBIAS_SPLIT,
				Temperature: &kantorv1.ExpectedShrink_Epsilon{Epsilon: 0.5}}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	gaussian := func(d float64) float64 { return math.Exp(-d * d / 2) }
	want := []struct {
		name   string
		value  float64
		detail string
		number float64
	}{
		{"active_units", 1, "variance", 4},
		{"nearest_neighbour_kl", math.Log(2) - math.Log(2), "", 0}, // the other of its own is 2 away, the nearer of the others 1; m/(n-1) = 2
		{"entropy", 0.5*math.Log(2*math.Pi*math.E) + 1, "", 0},
		{"p", 0, "statistic", gaussian(2) + gaussian(4) - gaussian(1) - gaussian(3)},
		{"effective_scale", 0.5, "per_dimension", 0.5},
		{"expected_shrink", 1, "epsilon", 0.5},
	}
	if len(response.GetDiagnostics()) != len(want) {
		t.Fatalf("got %v", response.GetDiagnostics())
	}
	for i, w := range want {
		got := response.GetDiagnostics()[i]
		if w.name == "p" {
			w.value = got.GetValues()[0] // of chance
			if p := 20 * w.value; p != math.Trunc(p) || p < 1 || p > 20 {
				t.Errorf("p is %v, want a multiple of 1/20", w.value)
			}
		}
		if got.GetName() != w.name || len(got.GetValues()) != 1 || math.Abs(got.GetValues()[0]-w.value) > 1e-15 {
			t.Errorf("%s is %v, want %s of %v", got.GetName(), got.GetValues(), w.name, w.value)
		}
		if w.detail == "" {
			continue
		}
		if tensor := got.GetDetails()[w.detail]; !slices.Equal(tensor.GetShape(), []int64{1}) || math.Abs(float64s(tensor.GetData())[0]-w.number) > 1e-15 {
			t.Errorf("%s has %v, want %s of %v", w.name, got.GetDetails(), w.detail, w.number)
		}
	}
	if response.GetBuild().GetVersion() != "v1.2.3" || response.GetTiming().GetCompute() == nil || response.GetTiming().GetDecode() == nil {
		t.Errorf("build %v, timing %v", response.GetBuild(), response.GetTiming())
	}
	if got := s.Stats(); got.Evaluations != 0 || got.Failures != 0 {
		t.Errorf("stats count diagnostics: %+v", got)
	}
}

// Of a batch there is a value for each problem, details have its extent in front; the seed decides what is random.
func TestDiagnoseABatch(t *testing.T) {
	s := start(t, Config{})
	points := &kantorv1.Input{Kind: &kantorv1.Input_Measure{Measure: &kantorv1.Measure{Points: f64([]int64{2, 2, 1}, -1, 1, -3, 3)}}}
	_, err := diagnose(t, s, &kantorv1.DiagnoseRequest{
		Diagnostics: []*kantorv1.Diagnostic{activeUnits(&kantorv1.ActiveUnits{}), neighbourKl(&kantorv1.NearestNeighbourKl{Source: "posterior", Target: "posterior", Neighbours: 3})},
		Inputs:      map[string]*kantorv1.Input{"posterior": points},
	})
	wantViolation(t, err, "diagnostics[1].nearest_neighbour_kl.source")
	response, err := diagnose(t, s, &kantorv1.DiagnoseRequest{
		Diagnostics: []*kantorv1.Diagnostic{activeUnits(&kantorv1.ActiveUnits{})}, Inputs: map[string]*kantorv1.Input{"posterior": points},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := response.GetDiagnostics()[0]
	if !slices.Equal(got.GetValues(), []float64{1, 1}) || !proto.Equal(got.GetDetails()["variance"], f64([]int64{2, 1}, 1, 9)) {
		t.Errorf("got %v", got)
	}
	same := line(slices.Repeat([]float64{5}, 8)...)
	response, err = diagnose(t, s, &kantorv1.DiagnoseRequest{Diagnostics: []*kantorv1.Diagnostic{entropy(&kantorv1.Entropy{})}, Inputs: map[string]*kantorv1.Input{"source": same}})
	if w := response.GetDiagnostics()[0].GetWarnings(); err != nil || len(w) != 1 || w[0].GetCode() != losses.InfiniteValue || w[0].GetMessage() == "" {
		t.Errorf("warnings %v, error %v", w, err)
	}
}

func TestDiagnoseRefusals(t *testing.T) {
	s := start(t, Config{})
	unknown := activeUnits(&kantorv1.ActiveUnits{})
	unknown.GetActiveUnits().ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
	named := func(name string) *kantorv1.Diagnostic {
		d := activeUnits(&kantorv1.ActiveUnits{})
		d.Name = name
		return d
	}
	negative := -1.0
	for _, c := range []struct {
		field       string
		diagnostics []*kantorv1.Diagnostic
	}{
		{"diagnostics", nil},
		{"diagnostics", slices.Repeat([]*kantorv1.Diagnostic{activeUnits(&kantorv1.ActiveUnits{})}, losses.MaxTerms+1)},
		{"diagnostics[0]", []*kantorv1.Diagnostic{{Name: "of_no_kind"}}},
		{"diagnostics[0].name", []*kantorv1.Diagnostic{named("Bad")}},
		{"diagnostics[1].name", []*kantorv1.Diagnostic{named(""), named("")}},
		{"diagnostics[0].active_units", []*kantorv1.Diagnostic{unknown}},
		{"diagnostics[1].active_units.threshold", []*kantorv1.Diagnostic{named("a"), activeUnits(&kantorv1.ActiveUnits{Threshold: &negative})}},
		{"diagnostics[0].active_units.posterior", []*kantorv1.Diagnostic{activeUnits(&kantorv1.ActiveUnits{Posterior: "nothing"})}},
		{"diagnostics[0].permutation_test.kernel", []*kantorv1.Diagnostic{permutationTest(&kantorv1.PermutationTest{Kernel: 99})}},
		{"diagnostics[0].permutation_test.permutations", []*kantorv1.Diagnostic{permutationTest(&kantorv1.PermutationTest{Source: "posterior", Target: "posterior", Permutations: -1})}},
		{"diagnostics[0].expected_shrink.debias", []*kantorv1.Diagnostic{expectedShrink(&kantorv1.ExpectedShrink{Debias: 99})}},
		{"diagnostics[0].expected_shrink.debias", []*kantorv1.Diagnostic{expectedShrink(&kantorv1.ExpectedShrink{Source: "posterior", Target: "posterior", Debias: kantorv1.Debias_DEBIAS_NONE})}},
		{`inputs["posterior"]`, []*kantorv1.Diagnostic{effectiveScale(&kantorv1.EffectiveScale{Source: "other", Target: "other"})}},
	} {
		req := &kantorv1.DiagnoseRequest{Diagnostics: c.diagnostics, Inputs: map[string]*kantorv1.Input{"posterior": line(1, 2)}}
		if strings.HasPrefix(c.field, "inputs") {
			req.Inputs["other"] = line(1, 2)
		}
		_, err := diagnose(t, s, req)
		wantViolation(t, err, c.field)
		if message := status.Convert(err).Message(); strings.Contains(message, "term") {
			t.Errorf("%q speaks of terms", message)
		}
	}
	bad := &kantorv1.DiagnoseRequest{Diagnostics: []*kantorv1.Diagnostic{named("")}, Inputs: map[string]*kantorv1.Input{"posterior": line(1, math.NaN())}}
	_, err := diagnose(t, s, bad)
	wantViolation(t, err, `inputs["posterior"].points`)
}

// A call that is given up, one that panics and an answer above the limit end as those of losses do.
func TestDiagnoseEndsAsEvaluateDoes(t *testing.T) {
	req := &kantorv1.DiagnoseRequest{Diagnostics: []*kantorv1.Diagnostic{activeUnits(&kantorv1.ActiveUnits{})}, Inputs: map[string]*kantorv1.Input{"posterior": line(1, 2)}}
	g := newGated()
	s := start(t, Config{}, g.install)
	ctx, cancel := context.WithCancel(testContext(t))
	done := make(chan error, 1)
	go func() {
		_, err := kantorv1.NewDiagnosticServiceClient(s.conn).Diagnose(ctx, req)
		done <- err
	}()
	g.wait(t)
	cancel()
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Errorf("cancelled: %v", err)
	}
	panics := start(t, Config{}, func(s *Server) {
		s.evaluator.solve = func(*losses.Evaluation, context.Context) (*losses.Result, error) { panic("secret") }
	})
	if _, err := diagnose(t, panics, req); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
		t.Errorf("panic: %v", err)
	}
	large := start(t, Config{MessageBytes: 100}, func(s *Server) {
		s.evaluator.solve = func(*losses.Evaluation, context.Context) (*losses.Result, error) {
			return &losses.Result{Terms: []losses.TermResult{{Outcomes: make([]losses.Outcome, 100)}}}, nil
		}
	})
	if _, err := diagnose(t, large, req); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "want at most 100") {
		t.Errorf("too large: %v", err)
	}
}
