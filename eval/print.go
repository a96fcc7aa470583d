package eval

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"math"

	"google.golang.org/protobuf/reflect/protoreflect"

	kantorv1 "kantor/gen/kantor/v1"
)

// result is what is printed. What a term has not is left out.
type result struct {
	Value number `json:"value"`
	Terms []term `json:"terms"`
}

// term has numbers for one problem and arrays for a batch.
type term struct {
	Name          string         `json:"name"`
	Value         any            `json:"value"`
	Lower         any            `json:"lower,omitempty"`
	Upper         any            `json:"upper,omitempty"`
	Estimand      any            `json:"estimand,omitempty"`
	StandardError any            `json:"standard_error,omitempty"`
	Converged     any            `json:"converged,omitempty"`
	Iterations    any            `json:"iterations,omitempty"`
	MarginalError any            `json:"marginal_error,omitempty"`
	Epsilon       any            `json:"epsilon,omitempty"`
	Strategy      any            `json:"strategy,omitempty"`
	Warnings      []warning      `json:"warnings,omitempty"`
	Extras        map[string]any `json:"extras,omitempty"`
}

type warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// number is a float64 that JSON can hold: as protobuf's, what is not finite is a string.
type number float64

// MarshalJSON implements [json.Marshaler].
func (n number) MarshalJSON() ([]byte, error) {
	switch v := float64(n); {
	case math.IsNaN(v):
		return []byte(`"NaN"`), nil
	case math.IsInf(v, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-Infinity"`), nil
	}
	return json.Marshal(float64(n))
}

// print writes a response as one line of JSON.
func print(w io.Writer, response *kantorv1.EvaluateResponse) error {
	out := result{Value: number(response.GetValue())}
	for _, t := range response.GetTerms() {
		out.Terms = append(out.Terms, printable(t))
	}
	return json.NewEncoder(w).Encode(out)
}

func printable(t *kantorv1.TermResult) term {
	outcomes := t.GetOutcomes()
	out := term{Name: t.GetName(), Value: column(outcomes, func(o *kantorv1.Outcome) any { return number(o.GetValue()) })}
	interval := func(end func(*kantorv1.Interval) float64) any {
		return column(outcomes, func(o *kantorv1.Outcome) any {
			if o.GetInterval() == nil {
				return nil
			}
			return number(end(o.GetInterval()))
		})
	}
	solve := func(part func(*kantorv1.Solve) any) any {
		return column(outcomes, func(o *kantorv1.Outcome) any {
			if o.GetSolve() == nil {
				return nil
			}
			return part(o.GetSolve())
		})
	}
	out.Lower, out.Upper = interval((*kantorv1.Interval).GetLower), interval((*kantorv1.Interval).GetUpper)
	out.Estimand = column(outcomes, func(o *kantorv1.Outcome) any {
		if o.GetEstimand() == kantorv1.Estimand_ESTIMAND_UNSPECIFIED {
			return nil
		}
		return enumWord(o.GetEstimand().Descriptor(), o.GetEstimand().Number())
	})
	out.StandardError = column(outcomes, func(o *kantorv1.Outcome) any {
		if o.StandardError == nil {
			return nil
		}
		return number(o.GetStandardError())
	})
	out.Converged = solve(func(s *kantorv1.Solve) any { return s.GetConverged() })
	out.Iterations = solve(func(s *kantorv1.Solve) any { return s.GetIterations() })
	out.MarginalError = solve(func(s *kantorv1.Solve) any { return number(s.GetMarginalError()) })
	out.Epsilon = solve(func(s *kantorv1.Solve) any {
		if s.GetEpsilon() == 0 {
			return nil // a solver without a temperature
		}
		return number(s.GetEpsilon())
	})
	out.Strategy = solve(func(s *kantorv1.Solve) any {
		if s.GetStrategy() == "" {
			return nil // a solver without a choice
		}
		return s.GetStrategy()
	})
	for _, w := range t.GetWarnings() {
		out.Warnings = append(out.Warnings, warning{w.GetCode(), w.GetMessage()})
	}
	for name, extra := range t.GetExtras() {
		if out.Extras == nil {
			out.Extras = map[string]any{}
		}
		out.Extras[name] = printableExtra(extra)
	}
	return out
}

// column is one number of every problem: by itself for one problem, an array for more, nil where no problem has it.
func column(outcomes []*kantorv1.Outcome, get func(*kantorv1.Outcome) any) any {
	var values []any
	found := false
	for _, o := range outcomes {
		v := get(o)
		values, found = append(values, v), found || v != nil
	}
	switch {
	case !found:
		return nil
	case len(values) == 1:
		return values[0]
	}
	return values
}

var extraOneof = (&kantorv1.Extra{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")

// printableExtra is a tensor's elements, or what the message has by the names of its fields.
func printableExtra(extra *kantorv1.Extra) any {
	if extra.GetTensor() != nil {
		return nested(extra.GetTensor())
	}
	kind := extra.ProtoReflect().WhichOneof(extraOneof)
	if kind == nil {
		return nil
	}
	out := map[string]any{}
	message := extra.ProtoReflect().Get(kind).Message()
	for i := range kind.Message().Fields().Len() {
		fd := kind.Message().Fields().Get(i)
		if message.Has(fd) || !fd.HasPresence() && !fd.IsList() { // a number of 0 is told, an array that is not there is not
			out[string(fd.Name())] = printableField(fd, message.Get(fd))
		}
	}
	return out
}

func printableField(fd protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch {
	case isTensor(fd):
		return nested(v.Message().Interface().(*kantorv1.Tensor))
	case fd.IsList():
		out := make([]any, v.List().Len())
		for i := range out {
			out[i] = v.List().Get(i).Interface()
		}
		return out
	case fd.Enum() != nil:
		return enumWord(fd.Enum(), v.Enum())
	}
	return v.Interface()
}

// nested is a tensor as arrays of arrays.
func nested(t *kantorv1.Tensor) any {
	flat := elements(t)
	for axis := len(t.GetShape()) - 1; axis > 0; axis-- {
		extent := int(t.GetShape()[axis])
		rows := make([]any, len(flat)/extent)
		for i := range rows {
			rows[i] = flat[i*extent : (i+1)*extent]
		}
		flat = rows
	}
	return flat
}

func elements(t *kantorv1.Tensor) []any {
	var out []any
	data := t.GetData()
	if t.GetDtype() == kantorv1.Dtype_DTYPE_FLOAT32 {
		for ; len(data) > 0; data = data[4:] {
			out = append(out, number(math.Float32frombits(binary.LittleEndian.Uint32(data))))
		}
		return out
	}
	for ; len(data) > 0; data = data[8:] {
		out = append(out, number(math.Float64frombits(binary.LittleEndian.Uint64(data))))
	}
	return out
}
