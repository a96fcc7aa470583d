package sinkhorn_test

import (
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sinkhorn"
)

func TestSplitRefusals(t *testing.T) {
	in := fourBatches(13, 8, 2)
	odd := fourBatches(13, 7, 2)
	far := moved(in, func(p []float64) []float64 { return []float64{p[0] + 1e200, p[1]} })
	for name, tt := range map[string]struct {
		change      func(*sinkhorn.Divergence)
		in          losses.Inputs
		field, says string
	}{
		"geomloss":         {func(d *sinkhorn.Divergence) { splitting(d); d.Profile = sinkhorn.GeomLoss }, only(in, "x", "y"), "debias", "want self or none"},
		"odd":              {splitting, only(odd, "x", "y"), "source", "want an even number"},
		"sizes":            {splitting, losses.Inputs{"x": in["x"], "y": odd["y"]}, "target", "want 8, as many as source"},
		"size of a prior":  {splitting, losses.Inputs{"x": in["x"], "y": &losses.Prior{Family: losses.StandardNormal{}, Size: 16}}, "target", "has 16 points, want 8"},
		"weights":          {splitting, pair(1, 8, 8, 2, 1), "source", "want all the same"},
		"the same input":   {func(d *sinkhorn.Divergence) { splitting(d); d.Target = "x" }, only(in, "x"), "target", "want independent samples"},
		"no second target": {func(d *sinkhorn.Divergence) { splitting(d); d.SecondSource = "x2" }, only(in, "x", "x2", "y"), "second_target", "want both or neither"},
		"without split": {func(d *sinkhorn.Divergence) { d.SecondSource = "x2" }, only(in, "x", "x2", "y"), "second_source",
			"without debias split"},
		"a second batch far away": {joining, losses.Inputs{"x": in["x"], "x2": far["x2"], "y": in["y"], "y2": in["y2"]}, "source", "too far apart"},
	} {
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: divergence(tt.change)}}}.Bind(tt.in, 0)
		bad, ok := err.(*losses.InputError)
		if !ok || bad.Field != "objective.terms[0].sinkhorn."+tt.field || !strings.Contains(bad.Reason, tt.says) {
			t.Errorf("%s: got %v, want %s: …%s…", name, err, tt.field, tt.says)
		}
	}
	// Odd batches with second ones need no halves.
	joined := divergence(joining)
	losstest.Outcome(t, joined, odd)
}

// TestRandomSplit holds what is promised of any valid input: finite numbers, the value in its interval, the same bits on any number of processors, intervals
// that meet when iterations go on.
func TestRandomSplit(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	checkRandom(t, "50", func(t *rapid.T) {
		p := drawClouds(t)
		p.x, p.y = firstRows(p.x, p.y)
		in := p.inputs()
		p.drawLoss(t)
		p.drawTemperature(t, -30)
		p.loss.MaxIterations = rapid.SampledFrom([]int{500, 60, 10, 3, 1}).Draw(t, "max_iterations")
		p.loss.Tolerance = losstest.Ptr(math.Pow(10, -float64(rapid.IntRange(0, 10).Draw(t, "-log tolerance"))))
		splitting(&p.loss)
		if rapid.Bool().Draw(t, "second batches") {
			joining(&p.loss)
			in["x2"], in["y2"] = in["y"], in["x"] // of another distribution, which changes nothing here
		}
		runtime.GOMAXPROCS(1)
		result := p.solve(t, in)
		p.checkFinite(t, result)
		p.checkOutcome(t, result)
		runtime.GOMAXPROCS(2)
		if again := p.solve(t, in); !reflect.DeepEqual(again, result) {
			t.Errorf("two processors give %+v, one %+v", again, result)
		}
		longer := p
		longer.loss.MaxIterations *= 10
		checkMeet(t, "ten times as many iterations", longer.solve(t, in), result)
	})
}

// firstRows are as many rows of both, an even number, without weights.
func firstRows(x, y *losses.Measure) (*losses.Measure, *losses.Measure) {
	n := min(x.Points.Shape[0], y.Points.Shape[0]) / 2 * 2
	if n == 0 { // a single point twice
		return repeated(x), repeated(y)
	}
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	return &losses.Measure{Points: taken(x.Points, rows)}, &losses.Measure{Points: taken(y.Points, rows)}
}

func repeated(m *losses.Measure) *losses.Measure {
	return &losses.Measure{Points: taken(m.Points, []int{0, 0})}
}
