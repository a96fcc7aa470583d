package losses

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

// teller is a loss, and its own problem, that moves the first points of "x" as a plan and a measure: as many as the first coordinate says.
type teller struct{ Loss }

func (teller) Kind() string     { return "teller" }
func (teller) Uses() []Use      { return []Use{{Field: "source", Input: "x"}} }
func (teller) Extras() []string { return []string{"plan", "way", "rows"} }
func (teller) Bind(in Inputs, _ Seed) (Problem, error) {
	return told{int(in["x"].(*Measure).Points.F64[0])}, nil
}

type told struct{ entries int }

func (told) Work() Work { return Work{Pairs: 1} }
func (p told) Solve(context.Context, Want) (TermResult, error) {
	plan, points, weights := &Plan{}, []float64{}, []float64{}
	for i := range p.entries {
		plan.Source, plan.Target, plan.Mass = append(plan.Source, int32(i)), append(plan.Target, int32(10+i)), append(plan.Mass, float64(p.entries))
		points, weights = append(points, float64(i), float64(-i)), append(weights, 0.5)
	}
	w := NewArray(weights, p.entries)
	way := &Measure{Points: NewArray(points, p.entries, 2), Weights: &w}
	return TermResult{Outcomes: []Outcome{{}}, Extras: map[string]Extra{"plan": plan, "way": way, "rows": RowsOf("source", points, p.entries, 2)}}, nil
}

// Plans of a batch stand one after the other, measures are padded to the largest.
func TestPlansAndMeasuresOfABatch(t *testing.T) {
	in := Inputs{"x": &Measure{Points: NewArray([]float64{1, 3, 2}, 3, 1, 1)}}
	e, err := Objective{Terms: []Term{{Weight: 1, Loss: teller{}}}, Extras: []string{"teller.plan", "teller.way"}}.Bind(in, 0)
	if err != nil {
		t.Fatal(err)
	}
	result, err := e.Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plan, way := result.Terms[0].Extras["plan"].(*Plan), result.Terms[0].Extras["way"].(*Measure)
	if got, want := fmt.Sprint(*plan), "{[0 0 1 2 0 1] [10 10 11 12 10 11] [1 3 3 3 2 2] [1 3 2]}"; got != want {
		t.Errorf("plan %s, want %s", got, want)
	}
	if !slices.Equal(way.Points.Shape, []int{3, 3, 2}) || !slices.Equal(way.Points.F64, []float64{0, 0, 0, 0, 0, 0, 0, 0, 1, -1, 2, -2, 0, 0, 1, -1, 0, 0}) {
		t.Errorf("points %v", way.Points)
	}
	if !slices.Equal(way.Weights.F64, []float64{0.5, 0, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0}) || !slices.Equal(way.Sizes, []int{1, 3, 2}) {
		t.Errorf("weights %v, sizes %v", way.Weights, way.Sizes)
	}
}

// An array with a row for each point has those of the batch, also where no problem has as many.
func TestRowsOfABatch(t *testing.T) {
	in := Inputs{"x": &Measure{Points: NewArray([]float64{1, 9, 9, 2, 9, 9}, 2, 3, 1), Sizes: []int{1, 2}}}
	e, err := Objective{Terms: []Term{{Weight: 1, Loss: teller{}}}, Extras: []string{"teller.rows"}}.Bind(in, 0)
	if err != nil {
		t.Fatal(err)
	}
	result, err := e.Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows := result.Terms[0].Extras["rows"].(*Array)
	if !slices.Equal(rows.Shape, []int{2, 3, 2}) || !slices.Equal(rows.F64, []float64{0, 0, 0, 0, 0, 0, 0, 0, 1, -1, 0, 0}) {
		t.Errorf("got %v of shape %v, want the rows of each problem and then zeros, [2,3,2]", rows.F64, rows.Shape)
	}
}

// Each term's own gradients are those of its value alone: unweighted, also at weight 0, in the format of the tensor; the total's are what they are without.
func TestGradientsPerTerm(t *testing.T) {
	inputs := Inputs{"x": &Measure{Points: Array{Shape: []int{1, 2}, F32: []float32{1, 2}}}}
	first, second := []float64{1, 2}, []float64{10, 1. / 3}
	o := Objective{
		Terms:     []Term{{Name: "a", Weight: 2, Loss: given{gradient: first}}, {Name: "b", Weight: 0, Loss: given{gradient: second}}},
		Gradients: []string{"x.points"}, PerTerm: true,
	}
	e, err := o.Bind(inputs, 0)
	if err != nil {
		t.Fatal(err)
	}
	result, err := e.Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	points := Ref{"x", "points"}
	if got := result.Gradients[points].F32; !slices.Equal(got, []float32{2, 4}) {
		t.Errorf("the total's gradient is %v, want [2 4]", got)
	}
	for i, want := range [][]float32{{1, 2}, {10, float32(1. / 3)}} {
		if got := result.Terms[i].Own[points].F32; !slices.Equal(got, want) {
			t.Errorf("term %d has the gradient %v, want %v", i, got, want)
		}
	}
	o.PerTerm = false
	if e, err = o.Bind(inputs, 0); err != nil {
		t.Fatal(err)
	}
	if result, err = e.Evaluate(t.Context()); err != nil || result.Terms[0].Own != nil {
		t.Errorf("gradients per term that nobody asked for: %v, %v", result.Terms[0].Own, err)
	}
}

// stateful is a loss that takes no batch.
type stateful struct{ given }

func (stateful) NoBatch() {}

func TestALossWithAStateTakesNoBatch(t *testing.T) {
	in := Inputs{"x": &Measure{Points: NewArray([]float64{1, 2}, 2, 1, 1)}}
	_, err := Objective{Terms: []Term{{Weight: 1, Loss: stateful{}}}}.Bind(in, 0)
	if bad, ok := err.(*InputError); !ok || bad.Field != "objective.terms[0].given.source" {
		t.Errorf("got %v, want a refusal of the source", err)
	}
}

// What all problems return is bounded, whichever ends first: beyond it there are no extras, and a warning.
func TestExtrasOfABatchAreBounded(t *testing.T) {
	in := Inputs{"x": &Measure{Points: NewArray([]float64{1 << 21, 1 << 21, 3}, 3, 1, 1)}}
	e, err := Objective{Terms: []Term{{Weight: 1, Loss: teller{}}}, Extras: []string{"teller.plan", "teller.way"}}.Bind(in, 0)
	if err != nil {
		t.Fatal(err)
	}
	result, err := e.Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	term := result.Terms[0]
	if len(term.Extras) != 0 || len(term.Warnings) != 1 || term.Warnings[0].Code != ExtraTooLarge || len(term.Outcomes) != 3 {
		t.Errorf("%d extras, %d outcomes, warnings %v", len(term.Extras), len(term.Outcomes), term.Warnings)
	}
}
