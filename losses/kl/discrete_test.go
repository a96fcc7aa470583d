package kl_test

import (
	"context"
	"math"
	"testing"

	"pgregory.net/rapid"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kl"
)

var discrete = kl.Discrete{Source: "x", Target: "y"}

func measures(x, y *losses.Measure) losses.Inputs { return losses.Inputs{"x": x, "y": y} }

// Points are found wherever they stand, twice is once with the sum of the weights, and -0 is 0.
func TestAtoms(t *testing.T) {
	want := 0.75*math.Log(1.5) + 0.25*math.Log(0.5)
	for name, in := range map[string]losses.Inputs{
		"in order":  measures(losstest.Weighted([]float64{0, 1}, []float64{0.75, 0.25}), losstest.Weighted([]float64{0, 1}, []float64{0.5, 0.5})),
		"swapped":   measures(losstest.Weighted([]float64{0, 1}, []float64{0.75, 0.25}), losstest.Weighted([]float64{1, 0}, []float64{0.5, 0.5})),
		"twice":     measures(losstest.Weighted([]float64{0, 1, 0}, []float64{0.5, 0.25, 0.25}), losstest.Weighted([]float64{1, 1, 0}, []float64{0.25, 0.25, 0.5})),
		"minus 0":   measures(losstest.Weighted([]float64{0, 1}, []float64{0.75, 0.25}), losstest.Weighted([]float64{1, math.Copysign(0, -1)}, []float64{0.5, 0.5})),
		"no weight": measures(losstest.Weighted([]float64{0, 1, 7}, []float64{0.75, 0.25, 0}), losstest.Weighted([]float64{0, 1, 9}, []float64{0.5, 0.5, 0})),
	} {
		if got := value(t, discrete, in); !near(got, want, 1e-14) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	// All coordinates count.
	planar := measures(losstest.Cloud([]float64{0, 0}, []float64{0, 1}), losstest.Cloud([]float64{0, 1}, []float64{0, 0}))
	if got := value(t, discrete, planar); got != 0 {
		t.Errorf("the same points in the plane: got %v, want 0", got)
	}
	infinite(t, "one coordinate differs", discrete, measures(losstest.Cloud([]float64{0, 0}, []float64{0, 1}), losstest.Cloud([]float64{0, 0}, []float64{1, 1})),
		"x.weights", "y.weights", "x.points")
}

// Masses m make m times the divergence; the gradient is ln(a/b), centred, and that in points 0.
func TestDiscreteGradients(t *testing.T) {
	r := losstest.Random(40)
	points := []float64{3, 1, 4, 1, 5}
	x := losstest.Weighted(points, []float64{1, 2, 3, 4, 10})
	y := losstest.Weighted([]float64{5, 4, 3, 1}, []float64{2, 4, 6, 8})
	for name, direction := range directions {
		loss := kl.Discrete{Source: "x", Target: "y", Direction: direction}
		in := measures(x, y)
		for _, tensor := range []string{"x.weights", "y.weights"} {
			weights := losstest.Tensor(in, tensor).F64
			along := losstest.UnitBalanced(r, weights)
			analytic, numeric := losstest.Directional(t, loss, in, tensor, along, 1e-3)
			if math.Abs(analytic-numeric) > 1e-9 {
				t.Errorf("%s, %s: got %v, by differences %v", name, tensor, analytic, numeric)
			}
			centre := 0.0
			for i, g := range gradient(t, loss, in, tensor[:1], "weights") {
				centre += g * weights[i]
			}
			if math.Abs(centre) > 1e-13 {
				t.Errorf("%s, %s: <w,g> = %v, want 0", name, tensor, centre)
			}
		}
		for i, g := range gradient(t, loss, in, "x", "points") {
			if g != 0 {
				t.Errorf("gradient %v in point %d, want 0", g, i)
			}
		}
	}
	g := gradient(t, discrete, measures(x, y), "x", "weights")
	if g[1] != g[3] {
		t.Errorf("two weights of one point have the gradients %v and %v", g[1], g[3])
	}
	if diff, want := g[0]-g[2], math.Log(1./6)-math.Log(3./4); math.Abs(diff-want) > 1e-14 {
		t.Errorf("gradients differ by %v, want %v", diff, want)
	}
}

func TestDiscreteRefuses(t *testing.T) {
	one := losstest.Weighted([]float64{0}, []float64{1})
	refused(t, discrete, measures(one, losstest.Weighted([]float64{0}, []float64{1.1})), "target")
	refused(t, discrete, measures(one, losstest.Cloud([]float64{0, 0})), "target")
	refused(t, discrete, losses.Inputs{"x": random(1, 1, 1), "y": one}, "source")
	refused(t, discrete, losses.Inputs{"x": one, "y": &losses.Prior{Family: losses.StandardNormal{}}}, "target")
	// What rounding in binary32 leaves is spread over the target.
	if got := value(t, discrete, measures(one, losstest.Weighted([]float64{0}, []float64{1 + 5e-7}))); got != 0 {
		t.Errorf("got %v for masses that agree to 1e-6, want 0", got)
	}
}

// Sorting by coordinates, the other way to find points that agree, finds the same.
func TestDiscreteAgainstTables(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := losstest.Random(rapid.Uint64().Draw(rt, "seed"))
		n := rapid.IntRange(1, 60).Draw(rt, "n")
		draw := func() (*losses.Measure, map[[2]float64]float64) {
			x, w, table := make([]float64, 2*n), losstest.Weights(r, n, 1), map[[2]float64]float64{}
			for i := range n {
				at := [2]float64{float64(r.IntN(3)), float64(r.IntN(3))}
				if i < 9 && n >= 9 { // every point once
					at = [2]float64{float64(i % 3), float64(i / 3)}
				}
				x[2*i], x[2*i+1] = at[0], at[1]
				table[at] += w.F64[i]
			}
			return &losses.Measure{Points: losses.NewArray(x, n, 2), Weights: w}, table
		}
		x, a := draw()
		y, b := draw()
		want := 0.0
		for at, mass := range a {
			want += mass * math.Log(mass/b[at])
		}
		got := value(t, discrete, measures(x, y))
		if math.IsInf(want, 1) != math.IsInf(got, 1) || !math.IsInf(want, 1) && math.Abs(got-want) > 1e-13 {
			rt.Errorf("got %v, want %v", got, want)
		}
	})
}

// A cancelled context ends it, however many points there are.
func TestDiscreteIsCancelled(t *testing.T) {
	x := losstest.Normal(losstest.Random(1), 4, 1<<15, 1, 0)
	e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: discrete}}}.Bind(measures(&losses.Measure{Points: x}, &losses.Measure{Points: x}), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Evaluate(ctx); err != context.Canceled {
		t.Errorf("got %v, want that it was cancelled", err)
	}
}
