package sliced_test

import (
	"math"
	"slices"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sliced"
)

// along is a loss between x and y.
func along(p float64, directions int) sliced.Transport {
	return sliced.Transport{Source: "x", Target: "y", P: &p, Directions: directions}
}

// random is two weighted clouds.
func random(seed uint64, n, m, d int, mass float64) losses.Inputs {
	r := losstest.Random(seed)
	return losses.Inputs{
		"x": &losses.Measure{Points: losstest.Normal(r, n, d, 0.7, 0), Weights: losstest.Weights(r, n, mass)},
		"y": &losses.Measure{Points: losstest.Normal(r, m, d, 1, 0.5), Weights: losstest.Weights(r, m, mass)},
	}
}

// directions evaluates and returns the directions, too.
func directions(t *testing.T, loss sliced.Transport, in losses.Inputs) (value float64, theta losses.Array) {
	t.Helper()
	result := losstest.EvaluateObjective(t, losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}, Extras: []string{"sliced.directions"}}, in)
	return result.Value, *result.Terms[0].Extras["directions"].(*losses.Array)
}

// moved is the cloud, scaled and translated.
func moved(m *losses.Measure, factor float64, v []float64) *losses.Measure {
	x := m.Points.Float64s()
	for i := range x {
		x[i] = factor*x[i] + v[i%len(v)]
	}
	return &losses.Measure{Points: losses.NewArray(x, m.Points.Shape...), Weights: m.Weights}
}

// Row T8 of docs/mathematics.md along directions: a translation by v moves the projections by θ·v, so the value is the mean of |θ·v|^p, and its derivative in
// x_i the weight times the mean of -p |θ·v|^(p-1) sign(θ·v) θ; and a scale factor comes out of the distance.
func TestT8TranslationAndScale(t *testing.T) {
	in := random(1, 40, 40, 3, 2)
	x, v := in["x"].(*losses.Measure), []float64{0.3, -1.2, 0.5}
	shifted := losses.Inputs{"x": x, "y": moved(x, 1, v)}
	for _, p := range []float64{1, 2} {
		result := losstest.EvaluateObjective(t, losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: along(p, 50)}}, Extras: []string{"sliced.directions"},
			Gradients: []string{"x.points"}}, shifted)
		theta := result.Terms[0].Extras["directions"].(*losses.Array)
		want, slope := 0.0, make([]float64, 3)
		for l := range 50 {
			dot := 0.0
			for k, c := range v {
				dot += theta.F64[3*l+k] * c
			}
			want += 2 * math.Pow(math.Abs(dot), p) / 50
			for k := range slope {
				slope[k] -= p * math.Pow(math.Abs(dot), p-1) * math.Copysign(1, dot) * theta.F64[3*l+k] / 50
			}
		}
		if math.Abs(result.Value-want) > 1e-13 { // some hundred roundings of numbers about 1, in all tests here
			t.Errorf("p = %v: a translation costs %v, want %v", p, result.Value, want)
		}
		for i, g := range result.Gradients[losses.Ref{Input: "x", Field: "points"}].F64 {
			if w := x.Weights.F64[i/3]; math.Abs(g-w*slope[i%3]) > 1e-14 {
				t.Errorf("p = %v: gradient %v at %d, want %v", p, g, i, w*slope[i%3])
			}
		}
		scaled := losses.Inputs{"x": moved(x, 10, v), "y": moved(in["y"].(*losses.Measure), 10, v)}
		one, ten := losstest.Evaluate(t, along(p, 9), in).Value, losstest.Evaluate(t, along(p, 9), scaled).Value
		if want := math.Pow(10, p) * one; math.Abs(ten-want) > 1e-13*want {
			t.Errorf("p = %v: ten times the distances cost %v, want %v", p, ten, want)
		}
	}
}

// The directions are uniform: the mean of θθᵀ is I/D, so that the expected value of a translation by v is |v|²/D. Their mean over 40,000 is that to four
// standard errors: the variance of θ_k² is below 2/D², that of θ_j θ_k below 1/D².
func TestDirectionsAreUniform(t *testing.T) {
	const d, count = 5, 40_000
	in := losses.Inputs{"x": losstest.Cloud(make([]float64, d)), "y": losstest.Cloud([]float64{1, 2, 3, 4, 5})}
	value, theta := directions(t, along(2, count), in)
	if !slices.Equal(theta.Shape, []int{count, d}) {
		t.Fatalf("shape %v", theta.Shape)
	}
	second := make([]float64, d*d)
	for l := range count {
		row, square := theta.F64[l*d:(l+1)*d], 0.0
		for j, u := range row {
			square += u * u
			for k, v := range row {
				second[j*d+k] += u * v / count
			}
		}
		if math.Abs(square-1) > 1e-15 {
			t.Fatalf("direction %d has length %v", l, math.Sqrt(square))
		}
	}
	for at, v := range second {
		want := 0.0
		if at%(d+1) == 0 {
			want = 1. / d
		}
		if math.Abs(v-want) > 4*math.Sqrt(2./count)/d {
			t.Errorf("second moment %v at %d,%d, want about %v", v, at/d, at%d, want)
		}
	}
	if want := 55. / d; math.Abs(value-want) > 4*math.Sqrt(2./count)*want {
		t.Errorf("a translation costs %v, want about %v", value, want)
	}
}

