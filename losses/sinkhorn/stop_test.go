package sinkhorn_test

import (
	"math"
	"slices"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sinkhorn"
)

// A gap is a promise on the interval that comes back, whatever marginal error it takes.
func TestGap(t *testing.T) {
	in := pair(70, 40, 50, 3, 1)
	exact := losstest.Outcome(t, divergence(precise(0.3)), in)
	for _, debias := range []sinkhorn.Debias{sinkhorn.Self, sinkhorn.None} {
		for _, gap := range []float64{0.1, 1e-3, 1e-6} {
			o := losstest.Outcome(t, divergence(func(d *sinkhorn.Divergence) { d.Epsilon, d.Gap, d.Debias = losstest.Ptr(0.3), &gap, debias }), in)
			if width := o.Interval.Upper - o.Interval.Lower; !o.Solve.Converged || width > gap*math.Abs(o.Value)*(1+1e-9) {
				t.Errorf("%v, gap %v: %v is %v wide, %+v", debias, gap, *o.Interval, width, *o.Solve)
			}
			if debias == sinkhorn.Self && (exact.Interval.Upper < o.Interval.Lower || exact.Interval.Lower > o.Interval.Upper) {
				t.Errorf("gap %v: %v and %v have nothing in common", gap, *o.Interval, *exact.Interval)
			}
		}
	}
}

func TestGapOutOfReach(t *testing.T) {
	in := pair(71, 40, 50, 3, 1)
	result := losstest.Evaluate(t, divergence(func(d *sinkhorn.Divergence) {
		d.Epsilon, d.Gap, d.MaxIterations = losstest.Ptr(0.01), losstest.Ptr(1e-9), 20
	}), in)
	o := result.Terms[0].Outcomes[0]
	if o.Solve.Converged || o.Solve.Iterations > 20 || result.Terms[0].Warnings[0].Code != losses.NotConverged {
		t.Errorf("got %+v with %v", *o.Solve, result.Terms[0].Warnings)
	}
}

// Without an interval the value is the same dual's, with ΣP from the softmin of the last measurement: rounding alone tells the two apart.
func TestWithoutInterval(t *testing.T) {
	for name, in := range map[string]losses.Inputs{"balanced": pair(72, 30, 25, 3, 2), "unbalanced": unequal(73, 30, 25, 3)} {
		with := divergence(func(d *sinkhorn.Divergence) { d.Epsilon = losstest.Ptr(0.3) })
		if name == "unbalanced" {
			with.Rho = losstest.Ptr(2)
		}
		without := with
		without.WithoutInterval = true
		a, b := losstest.Evaluate(t, with, in, "x.points"), losstest.Evaluate(t, without, in, "x.points")
		if o := b.Terms[0].Outcomes[0]; o.Interval != nil || !o.Solve.Converged || !slices.Equal(b.Terms[0].Warnings, a.Terms[0].Warnings) {
			t.Errorf("%s: %+v, %v", name, o, b.Terms[0].Warnings)
		}
		same(t, name, b.Value, a.Value)
		ref := losses.Ref{Input: "x", Field: "points"}
		for i, v := range a.Gradients[ref].F64 {
			if b.Gradients[ref].F64[i] != v {
				t.Fatalf("%s: the gradient differs at %d", name, i)
			}
		}
	}
}

func TestStopParameters(t *testing.T) {
	in := pair(74, 5, 5, 2, 1)
	for name, d := range map[string]sinkhorn.Divergence{
		"with a tolerance":    divergence(func(d *sinkhorn.Divergence) { d.Gap, d.Tolerance = losstest.Ptr(1), losstest.Ptr(1) }),
		"of 0":                divergence(func(d *sinkhorn.Divergence) { d.Gap = losstest.Ptr(0) }),
		"without an interval": divergence(func(d *sinkhorn.Divergence) { d.Gap, d.WithoutInterval = losstest.Ptr(1), true }),
		"of a fixed schedule": divergence(func(d *sinkhorn.Divergence) { d.Gap, d.Profile = losstest.Ptr(1), sinkhorn.GeomLoss }),
	} {
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: d}}}.Bind(in, 0)
		if bad, ok := err.(*losses.InputError); !ok || bad.Field != "objective.terms[0].sinkhorn.gap" {
			t.Errorf("a gap %s: got %v", name, err)
		}
	}
}
