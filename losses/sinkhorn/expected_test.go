package sinkhorn_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sinkhorn"
)

func expected(t *testing.T, e sinkhorn.ExpectedShrink, in losses.Inputs) losses.TermResult {
	t.Helper()
	e.Source, e.Target = "x", "y"
	o := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: e}}}
	for _, extra := range e.Extras() {
		o.Extras = append(o.Extras, "expected_shrink."+extra)
	}
	return losstest.EvaluateObjective(t, o, in).Terms[0]
}

// The number is the one in the warning of the loss itself, for temperatures given and not.
func TestExpectedShrinkIsWhatTheWarningSays(t *testing.T) {
	r := losstest.Random(70)
	for _, d := range []int{8, 16, 64} {
		in := losses.Inputs{"x": &losses.Measure{Points: losstest.Normal(r, 64, d, 1, 3)}, "y": &losses.Measure{Points: losstest.Normal(r, 64, d, 1, 0)}}
		for _, blur := range []*float64{nil, losstest.Ptr(0.5)} {
			_, says := warned(t, divergence(func(d *sinkhorn.Divergence) { d.Blur, d.Epsilon = blur, nil }), in, "x.points")
			got := expected(t, sinkhorn.ExpectedShrink{Blur: blur}, in)
			if words := fmt.Sprintf("about %.2f times as wide as the target", got.Outcomes[0].Value); !strings.Contains(says, words) {
				t.Errorf("dimension %d: %v, the warning says %q", d, got.Outcomes[0].Value, says)
			}
			epsilon := got.Extras["epsilon"].(*losses.Array).F64[0]
			if blur != nil && epsilon != 0.25 || got.Extras["effective_points"].(*losses.Array).F64[0] != 64 {
				t.Errorf("dimension %d: epsilon %v, %v points", d, epsilon, got.Extras["effective_points"])
			}
		}
	}
}

// Split batches want the truth; a target without spread has no scale.
func TestExpectedShrinkWithoutSelfTermsAndSpread(t *testing.T) {
	r := losstest.Random(7)
	in := losses.Inputs{"x": &losses.Measure{Points: losstest.Normal(r, 64, 16, 1, 0)}, "y": &losses.Prior{Family: losses.StandardNormal{}}}
	if got := expected(t, sinkhorn.ExpectedShrink{Debias: sinkhorn.Split}, in).Outcomes[0].Value; got != 1 {
		t.Errorf("split: %v, want 1", got)
	}
	if got := expected(t, sinkhorn.ExpectedShrink{Epsilon: losstest.Ptr(1000)}, in).Outcomes[0].Value; got > 1 || math.IsNaN(got) {
		t.Errorf("hot: %v", got)
	}
	flat := expected(t, sinkhorn.ExpectedShrink{Blur: losstest.Ptr(1)}, losses.Inputs{"x": in["x"], "y": &losses.Measure{Points: losses.NewArray(make([]float64, 32), 2, 16)}})
	if !math.IsInf(flat.Outcomes[0].Value, 1) || len(flat.Warnings) != 1 || flat.Warnings[0].Code != losses.InfiniteValue {
		t.Errorf("without spread: %v, %v", flat.Outcomes[0].Value, flat.Warnings)
	}
	// Of fewer points than are known it is that of 16, and says so.
	few := expected(t, sinkhorn.ExpectedShrink{}, losses.Inputs{"x": &losses.Measure{Points: losstest.Normal(r, 15, 16, 1, 0)}, "y": in["x"]})
	sixteen := expected(t, sinkhorn.ExpectedShrink{}, losses.Inputs{"x": &losses.Measure{Points: losstest.Normal(r, 16, 16, 1, 0)}, "y": in["x"]})
	if few.Outcomes[0].Value != sixteen.Outcomes[0].Value || len(few.Warnings) != 1 || few.Warnings[0].Code != losses.FewPoints || len(sixteen.Warnings) != 0 {
		t.Errorf("15 points: %v, %v, 16 points: %v, %v", few.Outcomes[0].Value, few.Warnings, sixteen.Outcomes[0].Value, sixteen.Warnings)
	}
	for field, e := range map[string]sinkhorn.ExpectedShrink{"debias": {Debias: sinkhorn.None}, "blur": {Blur: losstest.Ptr(-1)}, "epsilon": {Epsilon: losstest.Ptr(0)}} {
		e.Source, e.Target = "x", "y"
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: e}}}.Bind(in, 0)
		var bad *losses.InputError
		if !errors.As(err, &bad) || bad.Field != "objective.terms[0].expected_shrink."+field {
			t.Errorf("got %v, want an error of %s", err, field)
		}
	}
}

func TestCancelledExpectedShrinkStops(t *testing.T) {
	in := losses.Inputs{"x": losstest.Cloud([]float64{1}, []float64{2}), "y": losstest.Cloud([]float64{1}, []float64{2})}
	e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: sinkhorn.ExpectedShrink{Source: "x", Target: "y"}}}}.Bind(in, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Evaluate(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}
