package eval

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"kantor/losses"
)

// Two of a kind by their names, with details, a warning and what JSON has no number for.
func TestDiagnostics(t *testing.T) {
	f := newFiles(t)
	x := f.npy("x", f64([]int64{2, 2}, -3, 1, 3, 1))
	text, err := run(t, Command{Source: x, Target: x, Diagnostic: []string{
		"active_units:posterior=source,threshold=2,name=units", "effective_scale", "permutation_test:permutations=9,kernel=imq,blur=2",
	}})
	if err != nil {
		t.Fatal(err)
	}
	all := printed(t, text)["diagnostics"].([]any)
	units, scale := all[0].(map[string]any), all[1].(map[string]any)
	want := map[string]any{"name": "units", "value": 1., "details": map[string]any{"variance": []any{9., 0.}}}
	if len(all) != 3 || !reflect.DeepEqual(units, want) {
		t.Errorf("got %s, want first %v", text, want)
	}
	infinite := scale["details"].(map[string]any)["per_dimension"].([]any)
	codes := scale["warnings"].([]any)[0].(map[string]any)["code"]
	if scale["value"] != 1. || !reflect.DeepEqual(infinite, []any{1., "Infinity"}) || codes != losses.InfiniteValue {
		t.Errorf("got %v", scale)
	}
	batch := f.npy("batch", f64([]int64{2, 2, 1}, 0, 0, 0, 2))
	if text, err = run(t, Command{Source: batch, Diagnostic: []string{"active_units:posterior=source"}}); err != nil || !strings.Contains(text, `"value":[0,1]`) {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestMistakesOfDiagnostics(t *testing.T) {
	f := newFiles(t)
	x := f.npy("x", f64([]int64{2, 1}, 0, 1))
	of := func(diagnostics ...string) Command { return Command{Source: x, Diagnostic: diagnostics} }
	with := of("entropy")
	with.Term = []string{"stein"}
	for name, m := range map[string]mistake{
		"kind":     {of("variance"), `--diagnostic 1: "variance" is no diagnostic, want one of ["active_units" "nearest_neighbour_kl"`},
		"field":    {of("entropy:blur=1"), `--diagnostic 1: "blur" is no field, want one of ["name" "source" "neighbours"]`},
		"value":    {of("active_units:posterior=source", "entropy:neighbours=-1"), "--diagnostic 2 (entropy.neighbours): is -1"},
		"input":    {of("entropy:source=x"), `--diagnostic 1 (entropy.source): there is no input "x"`},
		"unused":   {Command{Source: x, Target: x, Diagnostic: []string{"active_units:posterior=source"}}, "--target: is used by no diagnostic"},
		"twice":    {of("entropy", "entropy"), "--diagnostic 2 (name): "},
		"no field": {Command{Request: f.raw("unknown", []byte(`{"diagnostics": [{"entropy": {"blur": 1}}]}`))}, "--request: "},
		"more":     {Command{Request: f.raw("none", []byte(`{"diagnostics": []}`)), Gradients: "g"}, "--request: is a whole request for diagnostics"},
		"none":     {Command{Request: f.raw("none", []byte(`{"diagnostics": []}`))}, "diagnostics: has 0 diagnostics"},
		"a term":   {with, "--diagnostic: is given, want no --term"},
		"request":  {Command{Request: "-", Diagnostic: []string{"entropy"}}, "--diagnostic: is given, want no --term"},
	} {
		_, err := run(t, m.command)
		var bad *losses.InputError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), m.want) {
			t.Errorf("%s: got %v, want %q", name, err, m.want)
		}
	}
}
