package eval

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
)

// wantedDiagnostic is what one diagnostic gives.
type wantedDiagnostic struct {
	Values    []wanted
	Tolerance float64
	Details   map[string]wantedTensor
	Warnings  []string
}

// diagnose sends the request over the socket and gives it to the command, and compares the answers with each other and with what is expected.
func (c conformanceCase) diagnose(t *testing.T, client kantorv1.DiagnosticServiceClient) {
	req := &kantorv1.DiagnoseRequest{}
	if err := protojson.Unmarshal(c.Diagnose, req); err != nil {
		t.Fatal(err)
	}
	response, err := client.Diagnose(t.Context(), req)
	file := filepath.Join(t.TempDir(), "request.json")
	if err := os.WriteFile(file, c.Diagnose, 0o600); err != nil {
		t.Fatal(err)
	}
	text, evalErr := run(t, Command{Request: file})
	if c.Error != nil {
		c.checkError(t, map[string]error{"unary": err}, evalErr)
		return
	}
	if err != nil || evalErr != nil {
		t.Fatalf("unary: %v, eval: %v", err, evalErr)
	}
	again, err := client.Diagnose(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if again.Timing = response.GetTiming(); !proto.Equal(again, response) {
		t.Errorf("got %v, then %v", response, again)
	}
	if want := diagnosisText(t, response); text != want {
		t.Errorf("eval printed %s, the unary call is %s", text, want)
	}
	c.Expect.checkDiagnostics(t, response)
}

func (e *expectation) checkDiagnostics(t *testing.T, response *kantorv1.DiagnoseResponse) {
	t.Helper()
	if len(response.GetDiagnostics()) != len(e.Diagnostics) {
		t.Errorf("got %d diagnostics, want %d", len(response.GetDiagnostics()), len(e.Diagnostics))
	}
	for _, got := range response.GetDiagnostics() {
		want, known := e.Diagnostics[got.GetName()]
		if !known || len(got.GetValues()) != len(want.Values) {
			t.Errorf("diagnostic %v, want %d values of one of %v", got, len(want.Values), slices.Sorted(maps.Keys(e.Diagnostics)))
			continue
		}
		for b, v := range got.GetValues() {
			if !near(v, float64(want.Values[b]), want.Tolerance) {
				t.Errorf("problem %d of %s: %v, want %v to %v", b, got.GetName(), v, want.Values[b], want.Tolerance)
			}
		}
		for name, detail := range want.Details {
			detail.check(t, got.GetName()+"."+name, got.GetDetails()[name])
		}
		var codes []string
		for _, w := range got.GetWarnings() {
			codes = append(codes, w.GetCode())
		}
		if want.Warnings != nil && !slices.Equal(codes, want.Warnings) {
			t.Errorf("%s: warnings %v, want %v", got.GetName(), codes, want.Warnings)
		}
	}
}

// diagnosisText is what the command prints of an answer.
func diagnosisText(t *testing.T, response *kantorv1.DiagnoseResponse) string {
	t.Helper()
	var out strings.Builder
	if err := printDiagnosis(&out, response); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
