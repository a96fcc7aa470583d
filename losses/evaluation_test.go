package losses

import (
	"context"
	"math"
	"runtime"
	"testing"
	"weak"
)

// given is a loss, and its own problem, of a known gradient in the points of "x".
type given struct {
	Loss
	gradient []float64
}

func (g given) Kind() string                       { return "given" }
func (g given) Uses() []Use                        { return []Use{{Field: "source", Input: "x"}} }
func (g given) Extras() []string                   { return nil }
func (g given) Bind(Inputs, Seed) (Problem, error) { return givenProblem(g), nil }

type givenProblem struct {
	Loss
	gradient []float64
}

func (g givenProblem) Work() Work { return Work{Pairs: 1} }
func (g givenProblem) Solve(context.Context, Want) (TermResult, error) {
	return TermResult{Outcomes: []Outcome{{Value: 1}}, Gradients: map[Ref][]float64{{"x", "points"}: g.gradient}}, nil
}

// The only gradient becomes the total without another array, and the same number as a sum that begins at 0: of -0 that is 0.
func TestTheOnlyGradientIsTakenOver(t *testing.T) {
	first := []float64{1, 0, -3, math.Inf(1)}
	inputs := Inputs{"x": &Measure{Points: NewArray([]float64{1, 2, 3, 4}, 2, 2)}}
	o := Objective{Terms: []Term{{Name: "a", Weight: -2, Loss: given{gradient: first}}}, Gradients: []string{"x.points"}}
	got := evaluated(t, o, inputs)
	if &got[0] != &first[0] {
		t.Error("the gradient of the only term was copied")
	}
	for i, want := range []float64{-2, 0, 6, math.Inf(-1)} {
		if math.Float64bits(got[i]) != math.Float64bits(want) {
			t.Errorf("[%d] is %v, want %v", i, got[i], want)
		}
	}
	second := []float64{1, 10, 100, 1}
	o.Terms = append(o.Terms, Term{Name: "b", Weight: 0.5, Loss: given{gradient: second}}, Term{Name: "c", Loss: given{gradient: second}})
	o.Terms[0].Loss = given{gradient: []float64{1, 0, -3, 2}}
	for i, v := range evaluated(t, o, inputs) {
		if want := []float64{-1.5, 5, 56, -3.5}[i]; v != want {
			t.Errorf("[%d] of two terms is %v, want %v", i, v, want)
		}
	}
	if second[0] != 1 {
		t.Error("the gradient of the second term was written to")
	}
}

func evaluated(t *testing.T, o Objective, inputs Inputs) []float64 {
	t.Helper()
	e, err := o.Bind(inputs, 0)
	if err != nil {
		t.Fatal(err)
	}
	result, err := e.Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return result.Gradients[Ref{"x", "points"}].F64
}

// A gradient has the shape and number format of its tensor, whose numbers nobody need keep for that.
func TestAnEvaluationDoesNotHoldTheNumbersOfItsGradientsTensors(t *testing.T) {
	for _, single := range []bool{false, true} {
		e, held := boundTo(t, single)
		runtime.GC()
		if held() {
			t.Errorf("the numbers are held, of float32: %v", single)
		}
		result, err := e.Evaluate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if g := result.Gradients[Ref{"x", "points"}]; (g.F32 != nil) != single || g.Len() != 1<<10 {
			t.Errorf("got %d numbers, of float32: %v, want %d, %v", g.Len(), g.F32 != nil, 1<<10, single)
		}
	}
}

// boundTo binds to points that only the evaluation can hold, and tells whether it does.
func boundTo(t *testing.T, single bool) (e *Evaluation, held func() bool) {
	t.Helper()
	points := Array{Shape: []int{1 << 10, 1}}
	if single {
		points.F32 = make([]float32, 1<<10)
		first := weak.Make(&points.F32[0])
		held = func() bool { return first.Value() != nil }
	} else {
		points.F64 = make([]float64, 1<<10)
		first := weak.Make(&points.F64[0])
		held = func() bool { return first.Value() != nil }
	}
	o := Objective{Terms: []Term{{Weight: 1, Loss: given{gradient: make([]float64, 1<<10)}}}, Gradients: []string{"x.points"}}
	e, err := o.Bind(Inputs{"x": &Measure{Points: points}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return e, held
}
