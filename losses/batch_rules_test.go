package losses_test

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kantorovich"
	"kantor/losses/sinkhorn"
)

// A term without a batch is one problem beside those of another, and its input is every problem's in the other.
func TestTermsWithAndWithoutABatch(t *testing.T) {
	a, b, c := measure(4, 2), measure(5, 2), measure(6, 2)
	target := measure(3, 2)
	third := kantorovich.Dual{Source: "other", Target: "target"}
	o := losses.Objective{Terms: []losses.Term{term(2, divergence), term(3, third)}, Gradients: []string{"target.points"}}
	got := losstest.EvaluateObjective(t, o, losses.Inputs{"source": ragged(a, b), "target": target, "other": c})
	if len(got.Terms[0].Outcomes) != 2 || len(got.Terms[1].Outcomes) != 1 {
		t.Fatalf("%d and %d outcomes, want 2 and 1", len(got.Terms[0].Outcomes), len(got.Terms[1].Outcomes))
	}
	value, gradient := 0.0, []float64(nil)
	for _, one := range []struct {
		losses.Term
		in losses.Inputs
	}{
		{term(2, divergence), losses.Inputs{"source": a, "target": target}},
		{term(2, divergence), losses.Inputs{"source": b, "target": target}},
		{term(3, third), losses.Inputs{"other": c, "target": target}},
	} {
		alone := losstest.EvaluateObjective(t, losses.Objective{Terms: []losses.Term{one.Term}, Gradients: o.Gradients}, one.in)
		value += alone.Value
		gradient = added(gradient, alone.Gradients[losses.Ref{Input: "target", Field: "points"}].F64)
	}
	if g := got.Gradients[losses.Ref{Input: "target", Field: "points"}].F64; got.Value != value || !slices.Equal(g, gradient) {
		t.Errorf("value %v and gradient %v, want %v and %v", got.Value, g, value, gradient)
	}
}

// Every problem of a batch is compared with the same samples, a smaller one with the first of them.
func TestPriorIsTheSameForEveryProblem(t *testing.T) {
	long := measure(6, 2)
	short := &losses.Measure{Points: losses.NewArray(long.Points.F64[:8], 4, 2)}
	prior := losses.Inputs{"target": &losses.Prior{Family: losses.StandardNormal{}}}
	c := batchCase{divergence, []losses.Inputs{{"source": long}, {"source": long}, {"source": short}}, prior}
	outcomes := evaluate(t, divergence, c.together()).Terms[0].Outcomes
	if !reflect.DeepEqual(outcomes[0], outcomes[1]) {
		t.Errorf("the same problem twice gives %+v and %+v", outcomes[0], outcomes[1])
	}
	_, samples, err := losses.Inputs{"source": long, "target": prior["target"]}.Pair("source", "target", losses.Seed{})
	if err != nil {
		t.Fatal(err)
	}
	first := &losses.Measure{Points: losses.NewArray(samples.X[:8], 4, 2)}
	if want := losstest.Outcome(t, divergence, losses.Inputs{"source": short, "target": first}); !reflect.DeepEqual(outcomes[2], want) {
		t.Errorf("the short problem is %+v, want %+v, that with the first samples", outcomes[2], want)
	}
}

// A batch says each warning once, with the first problem that it is about.
func TestBatchWarnings(t *testing.T) {
	point := losstest.Cloud([]float64{0, 0})
	loss := divergence
	loss.Debias, loss.Epsilon, loss.MaxIterations = sinkhorn.None, losstest.Ptr(0.01), 1
	in := losses.Inputs{"source": ragged(point, measure(9, 2), measure(8, 2), point, measure(7, 2)), "target": measure(6, 2)}
	warnings := losstest.Evaluate(t, loss, in).Terms[0].Warnings
	if len(warnings) != 1 || warnings[0].Code != losses.NotConverged || !strings.HasPrefix(warnings[0].Message, "problem 1: the marginal error is") ||
		!strings.HasSuffix(warnings[0].Message, "; so it is with 2 more of the 5 problems") {
		t.Errorf("got %q, want one about problem 1 and 2 more", warnings)
	}
}

