package eval

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/server"
)

var diagnosticOneof = (&kantorv1.Diagnostic{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")

// ofDiagnostics reports whether the text of a request is a DiagnoseRequest's: it has diagnostics, which no EvaluateRequest has.
func ofDiagnostics(text []byte) bool {
	var fields map[string]json.RawMessage
	return json.Unmarshal(text, &fields) == nil && fields["diagnostics"] != nil
}

// diagnose computes what the flags --diagnostic name, or the request whose text is given, and prints the response as one line of JSON.
func (c Command) diagnose(ctx context.Context, version string, text []byte, stdout io.Writer) error {
	request, origin, err := c.diagnosis(text)
	if err != nil {
		return err
	}
	response, err := server.Evaluator{Version: version}.Diagnose(ctx, request)
	if err != nil {
		return origin.translate(err)
	}
	return printDiagnosis(stdout, response)
}

// diagnosis makes the request that the command stands for, and tells where its parts came from; nil: from a request.
func (c Command) diagnosis(text []byte) (*kantorv1.DiagnoseRequest, *origins, error) {
	request := &kantorv1.DiagnoseRequest{}
	if len(c.Diagnostic) == 0 {
		if c.givesMore() || c.Gradients != "" {
			return nil, nil, bad("--request", "is a whole request for diagnostics, want no other flag with it")
		}
		if err := protojson.Unmarshal(text, request); err != nil {
			return nil, nil, bad("--request", "%v", err)
		}
		return request, nil, nil
	}
	if len(c.Term) > 0 || len(c.Extras) > 0 || c.Gradients != "" || c.GradientsPerTerm || c.State != "" || c.Request != "" {
		return nil, nil, bad("--diagnostic", "is given, want no --term, --extras, --gradients, --gradients-per-term, --state or --request with it")
	}
	inputs, origin, err := c.inputs(nil)
	if err != nil {
		return nil, nil, err
	}
	request.Inputs, request.Seed = inputs, c.Seed
	for i, text := range c.Diagnostic {
		diagnostic, err := parseDiagnostic(text)
		if err != nil {
			return nil, nil, bad(diagnosticFlag(i, ""), "%v", err)
		}
		request.Diagnostics = append(request.Diagnostics, diagnostic)
	}
	return request, origin, nil
}

// parseDiagnostic reads kind:field=value,… as ParseTerm does.
func parseDiagnostic(text string) (*kantorv1.Diagnostic, error) {
	kind, settings, _ := strings.Cut(text, ":")
	fd := diagnosticOneof.Fields().ByName(protoreflect.Name(kind))
	if fd == nil {
		return nil, fmt.Errorf("%q is no diagnostic, want one of %q", kind, fieldNames(diagnosticOneof.Fields()))
	}
	d := &kantorv1.Diagnostic{}
	return d, assignAll(settings, d.ProtoReflect(), d.ProtoReflect().Mutable(fd).Message())
}

// diagnosticFlag names the i-th --diagnostic, which users count from 1.
func diagnosticFlag(i int, detail string) string {
	return withDetail(fmt.Sprintf("--diagnostic %d", i+1), detail)
}

// diagnosisResult is what is printed of diagnostics.
type diagnosisResult struct {
	Diagnostics []diagnostic `json:"diagnostics"`
}

// diagnostic has a number for one problem and an array for a batch.
type diagnostic struct {
	Name     string         `json:"name"`
	Value    any            `json:"value"`
	Details  map[string]any `json:"details,omitempty"`
	Warnings []warning      `json:"warnings,omitempty"`
}

func printDiagnosis(w io.Writer, response *kantorv1.DiagnoseResponse) error {
	out := diagnosisResult{}
	for _, d := range response.GetDiagnostics() {
		values := make([]number, len(d.GetValues()))
		for i, v := range d.GetValues() {
			values[i] = number(v)
		}
		one := diagnostic{Name: d.GetName(), Value: values, Details: map[string]any{}}
		if len(values) == 1 {
			one.Value = values[0]
		}
		for name, tensor := range d.GetDetails() {
			one.Details[name] = nested(tensor)
		}
		for _, w := range d.GetWarnings() {
			one.Warnings = append(one.Warnings, warning{w.GetCode(), w.GetMessage()})
		}
		out.Diagnostics = append(out.Diagnostics, one)
	}
	return json.NewEncoder(w).Encode(out)
}
