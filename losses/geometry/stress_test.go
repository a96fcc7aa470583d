package geometry

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kantor/losses"
	"kantor/losses/internal/losstest"
)

func line(values ...float64) *losses.Measure {
	return &losses.Measure{Points: losses.NewArray(values, len(values), 1)}
}

func cloud(seed uint64, n, d int) *losses.Measure {
	return &losses.Measure{Points: losstest.Normal(losstest.Random(seed), n, d, 1, 0)}
}

func stress(form Form) Stress { return Stress{Codes: "codes", Data: "data", Form: form} }

func extra(t *testing.T, loss Stress, inputs losses.Inputs, name string) float64 {
	t.Helper()
	o := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}, Extras: []string{"stress." + name}}
	return losstest.EvaluateObjective(t, o, inputs).Terms[0].Extras[name].(*losses.Array).F64[0]
}

func TestStressOfThreePoints(t *testing.T) {
	one := 1.0
	for name, c := range map[string]struct {
		loss  Stress
		codes *losses.Measure
		want  float64
	}{
		// δ of 0, 1, 3 are 1, 3, 2 and d of 0, 1, 2 are 1, 2, 1: Σdδ = 9, Σδ² = 14, Σd² = 6.
		"metric":         {stress(Metric), line(0, 1, 2), 1 - 81./84},
		"scale 1":        {Stress{Codes: "codes", Data: "data", Scale: &one}, line(0, 1, 2), 2. / 14},
		"rank, in order": {stress(Rank), line(0, 1, 2), 0},
		// d of 0, 3, 1 are 3, 1, 2: against the order of δ, so that all are pooled to 2.
		"rank, reversed": {stress(Rank), line(0, 3, 1), 2. / 14},
	} {
		got := losstest.Outcome(t, c.loss, losses.Inputs{"codes": c.codes, "data": line(0, 1, 3)}).Value
		if math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if got := extra(t, stress(Metric), losses.Inputs{"codes": line(0, 1, 2), "data": line(0, 1, 3)}, "scale"); math.Abs(got-9./14) > 1e-15 {
		t.Errorf("scale %v, want 9/14", got)
	}
}

// Codes that are the data turned, moved and in another unit keep the geometry: both forms are 0, in any units.
func TestSimilarCodesHaveNoStress(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 15).Draw(rt, "n")
		data := cloud(rapid.Uint64().Draw(rt, "seed"), n, 2)
		angle, unit := rapid.Float64Range(0, 6).Draw(rt, "angle"), math.Ldexp(1, rapid.IntRange(-900, 900).Draw(rt, "unit"))
		codes := make([]float64, 2*n)
		for i := range n {
			x, y := data.Points.F64[2*i], data.Points.F64[2*i+1]
			codes[2*i] = unit * (math.Cos(angle)*x - math.Sin(angle)*y + 5)
			codes[2*i+1] = unit * (math.Sin(angle)*x + math.Cos(angle)*y - 3)
		}
		inputs := losses.Inputs{"codes": &losses.Measure{Points: losses.NewArray(codes, n, 2)}, "data": data}
		for _, form := range []Form{Metric, Rank} {
			// Coordinates of up to 10 were rounded to 1e-15 of themselves; of small distances that is more, squared.
			if got := losstest.Outcome(t, stress(form), inputs).Value; !(got >= 0 && got < 1e-26) {
				rt.Errorf("form %v: %v, want 0", form, got)
			}
		}
		if got := extra(t, stress(Metric), inputs, "scale"); math.Abs(got/unit-1) > 1e-12 {
			rt.Errorf("scale %v, want %v", got, unit)
		}
	})
}