// The work of a batch is that of its problems, known before it is done.
func TestBatchWork(t *testing.T) {
	work := func(in losses.Inputs) losses.Work {
		e, err := losses.Objective{Terms: []losses.Term{term(1, divergence)}}.Bind(in, 0)
		if err != nil {
			t.Fatal(err)
		}
		return e.Work()
	}
	a, b, target := measure(4, 2), measure(5, 2), measure(3, 2)
	one, other := work(losses.Inputs{"source": a, "target": target}), work(losses.Inputs{"source": b, "target": target})
	want := losses.Work{Pairs: one.Pairs + other.Pairs, Iterations: one.Iterations, Bytes: one.Bytes + other.Bytes}
	if got := work(losses.Inputs{"source": ragged(a, b), "target": target}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBadBatches(t *testing.T) {
	nan := math.NaN()
	array := func(x []float64, shape ...int) *losses.Array { a := losses.NewArray(x, shape...); return &a }
	points := func(sizes []int, weights *losses.Array, x []float64, shape ...int) losses.Inputs {
		return losses.Inputs{"source": &losses.Measure{Points: losses.NewArray(x, shape...), Weights: weights, Sizes: sizes}, "target": measure(2, 1)}
	}
	two := make([]float64, 4)                // [2,2,1]
	const quarter = losses.MaxElements/4 + 1 // 4194305, a multiple of 5
	large := losses.NewArray(make([]float64, quarter), quarter/5, 5)
	plain := []losses.Term{term(1, divergence)}
	thrice := []losses.Term{{Name: "a", Weight: 1, Loss: divergence}, {Name: "b", Weight: 1, Loss: divergence}, {Name: "c", Weight: 1, Loss: divergence}}
	pair := []losses.Term{term(1, divergence), term(1, kantorovich.Dual{Source: "more", Target: "target"})}
	third := losses.MaxProblems/3 + 1
	const target, source = "objective.terms[0].sinkhorn.target", "objective.terms[0].sinkhorn.source"
	for _, tt := range []struct {
		name, field, reason string
		terms               []losses.Term
		in                  losses.Inputs
	}{
		{"no problems", `inputs["source"].points`, "at least one element", plain, points(nil, nil, nil, 0, 2, 1)},
		{"NaN", `inputs["source"].points`, "NaN at [1,0,0]", plain, points(nil, nil, []float64{0, 0, nan, 0}, 2, 2, 1)},
		{"NaN that counts", `inputs["source"].points`, "NaN at [1,0,0]", plain, points([]int{1, 1}, nil, []float64{0, nan, nan, 0}, 2, 2, 1)},
		{"too many problems", `inputs["source"].points`, "65537 problems, want at most 65536", plain,
			points(nil, nil, make([]float64, losses.MaxProblems+1), losses.MaxProblems+1, 1, 1)},
		{"too many in all", "objective.terms", "are 65538 problems by the one at [2]", thrice, points(nil, nil, make([]float64, third), third, 1, 1)},
		{"sizes without a batch", `inputs["source"].sizes`, "no batch", plain, points([]int{1}, nil, two, 4, 1)},
		{"a size too many", `inputs["source"].sizes`, "has 3 numbers, want 2", plain, points([]int{1, 1, 1}, nil, two, 2, 2, 1)},
		{"size 0", `inputs["source"].sizes`, "has 0 at [1], want 1 to 2", plain, points([]int{2, 0}, nil, two, 2, 2, 1)},
		{"size 3", `inputs["source"].sizes`, "has 3 at [0], want 1 to 2", plain, points([]int{3, 1}, nil, two, 2, 2, 1)},
		{"weights without a batch", `inputs["source"].weights`, "has shape [2], want [2 2]", plain, points(nil, array(two[:2], 2), two, 2, 2, 1)},
		{"weights with a batch", `inputs["source"].weights`, "has shape [2 2], want [4]", plain, points(nil, array(two, 2, 2), two, 4, 1)},
		{"a negative weight", `inputs["source"].weights`, "-1 at [1,0]", plain, points(nil, array([]float64{1, 1, -1, 2}, 2, 2), two, 2, 2, 1)},
		{"weights of 0", `inputs["source"].weights`, "sum to 0 in problem 1", plain, points([]int{2, 1}, array([]float64{1, 1, 0, 1}, 2, 2), two, 2, 2, 1)},
		{"masses", target, "problem 1: input \"target\" has mass 1, want", plain, points(nil, array([]float64{.5, .5, 1, 1}, 2, 2), two, 2, 2, 1)},
		{"dimensions", target, "problem 0: input \"target\" has dimension 1, want 2", plain, points(nil, nil, two, 2, 1, 2)},
		{"another batch", target, `"target" is a batch of 3 problems, want 2, as many as "source" has`, plain,
			losses.Inputs{"source": ragged(measure(2, 1), measure(2, 1)), "target": ragged(measure(2, 1), measure(2, 1), measure(2, 1))}},
		{"a batch of one", target, `"target" is a batch of 1 problems, want 2`, plain,
			losses.Inputs{"source": ragged(measure(2, 1), measure(2, 1)), "target": ragged(measure(2, 1))}},
		{"another term's batch", "objective.terms[1].kantorovich.source", `"more" is a batch of 1 problems, want 2`, pair,
			losses.Inputs{"source": ragged(measure(2, 1), measure(2, 1)), "target": measure(2, 1), "more": ragged(measure(2, 1))}},
		{"too large to be shared", target, "too large to be shared by 4 problems: 4194305 numbers", plain,
			losses.Inputs{"source": &losses.Measure{Points: losses.NewArray(make([]float64, 20), 4, 1, 5)}, "target": &losses.Measure{Points: large}}},
		{"too many samples", source, "is too large: 1048576 samples of dimension 5 for 4 problems", plain, losses.Inputs{
			"target": &losses.Measure{Points: losses.NewArray(make([]float64, 20), 4, 1, 5)}, "source": &losses.Prior{Family: losses.StandardNormal{}, Size: losses.MaxPoints}}},
		{"means", `inputs["posterior"].log_variance`, "has shape [4 1], want that of the mean, [2 2 1]", []losses.Term{term(1, gaussian)},
			losses.Inputs{"posterior": &losses.Gaussian{Mean: losses.NewArray(two, 2, 2, 1), LogVariance: losses.NewArray(two, 4, 1)}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := losses.Objective{Terms: tt.terms}.Bind(tt.in, 0)
			var bad *losses.InputError
			if !errors.As(err, &bad) || bad.Field != tt.field || !strings.Contains(bad.Reason, tt.reason) {
				t.Errorf("got %v, want %s: … %s …", err, tt.field, tt.reason)
			}
		})
	}
}