// On a line all directions are the same, and the value is transport itself: W1 is the area between the two distribution functions, W2² that between their
// inverses, squared.
func TestInOneDimensionItIsTransport(t *testing.T) {
	for seed := range uint64(20) {
		in := random(seed, 13, 9, 1, 1)
		x, y := in["x"].(*losses.Measure), in["y"].(*losses.Measure)
		type jump struct{ at, mass float64 }
		var jumps []jump
		for i, at := range x.Points.F64 {
			jumps = append(jumps, jump{at, x.Weights.F64[i]})
		}
		for j, at := range y.Points.F64 {
			jumps = append(jumps, jump{at, -y.Weights.F64[j]})
		}
		slices.SortFunc(jumps, func(a, b jump) int { return int(math.Copysign(1, a.at-b.at)) })
		area, height := 0.0, 0.0
		for i, j := range jumps[1:] {
			height += jumps[i].mass
			area += math.Abs(height) * (j.at - jumps[i].at)
		}
		if got := losstest.Evaluate(t, along(1, 3), in).Value; math.Abs(got-area) > 1e-13 {
			t.Errorf("W1 = %v, want %v", got, area)
		}
	}
	in := losses.Inputs{"x": losstest.Weighted([]float64{3, 0}, []float64{0.75, 0.25}), "y": losstest.Weighted([]float64{4, 1}, []float64{0.5, 0.5})}
	if got := losstest.Evaluate(t, along(2, 1), in).Value; math.Abs(got-(0.25*1+0.25*4+0.5*1)) > 1e-15 {
		t.Errorf("W2² = %v, want ¼(0-1)² + ¼(3-1)² + ½(3-4)²", got)
	}
}

// The directions come from the request's seed and the term's name: fewer are the first of more, and another name has others.
func TestDirectionsComeFromTheSeed(t *testing.T) {
	in := random(5, 6, 6, 4, 1)
	_, few := directions(t, along(2, 3), in)
	_, more := directions(t, along(2, 30), in)
	if !slices.Equal(few.F64, more.F64[:12]) {
		t.Errorf("3 directions are %v, the first of 30 %v", few.F64, more.F64[:12])
	}
	objective := losses.Objective{Terms: []losses.Term{{Name: "other", Weight: 1, Loss: along(2, 3)}}, Extras: []string{"other.directions"}}
	other := losstest.EvaluateObjective(t, objective, in).Terms[0].Extras["directions"].(*losses.Array)
	if slices.Equal(few.F64, other.F64) {
		t.Errorf("another term has the same directions")
	}
}

// A common offset costs no digits, and neither do extreme units.
func TestOffsetsAndUnits(t *testing.T) {
	in := random(6, 30, 20, 3, 1)
	x, y := in["x"].(*losses.Measure), in["y"].(*losses.Measure)
	for _, m := range []*losses.Measure{x, y} {
		for i, v := range m.Points.F64 {
			m.Points.F64[i] = math.Round(v*0x1p30) / 0x1p30 // so that the offset itself costs none
		}
	}
	want := losstest.Evaluate(t, along(2, 20), in).Value
	far := []float64{1e4, -1e4, 1e4}
	got := losstest.Evaluate(t, along(2, 20), losses.Inputs{"x": moved(x, 1, far), "y": moved(y, 1, far)}).Value
	if math.Abs(got-want) > 1e-14 {
		t.Errorf("with an offset %v, want %v", got, want)
	}
	for _, exponent := range []int{-480, 480} {
		unit := math.Ldexp(1, exponent)
		big := losses.Inputs{"x": moved(x, unit, []float64{0}), "y": moved(y, unit, []float64{0})}
		if got := losstest.Evaluate(t, along(2, 20), big).Value; got != math.Ldexp(want, 2*exponent) {
			t.Errorf("in units of 2^%d: %v, want %v", exponent, got, math.Ldexp(want, 2*exponent))
		}
	}
	huge := losses.Inputs{"x": losstest.Cloud([]float64{-1.7e308}), "y": losstest.Cloud([]float64{1.7e308})}
	term := losstest.Evaluate(t, along(2, 2), huge).Terms[0]
	if !math.IsInf(term.Outcomes[0].Value, 1) || len(term.Warnings) != 1 || term.Warnings[0].Code != losses.InfiniteValue {
		t.Errorf("got %v with %v, want +Inf with INFINITE_VALUE", term.Outcomes[0].Value, term.Warnings)
	}
	if got := losstest.Evaluate(t, along(1, 2), losses.Inputs{"x": losstest.Cloud([]float64{-8e307}), "y": losstest.Cloud([]float64{8e307})}).Value; got != 1.6e308 {
		t.Errorf("W1 = %v, want 1.6e308", got)
	}
}

func TestBadParameters(t *testing.T) {
	in := random(7, 4, 4, 2, 1)
	heavy := random(7, 4, 4, 2, 1)
	heavy["y"].(*losses.Measure).Weights.F64[0] += 1e-3
	for field, c := range map[string]struct {
		loss sliced.Transport
		in   losses.Inputs
	}{
		"p":              {along(1.5, 4), in},
		"directions":     {along(2, -1), in},
		"max_iterations": {sliced.Transport{Source: "x", Target: "y", MaxIterations: -1}, in},
		"target":         {along(2, 4), heavy},
	} {
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: c.loss}}}.Bind(c.in, 0)
		if bad, ok := err.(*losses.InputError); !ok || bad.Field != "objective.terms[0].sliced."+field {
			t.Errorf("got %v, want an error at %s", err, field)
		}
	}
	many := along(2, losses.MaxElements/2+1)
	_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: many}}}.Bind(in, 0)
	if bad, ok := err.(*losses.InputError); !ok || bad.Field != "objective.terms[0].sliced.directions" {
		t.Errorf("got %v, want an error at directions", err)
	}
}
