package diagnostics

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/internal/parallel"
)

// diagnosed is the result of the only diagnostic, with all that is behind it.
func diagnosed(t *testing.T, loss losses.Loss, inputs losses.Inputs) losses.TermResult {
	t.Helper()
	o := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}}
	for _, extra := range loss.Extras() {
		o.Extras = append(o.Extras, loss.Kind()+"."+extra)
	}
	return losstest.EvaluateObjective(t, o, inputs).Terms[0]
}

func valueOf(t *testing.T, loss losses.Loss, inputs losses.Inputs) float64 {
	t.Helper()
	return diagnosed(t, loss, inputs).Outcomes[0].Value
}

func numbers(r losses.TermResult, name string) []float64 { return r.Extras[name].(*losses.Array).F64 }

func codes(r losses.TermResult) (out []string) {
	for _, w := range r.Warnings {
		out = append(out, w.Code)
	}
	return out
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func TestActiveUnitsOfKnownVariances(t *testing.T) {
	// Variances 1, 0.0025 and 0 around means that are far off.
	mean := losses.NewArray([]float64{1e6 - 1, 0.05, 7, 1e6 + 1, -0.05, 7}, 2, 3)
	posterior := &losses.Gaussian{Mean: mean, LogVariance: losses.NewArray(make([]float64, 6), 2, 3)}
	for name, input := range map[string]losses.Input{"gaussian": posterior, "measure": &losses.Measure{Points: mean}} {
		for _, c := range []struct {
			threshold *float64
			want      float64
		}{{nil, 1}, {losstest.Ptr(0.002), 2}, {losstest.Ptr(0), 2}, {losstest.Ptr(2), 0}} {
			r := diagnosed(t, ActiveUnits{Posterior: "posterior", Threshold: c.threshold}, losses.Inputs{"posterior": input})
			v := numbers(r, "variance")
			if r.Outcomes[0].Value != c.want || len(v) != 3 || v[0] != 1 || !near(v[1], 0.0025, 1e-15) || v[2] != 0 {
				t.Errorf("%s: %v active of the variances %v, want %v", name, r.Outcomes[0].Value, v, c.want)
			}
		}
	}
}

func TestEntropyOfGaussians(t *testing.T) {
	row := math.Log(2 * math.Pi * math.E)
	diagonal := &losses.Gaussian{Mean: losses.NewArray(make([]float64, 4), 2, 2), LogVariance: losses.NewArray([]float64{1, 2, 3, 4}, 2, 2)}
	covariance := losses.NewArray([]float64{2, 1, 1, 2}, 1, 2, 2)
	full := &losses.Gaussian{Mean: losses.NewArray(make([]float64, 2), 1, 2), Covariance: &covariance}
	for want, g := range map[float64]*losses.Gaussian{row + 2.5: diagonal, row + math.Log(3)/2: full} {
		if got := valueOf(t, Entropy{Source: "source"}, losses.Inputs{"source": g}); !near(got, want, 1e-14) {
			t.Errorf("entropy %v, want %v", got, want)
		}
	}
	singular := losses.NewArray([]float64{1, 1, 1, 1}, 1, 2, 2)
	r := diagnosed(t, Entropy{Source: "source"}, losses.Inputs{"source": &losses.Gaussian{Mean: full.Mean, Covariance: &singular}})
	if !math.IsInf(r.Outcomes[0].Value, -1) || !slices.Contains(codes(r), losses.InfiniteValue) {
		t.Errorf("a singular covariance has the entropy %v and the warnings %v", r.Outcomes[0].Value, codes(r))
	}
}

// T18b: ten times as wide, entropy grows by ln 10 for each dimension, of samples and of Gaussians alike.
func TestT18bEntropyOfSamples(t *testing.T) {
	x := losstest.Normal(losstest.Random(1), 200, 3, 1, 0.5)
	wide := losses.NewArray(slices.Clone(x.F64), 200, 3)
	for i := range wide.F64 {
		wide.F64[i] *= 10
	}
	for _, k := range []int{1, 5, 20} {
		e := Entropy{Source: "source", Neighbours: k}
		grown := valueOf(t, e, losses.Inputs{"source": &losses.Measure{Points: wide}}) - valueOf(t, e, losses.Inputs{"source": &losses.Measure{Points: x}})
		if !near(grown, 3*math.Log(10), 1e-12) {
			t.Errorf("k = %d: grown by %v, want 3 ln 10", k, grown)
		}
	}
	of := func(logVariance float64) losses.Inputs {
		return losses.Inputs{"source": &losses.Gaussian{Mean: losses.NewArray([]float64{3}, 1, 1), LogVariance: losses.NewArray([]float64{logVariance}, 1, 1)}}
	}
	if grown := valueOf(t, Entropy{Source: "source"}, of(2*math.Log(10))) - valueOf(t, Entropy{Source: "source"}, of(0)); !near(grown, math.Log(10), 1e-14) {
		t.Errorf("that of a Gaussian has grown by %v, want ln 10", grown)
	}
}

// meanOf is the mean over seeds and its standard error.
func meanOf(seeds int, draw func(seed uint64) float64) (mean, se float64) {
	square := 0.0
	for seed := range seeds {
		v := draw(uint64(seed))
		mean += v / float64(seeds)
		square += v * v / float64(seeds)
	}
	return mean, math.Sqrt((square - mean*mean) / float64(seeds-1))
}

func TestEntropyOfKnownDensities(t *testing.T) {
	const seeds, n = 30, 500
	for name, c := range map[string]struct {
		want float64
		draw func(seed uint64) losses.Array
	}{
		// At its ends the balls reach beyond U[0,1], which takes them for thinner: k/n of the points, half a ball too much.
		"U[0,1]": {0, func(seed uint64) losses.Array {
			r, x := losstest.Random(seed), make([]float64, n)
			for i := range x {
				x[i] = r.Float64()
			}
			return losses.NewArray(x, n, 1)
		}},
		"N(0,1)": {0.5 * math.Log(2*math.Pi*math.E), func(seed uint64) losses.Array { return losstest.Normal(losstest.Random(seed), n, 1, 1, 0) }},
	} {
		mean, se := meanOf(seeds, func(seed uint64) float64 {
			return valueOf(t, Entropy{Source: "source"}, losses.Inputs{"source": &losses.Measure{Points: c.draw(seed)}})
		})
		if !near(mean, c.want, 5*se+DefaultNeighbours/float64(n)) {
			t.Errorf("%s: %v ± %v, want %v", name, mean, se, c.want)
		}
	}
}

// T28: of N(e₁,I) from N(0,I), which is ½, neighbours see nearly all in dimension 1 and three quarters in dimension 8.
func TestT28NeighboursSeeLessInManyDimensions(t *testing.T) {
	of := func(d int) (mean, se float64) {
		return meanOf(5, func(seed uint64) float64 {
			r := losstest.Random(seed)
			x, y := losstest.Normal(r, 1000, d, 1, 0), losstest.Normal(r, 1000, d, 1, 0)
			for i := 0; i < len(x.F64); i += d {
				x.F64[i]++
			}
			result := diagnosed(t, NearestNeighbourKl{Source: "x", Target: "y"}, losses.Inputs{"x": &losses.Measure{Points: x}, "y": &losses.Measure{Points: y}})
			if rough := slices.Contains(codes(result), losses.HighDimension); rough != (d > 4) {
				t.Errorf("dimension %d: warnings %v", d, codes(result))
			}
			return result.Outcomes[0].Value
		})
	}
	if mean, se := of(1); !near(mean, 0.5, 5*se+0.01) {
		t.Errorf("dimension 1: %v ± %v, want 0.5", mean, se)
	}
	if mean, se := of(8); mean < 0.25 || mean > 0.45 {
		t.Errorf("dimension 8: %v ± %v, want 0.25 to 0.45", mean, se)
	}
}

// brute is the distance of a point to its k-th neighbour among rows, by sorting all.
func brute(point []float64, rows losses.Array, skip, k int) float64 {
	var all []float64
	for j, d := 0, len(point); j < rows.Shape[0]; j++ {
		square := 0.0
		for a, v := range point {
			square += (v - rows.F64[j*d+a]) * (v - rows.F64[j*d+a])
		}
		if j != skip {
			all = append(all, math.Sqrt(square))
		}
	}
	slices.Sort(all)
	return all[k-1]
}

func TestNeighboursAreThoseOfSorting(t *testing.T) {
	for seed := range uint64(60) {
		r := losstest.Random(seed)
		n, m, d, k := 6+r.IntN(40), 6+r.IntN(40), 1+r.IntN(6), 1+r.IntN(5)
		x, y := losstest.Normal(r, n, d, 1, 0.3), losstest.Normal(r, m, d, 1, 0)
		kl, own := math.Log(float64(m)/float64(n-1)), 0.0
		for i := range n {
			point := x.F64[i*d : (i+1)*d]
			rho := math.Log(brute(point, x, i, k))
			own += float64(d) / float64(n) * rho
			kl += float64(d) / float64(n) * (math.Log(brute(point, y, -1, k)) - rho)
		}
		inputs := losses.Inputs{"x": &losses.Measure{Points: x}, "y": &losses.Measure{Points: y}}
		if got := valueOf(t, NearestNeighbourKl{Source: "x", Target: "y", Neighbours: k}, inputs); !near(got, kl, 1e-12) {
			t.Errorf("seed %d: KL %v, want %v", seed, got, kl)
		}
		// ψ(n) - ψ(k) is the sum of 1/i from k to n-1.
		ball, _ := math.Lgamma(float64(d)/2 + 1)
		want := own + float64(d)/2*math.Log(math.Pi) - ball
		for i := k; i < n; i++ {
			want += 1 / float64(i)
		}
		if got := valueOf(t, Entropy{Source: "x", Neighbours: k}, losses.Inputs{"x": inputs["x"]}); !near(got, want, 1e-11) {
			t.Errorf("seed %d: entropy %v, want %v", seed, got, want)
		}
	}
}

// Points that coincide have no density.
func TestCoincidingPointsAreInfinite(t *testing.T) {
	same, other := losstest.Cloud([]float64{1}, []float64{1}, []float64{1}), losstest.Cloud([]float64{2}, []float64{3})
	kl := diagnosed(t, NearestNeighbourKl{Source: "x", Target: "y", Neighbours: 2}, losses.Inputs{"x": same, "y": other})
	both := diagnosed(t, NearestNeighbourKl{Source: "x", Target: "y", Neighbours: 2}, losses.Inputs{"x": same, "y": same})
	h := diagnosed(t, Entropy{Source: "x", Neighbours: 2}, losses.Inputs{"x": same})
	for want, r := range map[int]losses.TermResult{1: kl, 2: both, -1: h} {
		if !math.IsInf(r.Outcomes[0].Value, want) || !slices.Contains(codes(r), losses.InfiniteValue) {
			t.Errorf("value %v, warnings %v", r.Outcomes[0].Value, codes(r))
		}
	}
}

func TestEffectiveScaleIsTheFactor(t *testing.T) {
	y := losstest.Normal(losstest.Random(2), 50, 3, 1, 4)
	x := losses.NewArray(slices.Clone(y.F64), 50, 3)
	for i := range x.F64 {
		x.F64[i] = 0.3*x.F64[i] - 7
	}
	weights := losstest.Weights(losstest.Random(3), 50, 2)
	r := diagnosed(t, EffectiveScale{Source: "x", Target: "y"}, losses.Inputs{"x": &losses.Measure{Points: x, Weights: weights}, "y": &losses.Measure{Points: y, Weights: weights}})
	for _, v := range append(numbers(r, "per_dimension"), r.Outcomes[0].Value) {
		if !near(v, 0.3, 1e-13) {
			t.Errorf("scale %v, %v along the axes, want 0.3", r.Outcomes[0].Value, numbers(r, "per_dimension"))
		}
	}
	// ±2 has the standard deviation 2 exactly, and N(0,1) is not sampled.
	pair := losstest.Cloud([]float64{2, 0}, []float64{-2, 0})
	r = diagnosed(t, EffectiveScale{Source: "x", Target: "y"}, losses.Inputs{"x": pair, "y": &losses.Prior{Family: losses.StandardNormal{}}})
	if got := numbers(r, "per_dimension"); r.Outcomes[0].Value != math.Sqrt(2) || !slices.Equal(got, []float64{2, 0}) {
		t.Errorf("scale %v, along the axes %v", r.Outcomes[0].Value, got)
	}
	point := losstest.Cloud([]float64{1, 1})
	r = diagnosed(t, EffectiveScale{Source: "x", Target: "y"}, losses.Inputs{"x": point, "y": point})
	if !math.IsInf(r.Outcomes[0].Value, 1) || !slices.Equal(codes(r), []string{losses.InfiniteValue}) {
		t.Errorf("of points: %v with the warnings %v", r.Outcomes[0].Value, codes(r))
	}
}

func TestRefusals(t *testing.T) {
	r := losstest.Random(1)
	good := &losses.Measure{Points: losstest.Normal(r, 9, 2, 1, 0)}
	weighted := &losses.Measure{Points: good.Points, Weights: losstest.Weights(r, 9, 1)}
	few, flat := losstest.Cloud([]float64{1, 2}), &losses.Measure{Points: losstest.Normal(r, 9, 1, 1, 0)}
	normal, gaussian := &losses.Prior{Family: losses.StandardNormal{}}, &losses.Gaussian{Mean: good.Points, LogVariance: good.Points}
	kl := NearestNeighbourKl{Source: "x", Target: "y"}
	for name, c := range map[string]struct {
		loss  losses.Loss
		x, y  losses.Input
		field string
	}{
		"weights":               {kl, weighted, good, "nearest_neighbour_kl.source"},
		"weights of the target": {kl, good, weighted, "nearest_neighbour_kl.target"},
		"few points":            {kl, few, good, "nearest_neighbour_kl.source"},
		"few of the target":     {kl, good, few, "nearest_neighbour_kl.target"},
		"two dimensions":        {kl, good, flat, "nearest_neighbour_kl.target"},
		"a prior as source":     {kl, normal, good, "nearest_neighbour_kl.source"},
		"negative":              {NearestNeighbourKl{Source: "x", Target: "y", Neighbours: -1}, good, good, "nearest_neighbour_kl.neighbours"},
		"too far a neighbour":   {NearestNeighbourKl{Source: "x", Target: "y", Neighbours: 129}, good, good, "nearest_neighbour_kl.neighbours"},
		"neighbours of known":   {Entropy{Source: "x", Neighbours: 3}, gaussian, nil, "entropy.neighbours"},
		"entropy of a prior":    {Entropy{Source: "x"}, normal, nil, "entropy.source"},
		"entropy with weights":  {Entropy{Source: "x"}, weighted, nil, "entropy.source"},
		"one row":               {ActiveUnits{Posterior: "x"}, few, nil, "active_units.posterior"},
		"a prior's units":       {ActiveUnits{Posterior: "x"}, normal, nil, "active_units.posterior"},
		"units with weights":    {ActiveUnits{Posterior: "x"}, weighted, nil, "active_units.posterior"},
		"threshold":             {ActiveUnits{Posterior: "x", Threshold: losstest.Ptr(-1)}, good, nil, "active_units.threshold"},
		"no number":             {ActiveUnits{Posterior: "x", Threshold: losstest.Ptr(math.NaN())}, good, nil, "active_units.threshold"},
		"scale of a prior":      {EffectiveScale{Source: "x", Target: "y"}, normal, good, "effective_scale.source"},
		"scale of dimensions":   {EffectiveScale{Source: "x", Target: "y"}, good, flat, "effective_scale.target"},
	} {
		inputs := losses.Inputs{"x": c.x}
		if c.y != nil {
			inputs["y"] = c.y
		}
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: c.loss}}}.Bind(inputs, 0)
		var bad *losses.InputError
		if !errors.As(err, &bad) || bad.Field != "objective.terms[0]."+c.field {
			t.Errorf("%s: got %v, want an error of %s", name, err, c.field)
		}
	}
}

func TestCancelledDiagnosticsStop(t *testing.T) {
	x := &losses.Measure{Points: losstest.Normal(losstest.Random(1), 2000, 2, 1, 0)}
	for _, loss := range []losses.Loss{NearestNeighbourKl{Source: "x", Target: "x"}, Entropy{Source: "x"}, ActiveUnits{Posterior: "x"}, EffectiveScale{Source: "x", Target: "x"}} {
		e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}}.Bind(losses.Inputs{"x": x}, 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		before := parallel.Tiles()
		if _, err := e.Evaluate(ctx); !errors.Is(err, context.Canceled) || parallel.Tiles() != before {
			t.Errorf("%s: %v and %d tiles, want the context's error and none", loss.Kind(), err, parallel.Tiles()-before)
		}
	}
}
