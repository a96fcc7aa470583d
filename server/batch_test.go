package server

import (
	"math"
	"slices"
	"testing"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// ragged is a batch of two problems of three points and of one, with a target that they share.
func ragged() *kantorv1.EvaluateRequest {
	nan := math.NaN()
	source := &kantorv1.Measure{
		Points:  f64([]int64{2, 3, 1}, 0, 1, 2, 5, nan, nan),
		Weights: f64([]int64{2, 3}, 0.25, 0.5, 0.25, 1, nan, nan),
		Sizes:   []int64{3, 1},
	}
	return &kantorv1.EvaluateRequest{
		Objective: objective(sinkhornTerm(&kantorv1.SinkhornDivergence{})),
		Inputs:    map[string]*kantorv1.Input{"source": {Kind: &kantorv1.Input_Measure{Measure: source}}, "target": line(1, 2)},
	}
}

// What a batch gives has its extent in front, and the rows of its inputs.
func TestShapesOfABatch(t *testing.T) {
	s := start(t, Config{})
	req := ragged()
	req.Objective.Gradients = []string{"source.points", "source.weights", "target.points"}
	req.Objective.Extras = []string{"sinkhorn.potentials"}
	response, err := s.losses.Evaluate(testContext(t), req)
	if err != nil {
		t.Fatal(err)
	}
	term := response.GetTerms()[0]
	if len(term.GetOutcomes()) != 2 {
		t.Errorf("%d outcomes, want 2", len(term.GetOutcomes()))
	}
	potentials, source := term.GetExtras()["potentials"].GetPotentials(), response.GetGradients()["source"].GetMeasure()
	for name, c := range map[string]struct {
		tensor *kantorv1.Tensor
		shape  []int64
	}{
		"potentials.source":      {potentials.GetSource(), []int64{2, 3}},
		"potentials.target":      {potentials.GetTarget(), []int64{2, 2}},
		"potentials.source_self": {potentials.GetSourceSelf(), []int64{2, 3}},
		"potentials.target_self": {potentials.GetTargetSelf(), []int64{2, 2}},
		"source.points":          {source.GetPoints(), []int64{2, 3, 1}},
		"source.weights":         {source.GetWeights(), []int64{2, 3}},
		"target.points":          {response.GetGradients()["target"].GetMeasure().GetPoints(), []int64{2, 1}},
	} {
		if !slices.Equal(c.tensor.GetShape(), c.shape) {
			t.Errorf("%s has shape %v, want %v", name, c.tensor.GetShape(), c.shape)
		}
	}
	if padding := float64s(source.GetPoints().GetData())[4:]; padding[0] != 0 || padding[1] != 0 || len(source.GetSizes()) != 0 {
		t.Errorf("padding has gradients %v and the gradient sizes %v, want 0 and none", padding, source.GetSizes())
	}
}

// Sizes are looked at before they are taken for ints, and before their number costs anything.
func TestSizesAreChecked(t *testing.T) {
	for _, sizes := range [][]int64{{3, 0}, {3, -1}, {3, math.MaxInt64}, {3, 1<<32 + 1}, make([]int64, losses.MaxProblems+1)} {
		req := ragged()
		req.Inputs["source"].GetMeasure().Sizes = sizes
		_, _, err := decode(req)
		wantInputError(t, err)
		if bad, ok := err.(*losses.InputError); !ok || bad.Field != `inputs["source"].sizes` {
			t.Errorf("%d sizes from %v: got %v, want an error for them", len(sizes), sizes[0], err)
		}
	}
}
