package losses_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kantorovich"
	"kantor/losses/kl"
	"kantor/losses/sinkhorn"
)

func measure(n, d int) *losses.Measure {
	return &losses.Measure{Points: losstest.Normal(losstest.Random(uint64(n*100+d)), n, d, 1, 0)}
}

func weighted(w ...float64) *losses.Measure {
	a := losses.NewArray(w, len(w))
	m := measure(len(w), 2)
	m.Weights = &a
	return m
}

func posterior() *losses.Gaussian {
	r := losstest.Random(9)
	return &losses.Gaussian{Mean: losstest.Normal(r, 8, 2, 1, 0), LogVariance: losstest.Normal(r, 8, 2, 1, 0)}
}

func term(weight float64, loss losses.Loss) losses.Term {
	return losses.Term{Weight: weight, Loss: loss}
}

var (
	divergence = sinkhorn.Divergence{Source: "source", Target: "target"}
	dual       = kantorovich.Dual{Source: "source", Target: "target"}
	gaussian   = kl.Gaussian{Posterior: "posterior"}
)

// Each kind of bad input, the path it is reported at, and a part of what is said.
func TestBadInput(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	points := func(x []float64, shape ...int) losses.Inputs {
		return losses.Inputs{"source": &losses.Measure{Points: losses.NewArray(x, shape...)}, "target": measure(3, 2)}
	}
	source := func(m losses.Input) losses.Inputs { return losses.Inputs{"source": m, "target": measure(3, 2)} }
	with := func(change func(*sinkhorn.Divergence)) []losses.Term {
		d := divergence
		change(&d)
		return []losses.Term{term(1, d)}
	}
	plain := []losses.Term{term(1, divergence)}
	fine := source(measure(3, 2))
	for _, tt := range []struct {
		name, field, reason string
		terms               []losses.Term
		in                  losses.Inputs
	}{
		{"rank 1", `inputs["source"].points`, "want [N,D]", plain, points(make([]float64, 4), 4)},
		{"rank 4", `inputs["source"].points`, "want [N,D] or, for a batch of problems, [B,N,D]", plain, points(make([]float64, 8), 1, 2, 2, 2)},
		{"length", `inputs["source"].points`, "has 5 elements, want 6", plain, points(make([]float64, 5), 3, 2)},
		{"empty", `inputs["source"].points`, "at least one element", plain, points(nil, 0, 2)},
		{"no dimensions", `inputs["source"].points`, "at least one element", plain, points(nil, 3, 0)},
		{"too many points", `inputs["source"].points`, "too large", plain, points(nil, losses.MaxPoints+1, 2)},
		{"too many dimensions", `inputs["source"].points`, "too large", plain, points(nil, 2, losses.MaxDimension+1)},
		{"NaN", `inputs["source"].points`, "NaN at [1,0]", plain, points([]float64{0, 0, nan, 0, 0, 0}, 3, 2)},
		{"Inf", `inputs["source"].points`, "+Inf at [2,1]", plain, points([]float64{0, 0, 0, 0, 0, inf}, 3, 2)},
		{"a negative weight", `inputs["source"].weights`, "-0.5 at [1]", plain, source(weighted(1, -0.5, 0.5))},
		{"weights of 0", `inputs["source"].weights`, "positive finite sum", plain, source(weighted(0, 0, 0))},
		{"NaN weight", `inputs["source"].weights`, "NaN at [0]", plain, source(weighted(nan, 1, 1))},
		{"weights that overflow", `inputs["source"].weights`, "positive finite sum", plain, source(weighted(1e308, 1e308, 1e308))},
		{"one weight too few", `inputs["source"].weights`, "has 2 weights, want 3", plain,
			source(&losses.Measure{Points: measure(3, 2).Points, Weights: weighted(1, 1).Weights})},
		{"masses", "objective.terms[0].sinkhorn.target", "has mass 1, want that of source", plain, source(weighted(1, 1, 1))},
		{"dimensions", "objective.terms[0].sinkhorn.target", "has dimension 2, want 3", plain, source(measure(3, 3))},
		{"far apart", "objective.terms[0].sinkhorn.source", "overflows", plain, points([]float64{1e200, 0, 0, 0, 0, 0}, 3, 2)},
		{"epsilon 0", "objective.terms[0].sinkhorn.epsilon", "is 0, want a positive number", with(func(d *sinkhorn.Divergence) { d.Epsilon = losstest.Ptr(0) }), fine},
		{"epsilon < 0", "objective.terms[0].sinkhorn.epsilon", "is -1", with(func(d *sinkhorn.Divergence) { d.Epsilon = losstest.Ptr(-1) }), fine},
		{"epsilon NaN", "objective.terms[0].sinkhorn.epsilon", "is NaN", with(func(d *sinkhorn.Divergence) { d.Epsilon = &nan }), fine},
		{"epsilon Inf", "objective.terms[0].sinkhorn.epsilon", "is +Inf", with(func(d *sinkhorn.Divergence) { d.Epsilon = &inf }), fine},
		{"epsilon under the resolution", "objective.terms[0].sinkhorn.epsilon", "does not resolve", with(func(d *sinkhorn.Divergence) { d.Epsilon = losstest.Ptr(1e-30) }), fine},
		{"blur < 0", "objective.terms[0].sinkhorn.blur", "is -0.5", with(func(d *sinkhorn.Divergence) { d.Blur = losstest.Ptr(-0.5) }), fine},
		{"blur that overflows", "objective.terms[0].sinkhorn.blur", "overflows", with(func(d *sinkhorn.Divergence) { d.Blur = losstest.Ptr(1e200) }), fine},
		{"blur and epsilon", "objective.terms[0].sinkhorn.blur", "want one of them", with(func(d *sinkhorn.Divergence) { d.Blur, d.Epsilon = losstest.Ptr(1), losstest.Ptr(1) }), fine},
		{"tolerance", "objective.terms[0].sinkhorn.tolerance", "is 0", with(func(d *sinkhorn.Divergence) { d.Tolerance = losstest.Ptr(0) }), fine},
		{"max_iterations", "objective.terms[0].sinkhorn.max_iterations", "is -1", with(func(d *sinkhorn.Divergence) { d.MaxIterations = -1 }), fine},
		{"unknown input", "objective.terms[0].sinkhorn.target", `no input "target", the inputs are ["source"]`, plain, losses.Inputs{"source": measure(3, 2)}},
		{"unused input", `inputs["spare"]`, "used by no term", plain, losses.Inputs{"source": measure(3, 2), "target": measure(3, 2), "spare": measure(1, 1)}},
		{"name", `inputs["Bad name"]`, "is no name", []losses.Term{term(1, sinkhorn.Divergence{Source: "Bad name", Target: "target"})},
			losses.Inputs{"Bad name": measure(3, 2), "target": measure(3, 2)}},
		{"kind", "objective.terms[0].sinkhorn.source", "want a measure or a prior", plain, source(posterior())},
		{"two priors", "objective.terms[0].sinkhorn.target", "both priors", plain,
			losses.Inputs{"source": &losses.Prior{Family: losses.StandardNormal{}}, "target": &losses.Prior{Family: losses.StandardNormal{}}}},
		{"prior size", `inputs["source"].prior.size`, "is -1", plain, source(&losses.Prior{Family: losses.StandardNormal{}, Size: -1})},
		{"prior too large", "objective.terms[0].sinkhorn.source", "too large", plain,
			losses.Inputs{"source": &losses.Prior{Family: losses.StandardNormal{}, Size: losses.MaxPoints}, "target": measure(3, 1024)}},
		{"no family", `inputs["source"].prior`, "names no distribution", plain, source(&losses.Prior{})},
		{"no terms", "objective.terms", "has 0 terms", nil, fine},
		{"two terms of one name", "objective.terms[1].name", "earlier term", append(slices.Clone(plain), plain...), fine},
		{"term name", "objective.terms[0].name", "is \"9\"", []losses.Term{{Name: "9", Weight: 1, Loss: divergence}}, fine},
		{"weight", "objective.terms[0].weight", "is NaN", []losses.Term{term(nan, divergence)}, fine},
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

func TestBadGradientsAndExtras(t *testing.T) {
	in := losses.Inputs{"source": measure(3, 2), "target": &losses.Prior{Family: losses.StandardNormal{}}, "posterior": posterior()}
	terms := []losses.Term{term(1, divergence), term(1, gaussian)}
	for _, tt := range []struct{ gradient, extra, field, reason string }{
		{gradient: "points", field: "objective.gradients[0]", reason: "want input.field"},
		{gradient: "sauce.points", field: "objective.gradients[0]", reason: `no input "sauce"`},
		{gradient: "source.mean", field: "objective.gradients[0]", reason: "want points or weights"},
		{gradient: "posterior.points", field: "objective.gradients[0]", reason: "want mean or log_variance"},
		{gradient: "target.points", field: "objective.gradients[0]", reason: "no gradient"},
		{extra: "potentials", field: "objective.extras[0]", reason: "want term.extra"},
		{extra: "other.potentials", field: "objective.extras[0]", reason: `no term "other"`},
		{extra: "kl.potentials", field: "objective.extras[0]", reason: "per_dimension"},
	} {
		o := losses.Objective{Terms: terms}
		if tt.gradient != "" {
			o.Gradients = []string{tt.gradient}
		} else {
			o.Extras = []string{tt.extra}
		}
		_, err := o.Bind(in, 0)
		if bad, ok := err.(*losses.InputError); !ok || bad.Field != tt.field || !strings.Contains(bad.Reason, tt.reason) {
			t.Errorf("%+v: got %v", tt, err)
		}
	}
	if _, err := (losses.Objective{Terms: terms, Gradients: []string{"source.points", "source.points"}}).Bind(in, 0); err == nil {
		t.Error("a gradient that is asked for twice was accepted")
	}
}

// The total and its gradient are the weighted sums of the terms', one by one.
func TestWeightedSum(t *testing.T) {
	in := losses.Inputs{"source": measure(8, 2), "target": measure(9, 2), "posterior": posterior()}
	gradients := []string{"source.points", "posterior.mean"}
	terms := []losses.Term{term(10, divergence), term(4, gaussian), term(-0.5, dual)}
	all := losstest.EvaluateObjective(t, losses.Objective{Terms: terms, Gradients: gradients}, in)
	value := 0.0
	sums := map[losses.Ref][]float64{{Input: "source", Field: "points"}: make([]float64, 16), {Input: "posterior", Field: "mean"}: make([]float64, 16)}
	for i, one := range terms {
		weight := one.Weight
		value += weight * all.Terms[i].Outcomes[0].Value
		used := losses.Inputs{}
		var wanted []string
		for _, use := range one.Loss.Uses() {
			used[use.Input] = in[use.Input]
			for _, g := range gradients {
				if strings.HasPrefix(g, use.Input+".") {
					wanted = append(wanted, g)
				}
			}
		}
		alone := losstest.Evaluate(t, one.Loss, used, wanted...)
		if got, want := all.Terms[i].Outcomes[0], alone.Terms[0].Outcomes[0]; got.Value != want.Value {
			t.Errorf("term %d: %v in company, %v alone", i, got.Value, want.Value)
		}
		for ref, g := range alone.Gradients {
			for k, v := range g.F64 {
				sums[ref][k] += weight * v
			}
		}
	}
	if all.Value != value {
		t.Errorf("total: got %v, want %v", all.Value, value)
	}
	for ref, want := range sums {
		if got := all.Gradients[ref].F64; !slices.Equal(got, want) {
			t.Errorf("%v: got %v, want %v", ref, got, want)
		}
	}
}

func TestWeightOfZero(t *testing.T) {
	in := losses.Inputs{"source": measure(4, 2), "target": measure(4, 2)}
	result := losstest.EvaluateObjective(t, losses.Objective{Terms: []losses.Term{term(0, divergence)}, Gradients: []string{"source.points"}}, in)
	if result.Value != 0 || result.Terms[0].Outcomes[0].Value == 0 {
		t.Errorf("got a total of %v with a term of %v", result.Value, result.Terms[0].Outcomes[0].Value)
	}
	for _, v := range result.Gradients[losses.Ref{Input: "source", Field: "points"}].F64 {
		if v != 0 {
			t.Errorf("a term of weight 0 has a gradient of %v", v)
		}
	}
}

// The gradient keeps the number format and the shape of its input.
func TestGradientFormat(t *testing.T) {
	single := &losses.Measure{Points: losses.Array{Shape: []int{2, 1}, F32: []float32{0, 1}}}
	in := losses.Inputs{"source": single, "target": measure(3, 1)}
	g := losstest.Evaluate(t, divergence, in, "source.points", "source.weights", "target.points").Gradients
	for ref, want := range map[losses.Ref][2]any{
		{Input: "source", Field: "points"}:  {true, []int{2, 1}},
		{Input: "source", Field: "weights"}: {true, []int{2}},
		{Input: "target", Field: "points"}:  {false, []int{3, 1}},
	} {
		if got := g[ref]; (got.F32 != nil) != want[0] || !slices.Equal(got.Shape, want[1].([]int)) {
			t.Errorf("%v: got %+v, want single %v and shape %v", ref, got, want[0], want[1])
		}
	}
}

func TestInputsAreNotMutated(t *testing.T) {
	in := losses.Inputs{"source": weighted(0.2, 0.3, 0.5), "target": weighted(0.5, 0.25, 0.25+1e-8), "posterior": posterior()}
	before := map[string][]float64{}
	names := []string{"source.points", "source.weights", "target.points", "target.weights", "posterior.mean", "posterior.log_variance"}
	for _, name := range names {
		before[name] = slices.Clone(losstest.Tensor(in, name).F64)
	}
	losstest.EvaluateObjective(t, losses.Objective{Gradients: names,
		Terms: []losses.Term{term(1, divergence), term(2, dual), term(3, gaussian)}}, in)
	for _, name := range names {
		if !slices.Equal(losstest.Tensor(in, name).F64, before[name]) {
			t.Errorf("%s was changed", name)
		}
	}
}

// Samples come from seed and name alone: the same for every term, other for another seed or name, and they are standard normal.
func TestPriorSamples(t *testing.T) {
	in := losses.Inputs{"source": measure(2000, 2), "prior": &losses.Prior{Family: losses.StandardNormal{}}, "other": &losses.Prior{Family: losses.StandardNormal{}}}
	draw := func(name string, seed uint64) []float64 {
		_, b, err := in.Pair("source", name, losses.Seed{Request: seed})
		if err != nil {
			t.Fatal(err)
		}
		return b.X
	}
	x := draw("prior", 1)
	if !slices.Equal(x, draw("prior", 1)) {
		t.Error("the same seed and name gave other samples")
	}
	if slices.Equal(x, draw("prior", 2)) || slices.Equal(x, draw("other", 1)) {
		t.Error("another seed or name gave the same samples")
	}
	slices.Sort(x)
	// Kolmogorov-Smirnov against a reference draw; with 4000 and 4000 samples D exceeds 0.05 with a probability under 1e-4.
	reference, r := make([]float64, len(x)), rand.New(rand.NewPCG(1, 2))
	for i := range reference {
		reference[i] = r.NormFloat64()
	}
	slices.Sort(reference)
	if d := stat.KolmogorovSmirnov(x, nil, reference, nil); d > 0.05 {
		t.Errorf("Kolmogorov-Smirnov distance %v from N(0,1)", d)
	}
}

// A prior takes the size, dimension and mass of what it is compared with.
func TestPriorFollowsTheMeasure(t *testing.T) {
	heavy := weighted(1, 2, 3)
	for size, want := range map[int]int{0: 3, 5: 5} {
		in := losses.Inputs{"source": heavy, "target": &losses.Prior{Family: losses.StandardNormal{}, Size: size}}
		a, b, err := in.Pair("source", "target", losses.Seed{})
		if err != nil {
			t.Fatal(err)
		}
		if err := losses.Balance(a, b); err != nil {
			t.Fatal(err)
		}
		if b.N != want {
			t.Errorf("size %d: got %d samples, want %d", size, b.N, want)
		}
		if b.D != 2 || math.Abs(b.Mass-6) > 1e-12 {
			t.Errorf("got dimension %d and mass %v, want 2 and 6", b.D, b.Mass)
		}
	}
}

func TestCancelledBeforeItStarts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in := losses.Inputs{"source": measure(8, 2), "target": measure(8, 2), "posterior": posterior()}
	for _, loss := range []losses.Loss{divergence, dual, gaussian} {
		used := losses.Inputs{}
		for _, use := range loss.Uses() {
			used[use.Input] = in[use.Input]
		}
		e, err := losses.Objective{Terms: []losses.Term{term(1, loss)}}.Bind(used, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Evaluate(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want context.Canceled", loss.Kind(), err)
		}
	}
}

// The mathematics knows of no wire format, network, log or clock.
func TestPurity(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	forbidden := regexp.MustCompile(`^(net|net/.*|log|log/.*|google\.golang\.org/.*|kantor/(gen|server|eval|cmd).*)$`)
	for _, path := range strings.Fields(string(out)) {
		if forbidden.MatchString(path) {
			t.Errorf("losses depends on %s", path)
		}
	}
}
