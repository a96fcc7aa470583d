package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// diagnosticService tells how a latent space is doing.
type diagnosticService struct {
	kantorv1.UnimplementedDiagnosticServiceServer
	server *Server
}

// Diagnose implements DiagnosticService.
func (d diagnosticService) Diagnose(ctx context.Context, req *kantorv1.DiagnoseRequest) (*kantorv1.DiagnoseResponse, error) {
	p := newPassage(d.server)
	defer p.release()
	response, err := d.server.diagnose(ctx, req, p)
	return response, unaryError(ctx, err)
}

// diagnose is what compute is for an objective. Diagnostics are not counted among the evaluations.
func (s *Server) diagnose(ctx context.Context, req *kantorv1.DiagnoseRequest, p *passage) (*kantorv1.DiagnoseResponse, error) {
	return through(ctx, p, s.config.MessageBytes, "ask for fewer diagnostics or problems", func() (*kantorv1.DiagnoseResponse, error) {
		p.describe(diagnosticKinds(req.GetDiagnostics()), req, req.GetInputs())
		return s.evaluator.diagnose(ctx, req, p)
	})
}

// Diagnose computes diagnostics. Errors are those of [Evaluator.Evaluate].
func (e Evaluator) Diagnose(ctx context.Context, req *kantorv1.DiagnoseRequest) (*kantorv1.DiagnoseResponse, error) {
	return e.diagnose(ctx, req, newPassage(nil))
}

// diagnose is Diagnose on a passage.
func (e Evaluator) diagnose(ctx context.Context, req *kantorv1.DiagnoseRequest, p *passage) (*kantorv1.DiagnoseResponse, error) {
	evaluation, err := bindDiagnostics(req)
	if err != nil {
		return nil, err
	}
	result, err := e.run(ctx, evaluation, p)
	if err != nil {
		return nil, err
	}
	response := &kantorv1.DiagnoseResponse{Build: e.build(), Timing: p.timing()}
	for _, t := range result.Terms {
		response.Diagnostics = append(response.Diagnostics, encodeDiagnostic(t))
	}
	return response, nil
}

// bindDiagnostics decodes and checks a request, as bind does.
func bindDiagnostics(req *kantorv1.DiagnoseRequest) (*losses.Evaluation, error) {
	if err := refuseUnknown("", req.ProtoReflect()); err != nil {
		return nil, err
	}
	objective, err := decodeDiagnostics(req.GetDiagnostics())
	if err != nil {
		return nil, err
	}
	inputs, err := decodeInputs(req.GetInputs())
	if err != nil {
		return nil, err
	}
	evaluation, err := objective.Bind(inputs, req.GetSeed())
	return evaluation, ofDiagnostics(err)
}

// decodeDiagnostics makes an objective of diagnostics, with all that they can tell.
func decodeDiagnostics(diagnostics []*kantorv1.Diagnostic) (losses.Objective, error) {
	if n := len(diagnostics); n == 0 || n > losses.MaxTerms {
		return losses.Objective{}, badf("diagnostics", "has %d diagnostics, want 1 to %d", n, losses.MaxTerms)
	}
	objective := losses.Objective{}
	for i, d := range diagnostics {
		loss, err := decodeDiagnostic(fmt.Sprintf("diagnostics[%d]", i), d)
		if err != nil {
			return losses.Objective{}, err
		}
		term := losses.Term{Name: d.GetName(), Weight: 1, Loss: loss}
		objective.Terms = append(objective.Terms, term)
		name := term.Name
		if name == "" {
			name = loss.Kind()
		}
		for _, extra := range loss.Extras() {
			objective.Extras = append(objective.Extras, name+"."+extra)
		}
	}
	// Before the details, whose paths a request does not have: a name that two diagnostics have would ask for them twice.
	names := losses.Objective{Terms: objective.Terms}
	return objective, ofDiagnostics(names.Check())
}

var termWord = regexp.MustCompile(`\bterm(s?)\b`)

// ofDiagnostics says an error of an objective in terms of diagnostics.
func ofDiagnostics(err error) error {
	var bad *losses.InputError
	if !errors.As(err, &bad) {
		return err
	}
	return &losses.InputError{Field: strings.Replace(bad.Field, "objective.terms", "diagnostics", 1), Reason: termWord.ReplaceAllString(bad.Reason, "diagnostic$1")}
}

// decodeInputs reads the arguments by name, so that the same request gives the same error.
func decodeInputs(given map[string]*kantorv1.Input) (losses.Inputs, error) {
	inputs := make(losses.Inputs, len(given))
	var err error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if inputs[name], err = decodeInput(name, given[name]); err != nil {
			return nil, err
		}
	}
	return inputs, nil
}

// encodeDiagnostic takes a result over, as encode does.
func encodeDiagnostic(t losses.TermResult) *kantorv1.DiagnosticResult {
	result := &kantorv1.DiagnosticResult{Name: t.Name, Details: map[string]*kantorv1.Tensor{}}
	for _, o := range t.Outcomes {
		result.Values = append(result.Values, o.Value)
	}
	for name, extra := range t.Extras {
		if a, ok := extra.(*losses.Array); ok {
			result.Details[name] = encodeTensor(*a)
		}
	}
	for _, w := range t.Warnings {
		result.Warnings = append(result.Warnings, &kantorv1.Warning{Code: w.Code, Message: w.Message})
	}
	return result
}
