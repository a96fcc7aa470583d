package server

import (
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

func TestOverrideSetsNumbers(t *testing.T) {
	blur := sinkhornTerm(&kantorv1.SinkhornDivergence{Temperature: &kantorv1.SinkhornDivergence_Blur{Blur: 1}})
	gap := &kantorv1.Term{Name: "w", Loss: &kantorv1.Term_Kantorovich{Kantorovich: &kantorv1.KantorovichDual{}}}
	given := objective(blur, gap)
	before := proto.CloneOf(given)
	got, err := override(given, map[string]float64{
		"sinkhorn.weight": 2, "sinkhorn.blur": 0.25, "sinkhorn.tolerance": 1e-4, "sinkhorn.max_iterations": 7, "w.gap": 0.5,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := objective(
		&kantorv1.Term{Weight: proto.Float64(2), Loss: &kantorv1.Term_Sinkhorn{Sinkhorn: &kantorv1.SinkhornDivergence{
			Temperature:   &kantorv1.SinkhornDivergence_Blur{Blur: 0.25},
			Stop:          &kantorv1.SinkhornDivergence_Tolerance{Tolerance: 1e-4},
			MaxIterations: 7,
		}}},
		&kantorv1.Term{Name: "w", Loss: &kantorv1.Term_Kantorovich{Kantorovich: &kantorv1.KantorovichDual{Gap: proto.Float64(0.5)}}},
	)
	if !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !proto.Equal(given, before) {
		t.Errorf("the stream's own objective became %v", given)
	}
}

// Where the objective leaves a oneof open, an override may choose.
func TestOverrideSetsAnOpenOneof(t *testing.T) {
	got, err := override(objective(sinkhornTerm(&kantorv1.SinkhornDivergence{})), map[string]float64{"sinkhorn.epsilon": 0.5})
	if err != nil || got.GetTerms()[0].GetSinkhorn().GetEpsilon() != 0.5 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestOverrideRefuses(t *testing.T) {
	blur := sinkhornTerm(&kantorv1.SinkhornDivergence{Temperature: &kantorv1.SinkhornDivergence_Blur{Blur: 1}})
	for _, c := range []struct {
		key    string
		number float64
		reason string
	}{
		{"sinkhorn", 1, "want term.field"},
		{"kl.weight", 1, `there is no term "kl", the terms are ["sinkhorn"]`},
		{"sinkhorn.sharpness", 1, "is no number of the term"},
		{"sinkhorn.source", 1, "is no number of the term"},
		{"sinkhorn.cost", 1, "is no number of the term"},
		{"sinkhorn.epsilon", 1, "sets blur, which excludes epsilon"},
		{"sinkhorn.max_iterations", 1.5, "want an integer"},
		{"sinkhorn.max_iterations", 1e10, "want an integer"},
		{"sinkhorn.blur", math.NaN(), "want a finite number"},
		{"sinkhorn.weight", math.Inf(1), "want a finite number"},
	} {
		_, err := override(objective(blur), map[string]float64{c.key: c.number})
		var bad *losses.InputError
		if !errors.As(err, &bad) || bad.Field != `overrides["`+c.key+`"]` || !strings.Contains(bad.Reason, c.reason) {
			t.Errorf("%s = %v: got %v, want %q", c.key, c.number, err, c.reason)
		}
	}
}