// The fit is the one of the minimax formula (Robertson, Wright, Dykstra 1988, theorem 1.4.4), and no other increasing one is closer: with ties of δ too.
func TestRankIsTheBestIncreasingFit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := losstest.Random(rapid.Uint64().Draw(rt, "seed"))
		n := rapid.IntRange(2, 8).Draw(rt, "n")
		codes, data := make([]float64, n), make([]float64, n)
		for i := range n {
			codes[i], data[i] = r.NormFloat64(), float64(r.IntN(4))
		}
		type distances struct{ d, e float64 }
		var all []distances
		norm := 0.0
		for i := range n {
			for j := range i {
				all = append(all, distances{math.Abs(codes[i] - codes[j]), math.Abs(data[i] - data[j])})
				norm += all[len(all)-1].d * all[len(all)-1].d
			}
		}
		slices.SortFunc(all, func(a, b distances) int {
			if a.e != b.e {
				return int(math.Copysign(1, a.e-b.e))
			}
			return int(math.Copysign(1, a.d-b.d))
		})
		want := 0.0
		for k := range all {
			fitted := math.Inf(-1)
			for from := 0; from <= k; from++ {
				least, sum := math.Inf(1), 0.0
				for to := from; to < len(all); to++ {
					if sum += all[to].d; to >= k {
						least = min(least, sum/float64(to-from+1))
					}
				}
				fitted = max(fitted, least)
			}
			want += (all[k].d - fitted) * (all[k].d - fitted) / norm
		}
		got := losstest.Outcome(t, stress(Rank), losses.Inputs{"codes": line(codes...), "data": line(data...)}).Value
		if math.Abs(got-want) > 1e-14 {
			rt.Errorf("%v, want %v", got, want)
		}
	})
}

func TestGradientsByFiniteDifferences(t *testing.T) {
	scale := 0.8
	for name, loss := range map[string]Stress{
		"metric":    stress(Metric),
		"rank":      stress(Rank),
		"scale":     {Codes: "codes", Data: "data", Scale: &scale},
		"manhattan": {Codes: "codes", Data: "data", CodeDistance: Manhattan, DataDistance: Manhattan},
	} {
		for _, codes := range []losses.Input{
			cloud(1, 7, 3),
			&losses.Gaussian{Mean: losstest.Normal(losstest.Random(2), 7, 2, 1, 0), LogVariance: losstest.Normal(losstest.Random(3), 7, 2, 1, 0)},
		} {
			tensors := []string{"codes.points", "data.points"}
			if _, ok := codes.(*losses.Gaussian); ok {
				if loss.CodeDistance == Manhattan {
					continue
				}
				tensors = []string{"codes.mean", "codes.log_variance", "data.points"}
			}
			inputs := losses.Inputs{"codes": codes, "data": cloud(4, 7, 5)}
			for _, tensor := range tensors {
				direction := losstest.Unit(losstest.Random(5), losstest.Tensor(inputs, tensor).Len())
				analytic, numeric := losstest.Directional(t, loss, inputs, tensor, direction, 1e-4)
				if math.Abs(analytic-numeric) > 1e-9 {
					t.Errorf("%s, %s: gradient %v, finite differences %v", name, tensor, analytic, numeric)
				}
			}
		}
	}
}

// The distance of Gaussians with independent axes is W2, that of means and standard deviations together (Givens, Shortt 1984).
func TestGaussiansHaveTheDistanceW2(t *testing.T) {
	n, d := 6, 2
	mean, logVariance := losstest.Normal(losstest.Random(1), n, d, 1, 0), losstest.Normal(losstest.Random(2), n, d, 1, 0)
	together := make([]float64, 0, 2*n*d)
	for i := range n {
		together = append(together, mean.F64[i*d:(i+1)*d]...)
		for _, v := range logVariance.F64[i*d : (i+1)*d] {
			together = append(together, math.Exp(v/2))
		}
	}
	data := cloud(3, n, 4)
	of := func(codes losses.Input) float64 {
		return losstest.Outcome(t, stress(Metric), losses.Inputs{"codes": codes, "data": data}).Value
	}
	got, want := of(&losses.Gaussian{Mean: mean, LogVariance: logVariance}), of(&losses.Measure{Points: losses.NewArray(together, n, 2*d)})
	if math.Abs(got-want) > 1e-14 {
		t.Errorf("%v, want %v", got, want)
	}
}

