package sinkhorn_test

import (
	"math"
	"runtime"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/internal/memory"
	"kantor/losses/sinkhorn"
)

// storeNothing is what is done with problems above the budget: they are solved one after the other, from kernels that are written anew for every pass.
func storeNothing(t *testing.T) {
	memory.SetTotal(0)
	t.Cleanup(func() { memory.SetTotal(memory.DefaultTotal) })
}

// One after the other, problems add their gradients to one array: it gets every part once, with its sign.
func TestProblemsOneByOneGiveTheGradientsOfProblemsAtOnce(t *testing.T) {
	r := losstest.Random(31)
	weighted := losses.Inputs{
		"x": &losses.Measure{Points: losstest.Normal(r, 60, 3, 1, 0), Weights: losstest.Weights(r, 60, 1)},
		"y": &losses.Measure{Points: losstest.Normal(r, 50, 3, 0.7, 0.5), Weights: losstest.Weights(r, 50, 1)},
	}
	uniform := only(fourBatches(32, 60, 3), "x", "y")
	gap := 1e-12
	for name, change := range map[string]func(*sinkhorn.Divergence){
		"to a tolerance": precise(0.25),
		"to a gap":       func(d *sinkhorn.Divergence) { d.Gap = &gap },
		"without selves": func(d *sinkhorn.Divergence) { precise(0.25)(d); d.Debias = sinkhorn.None },
		"of halves":      func(d *sinkhorn.Divergence) { precise(0.25)(d); d.Debias = sinkhorn.Split },
	} {
		t.Run(name, func(t *testing.T) {
			in := weighted
			if name == "of halves" {
				in = uniform
			}
			gradients := []string{"x.points", "y.points", "x.weights"}
			atOnce := losstest.Evaluate(t, divergence(change), in, gradients...)
			storeNothing(t)
			oneByOne := losstest.Evaluate(t, divergence(change), in, gradients...)
			for ref, want := range atOnce.Gradients {
				for i, v := range oneByOne.Gradients[ref].F64 {
					// The passes differ in the order of their sums, and end at the tolerance that precise sets or where the gap is reached.
					if math.Abs(v-want.F64[i]) > 1e-7 {
						t.Fatalf("%v[%d] is %v one by one, %v at once", ref, i, v, want.F64[i])
					}
				}
			}
		})
	}
}

// What a large problem allocates grows with its N·D numbers, and by few of them: all that is live at once is a part of it.
func TestALargeProblemAllocatesFewTimesItsNumbers(t *testing.T) {
	storeNothing(t)
	allocated := func(d int) float64 {
		const n = 512
		r := losstest.Random(32)
		in := single32(losses.Inputs{"x": &losses.Measure{Points: losstest.Normal(r, n, d, 1, 0)}, "y": &losses.Measure{Points: losstest.Normal(r, n, d, 1, 0.5)}})
		o := losses.Objective{Terms: []losses.Term{{Weight: 0.5, Loss: divergence(func(s *sinkhorn.Divergence) {
			epsilon := float64(d)
			s.Epsilon, s.WithoutInterval = &epsilon, true
		})}}, Gradients: []string{"x.points"}}
		evaluation, err := o.Bind(in, 0)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := evaluation.Evaluate(t.Context()); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc-before.TotalAlloc) / n
	}
	// Bytes for each coordinate of a pair of points, whatever there is for each point: two clouds of 4 for each of three kernels, 4 of weighted points for each
	// of two gradients, which are added up in one array of 8, the result in 4, 12 that each gradient takes in blocks of rows, and room for sizes that are
	// rounded up, but not for another array.
	const most = 3*8 + 2*4 + 8 + 4 + 2*12 + 6
	if perCoordinate := (allocated(512) - allocated(128)) / (512 - 128); perCoordinate > most {
		t.Errorf("allocated %.1f bytes for each coordinate of a pair of points, want at most %d", perCoordinate, most)
	}
}