// T24: histograms of 5 neighbouring bins of 64 keep the distance of their places in W1, which is the Manhattan distance of their cumulative distributions. With the
// bins permuted, which KL to the uniform distribution does not see, they do not.
func TestT24StressSeesThePermutedBins(t *testing.T) {
	const bins, width = 64, 5
	n := bins - width + 1
	bumps := func(order []int) losses.Inputs {
		codes, places := make([]float64, n*bins), make([]float64, n)
		for i := range n {
			places[i] = float64(i)
			for k := range width {
				codes[i*bins+order[i+k]] = 1. / width
			}
			for k := 1; k < bins; k++ {
				codes[i*bins+k] += codes[i*bins+k-1]
			}
		}
		return losses.Inputs{"codes": &losses.Measure{Points: losses.NewArray(codes, n, bins)}, "data": line(places...)}
	}
	loss := Stress{Codes: "codes", Data: "data", CodeDistance: Manhattan}
	straight := make([]int, bins)
	for k := range straight {
		straight[k] = k
	}
	if value, rho := losstest.Outcome(t, loss, bumps(straight)).Value, extra(t, loss, bumps(straight), "correlation"); value > 1e-25 || math.Abs(rho-1) > 1e-12 {
		t.Errorf("in order: stress %v and correlation %v, want 0 and 1", value, rho)
	}
	for seed := range uint64(5) {
		permuted := bumps(losstest.Random(seed).Perm(bins))
		if value, rho := losstest.Outcome(t, loss, permuted).Value, extra(t, loss, permuted, "correlation"); value < 0.1 || rho > 0.3 {
			t.Errorf("permuted: stress %v and correlation %v, want more than .1 and less than .3", value, rho)
		}
	}
}

func TestWhereThereIsNothingToCompare(t *testing.T) {
	scale := 2.0
	fixed := Stress{Codes: "codes", Data: "data", Scale: &scale}
	point, apart := line(3, 3, 3), line(0, 1, 3)
	for name, c := range map[string]struct {
		loss        Stress
		codes, data *losses.Measure
		want        float64
	}{
		"codes are one point":             {stress(Metric), point, apart, 1},
		"codes are one point, by rank":    {stress(Rank), point, apart, 1},
		"data are one point":              {stress(Metric), apart, point, 1},
		"data are one point, by rank":     {stress(Rank), apart, point, 0}, // ties are free
		"codes are one point, to scale":   {fixed, point, apart, 1},
		"data are one point, to scale":    {fixed, apart, point, math.Inf(1)},
		"both are one point, to scale":    {fixed, point, point, 0},
		"codes too far apart for a scale": {fixed, line(0, 1e300, 0), line(0, 1e-300, 0), math.Inf(1)},
	} {
		inputs := losses.Inputs{"codes": c.codes, "data": c.data}
		result := losstest.Evaluate(t, c.loss, inputs, "codes.points", "data.points")
		if result.Value != c.want && math.Abs(result.Value-c.want) > 1e-15 {
			t.Errorf("%s: %v, want %v", name, result.Value, c.want)
		}
		if warned := len(result.Terms[0].Warnings) == 1 && result.Terms[0].Warnings[0].Code == losses.InfiniteValue; warned != math.IsInf(c.want, 1) {
			t.Errorf("%s: warnings %v", name, result.Terms[0].Warnings)
		}
		for ref, gradient := range result.Gradients {
			for _, v := range gradient.F64 {
				if math.IsNaN(v) || math.IsInf(v, 0) || math.IsInf(c.want, 1) && v != 0 {
					t.Errorf("%s: %v is %v", name, ref, gradient.F64)
				}
			}
		}
	}
}

func TestEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, form := range []Form{Metric, Rank} {
		e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: stress(form)}}}.Bind(losses.Inputs{"codes": cloud(1, 2000, 8), "data": cloud(2, 2000, 8)}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Evaluate(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("form %v: error %v, want that of the context", form, err)
		}
	}
}
