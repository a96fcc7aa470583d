package sinkhorn_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/internal/split"
	"kantor/losses/sinkhorn"
)

// fourBatches is a random problem of n points each, with second batches.
func fourBatches(seed uint64, n, d int) losses.Inputs {
	r := losstest.Random(seed)
	cloud := func(scale, shift float64) *losses.Measure {
		return &losses.Measure{Points: losstest.Normal(r, n, d, scale, shift)}
	}
	return losses.Inputs{"x": cloud(0.7, 0.2), "x2": cloud(0.7, 0.2), "y": cloud(1, 0), "y2": cloud(1, 0)}
}

// splitting sets split debiasing.
func splitting(d *sinkhorn.Divergence) { d.Debias = sinkhorn.Split }

// joining sets split debiasing with second batches.
func joining(d *sinkhorn.Divergence) {
	d.Debias, d.SecondSource, d.SecondTarget = sinkhorn.Split, "x2", "y2"
}

// only returns the inputs of those names.
func only(in losses.Inputs, names ...string) losses.Inputs {
	out := losses.Inputs{}
	for _, name := range names {
		out[name] = in[name]
	}
	return out
}

// halvesOf are the halves that a term named sinkhorn cuts with a request's seed of 0, as measures.
func halvesOf(t *testing.T, in losses.Inputs) (halves split.Halves, measures [4]*losses.Measure) {
	t.Helper()
	seed := losses.Seed{Term: "sinkhorn"}
	a, b, err := in.Pair("x", "y", seed)
	if err != nil {
		t.Fatal(err)
	}
	if halves, err = split.Of(in, a, b, "", "", seed); err != nil {
		t.Fatal(err)
	}
	for i, h := range halves {
		weights := losses.NewArray(h.W, h.N)
		measures[i] = &losses.Measure{Points: losses.NewArray(h.X, h.N, h.D), Weights: &weights}
	}
	return halves, measures
}

// formula is U and its interval from six problems that are solved by themselves.
func formula(t *testing.T, d sinkhorn.Divergence, x1, x2, y1, y2 losses.Input) losses.Outcome {
	t.Helper()
	d.Debias, d.SecondSource, d.SecondTarget = sinkhorn.None, "", ""
	u := losses.Outcome{Interval: &losses.Interval{}}
	for _, p := range []struct {
		share float64
		a, b  losses.Input
	}{{0.25, x1, y1}, {0.25, x1, y2}, {0.25, x2, y1}, {0.25, x2, y2}, {-0.5, x1, x2}, {-0.5, y1, y2}} {
		o := losstest.Outcome(t, d, losses.Inputs{"x": p.a, "y": p.b})
		u.Value += p.share * o.Value
		ends := [2]float64{p.share * o.Interval.Lower, p.share * o.Interval.Upper}
		u.Interval.Lower += min(ends[0], ends[1])
		u.Interval.Upper += max(ends[0], ends[1])
	}
	return u
}

// U = ¼ Σ OT(X_k,Y_l) - ½ OT(X₁,X₂) - ½ OT(Y₁,Y₂), and its interval by the same sum of ends, from six problems solved by themselves.
func TestSplitIsTheSumOfSixProblems(t *testing.T) {
	in := fourBatches(1, 14, 3)
	for name, change := range map[string]func(*sinkhorn.Divergence){
		"half squared": precise(0.4),
		"squared":      func(d *sinkhorn.Divergence) { precise(0.4)(d); d.Cost = losses.SquaredEuclidean },
		"euclidean":    func(d *sinkhorn.Divergence) { precise(0.4)(d); d.Cost = losses.Euclidean },
		"unbalanced":   func(d *sinkhorn.Divergence) { precise(0.4)(d); d.Rho = losstest.Ptr(2) },
		"coarse":       func(d *sinkhorn.Divergence) { d.Epsilon, d.Tolerance = losstest.Ptr(0.4), losstest.Ptr(1e-2) },
	} {
		check := func(kind string, got, want losses.Outcome) {
			t.Helper()
			same(t, name+", "+kind, got.Value, want.Value)
			same(t, name+", lower end of "+kind, got.Interval.Lower, want.Interval.Lower)
			same(t, name+", upper end of "+kind, got.Interval.Upper, want.Interval.Upper)
			if !got.Solve.Converged {
				t.Errorf("%s, %s: %+v", name, kind, *got.Solve)
			}
		}
		d := divergence(change)
		joining(&d)
		check("second batches", losstest.Outcome(t, d, in), formula(t, d, in["x"], in["x2"], in["y"], in["y2"]))
		d = divergence(change)
		splitting(&d)
		_, h := halvesOf(t, in)
		check("halves", losstest.Outcome(t, d, only(in, "x", "y")), formula(t, d, h[0], h[1], h[2], h[3]))
	}
}

// Exact arithmetic on U: the masses, the order of source and target with second batches, and x → λx at λ²ε.
func TestSplitSymmetries(t *testing.T) {
	in := fourBatches(2, 12, 2)
	d := divergence(precise(0.3))
	joining(&d)
	want := losstest.Outcome(t, d, in).Value
	same(t, "source and target exchanged", losstest.Outcome(t, d, losses.Inputs{"x": in["y"], "x2": in["y2"], "y": in["x"], "y2": in["x2"]}).Value, want)
	same(t, "batches exchanged", losstest.Outcome(t, d, losses.Inputs{"x": in["x2"], "x2": in["x"], "y": in["y"], "y2": in["y2"]}).Value, want)
	twice := divergence(precise(4 * 0.3))
	joining(&twice)
	scaled := moved(in, func(p []float64) []float64 { return []float64{2 * p[0], 2 * p[1]} })
	same(t, "scaling", losstest.Outcome(t, twice, scaled).Value, 4*want)
	// Of a mass m the values are m times those of mass 1, but for what all six have in common.
	heavy := losses.Inputs{}
	for name, input := range in {
		weights := losses.NewArray(slices.Repeat([]float64{3. / 12}, 12), 12)
		heavy[name] = &losses.Measure{Points: input.(*losses.Measure).Points, Weights: &weights}
	}
	same(t, "mass 3", losstest.Outcome(t, d, heavy).Value, 3*want)
}

// T14 for split batches: every gradient by differences, in all rows of source, target and second batches.
func TestT14SplitGradientsByFiniteDifferences(t *testing.T) {
	r := losstest.Random(13)
	for _, cost := range []losses.Cost{losses.HalfSquaredEuclidean, losses.SquaredEuclidean, losses.Euclidean} {
		for _, rho := range []*float64{nil, losstest.Ptr(1.3)} {
			d := divergence(precise(0.7))
			d.Cost, d.Rho, d.Tolerance = cost, rho, losstest.Ptr(1e-13)
			check := func(in losses.Inputs, names ...string) {
				t.Helper()
				for _, name := range names {
					analytic, numeric := losstest.Directional(t, d, in, name, losstest.Unit(r, losstest.Tensor(in, name).Len()), step)
					if math.Abs(analytic-numeric) > differenceSlop*(1+math.Abs(numeric)) {
						t.Errorf("%v, ρ %v, %s: got %v, by differences %v", cost, rho, name, analytic, numeric)
					}
				}
			}
			in := fourBatches(3, 10, 2)
			splitting(&d)
			check(only(in, "x", "y"), "x.points", "y.points")
			joining(&d)
			check(in, "x.points", "y.points", "x2.points", "y2.points")
		}
	}
}

// The gradient in weights is that of the formula at weights that are all the same, the mass of each half held fixed: by differences of the six problems, which
// take other weights too.
func TestT14SplitWeightGradients(t *testing.T) {
	in := fourBatches(4, 12, 2)
	r := losstest.Random(14)
	for _, rho := range []*float64{nil, losstest.Ptr(1.3)} {
		d := divergence(precise(0.7))
		d.Rho, d.Tolerance = rho, losstest.Ptr(1e-13)
		halves, h := halvesOf(t, in)
		for _, tt := range []struct {
			input  string
			change func(*sinkhorn.Divergence)
			rows   split.Half
			in     losses.Inputs
			four   [4]*losses.Measure
			at     int
			factor float64
		}{
			{"x", splitting, halves[0], only(in, "x", "y"), h, 0, 2},
			{"x", splitting, halves[1], only(in, "x", "y"), h, 1, 2},
			{"y", splitting, halves[3], only(in, "x", "y"), h, 3, 2},
			{"x2", joining, split.Half{}, in, [4]*losses.Measure{in["x"].(*losses.Measure), in["x2"].(*losses.Measure), in["y"].(*losses.Measure), in["y2"].(*losses.Measure)}, 1, 1},
		} {
			loss := d
			tt.change(&loss)
			g := losstest.Evaluate(t, loss, tt.in, tt.input+".weights").Gradients[losses.Ref{Input: tt.input, Field: "weights"}].F64
			four, n := tt.four, tt.four[tt.at].Points.Shape[0]
			direction := losstest.UnitBalanced(r, slices.Repeat([]float64{1}, n))
			along := func(h float64) float64 {
				weights := losses.NewArray(make([]float64, n), n)
				for i := range n {
					weights.F64[i] = 1/float64(n) + h*direction[i]
				}
				four[tt.at] = &losses.Measure{Points: tt.four[tt.at].Points, Weights: &weights}
				return formula(t, d, four[0], four[1], four[2], four[3]).Value
			}
			const h = 1e-4
			numeric := tt.factor * (8*(along(h)-along(-h)) - (along(2*h) - along(-2*h))) / (12 * h)
			whole := make([]float64, len(g)) // the direction in the rows of the input
			if tt.rows.Cloud == nil {
				copy(whole, direction)
			} else {
				tt.rows.AddRows(whole, 1, direction, 1)
			}
			analytic := 0.0
			for i, v := range whole {
				analytic += v * g[i]
			}
			if math.Abs(analytic-numeric) > differenceSlop*step/h*(1+math.Abs(numeric)) {
				t.Errorf("%s, half %d, ρ %v: got %v, by differences %v", tt.input, tt.at, rho, analytic, numeric)
			}
		}
	}
}

// T14: for C = ½d² the gradients sum to the difference of the means, also over split batches, where those of a second batch count half as much.
func TestT14SplitGradientsSumToTheDifferenceOfMeans(t *testing.T) {
	in := fourBatches(5, 20, 3)
	mean := func(name string, k int) (total float64) {
		for i := range 20 {
			total += in[name].(*losses.Measure).Points.F64[i*3+k] / 20
		}
		return total
	}
	sum := func(r *losses.Result, name string, k int) (total float64) {
		for i := range 20 {
			total += r.Gradients[losses.Ref{Input: name, Field: "points"}].F64[i*3+k]
		}
		return total
	}
	d := divergence(precise(0.5))
	splitting(&d)
	halved := losstest.Evaluate(t, d, only(in, "x", "y"), "x.points", "y.points")
	joining(&d)
	joined := losstest.Evaluate(t, d, in, "x.points", "x2.points", "y.points", "y2.points")
	for k := range 3 {
		// The marginals are off by at most 1e-10 of the mass, at points below 5.
		if got, want := sum(halved, "x", k), mean("x", k)-mean("y", k); math.Abs(got-want) > 1e-9 {
			t.Errorf("axis %d: got %v, want %v", k, got, want)
		}
		y := (mean("y", k) + mean("y2", k)) / 2
		if got, want := sum(joined, "x", k)+sum(joined, "x2", k), (mean("x", k)+mean("x2", k))/2-y; math.Abs(got-want) > 1e-9 {
			t.Errorf("axis %d of both batches: got %v, want %v", k, got, want)
		}
	}
}

// T8 for split batches: translating the source by v adds ½|v|² + <v, mean(x) - mean(y)>, whatever ε.
func TestT8SplitTranslation(t *testing.T) {
	in := only(fourBatches(6, 16, 2), "x", "y")
	v := []float64{0.7, -1.1}
	want := (v[0]*v[0] + v[1]*v[1]) / 2
	for i := range 16 {
		for k := range 2 {
			want += v[k] * (in["x"].(*losses.Measure).Points.F64[2*i+k] - in["y"].(*losses.Measure).Points.F64[2*i+k]) / 16
		}
	}
	away := losses.Inputs{"x": moved(in, func(p []float64) []float64 { return []float64{p[0] + v[0], p[1] + v[1]} })["x"], "y": in["y"]}
	for _, epsilon := range []float64{0.1, 1, 30} {
		d := divergence(precise(epsilon))
		splitting(&d)
		same(t, fmt.Sprintf("ε=%v", epsilon), losstest.Outcome(t, d, away).Value-losstest.Outcome(t, d, in).Value, want)
	}
}

// A batch that is in order, of one class after the other, is split as well as any: its halves by index would be of one class each, and U of two such batches of
// the same distribution about -½|distance of the classes|²/2 = -25.
func TestSplitOfASortedBatch(t *testing.T) {
	r := losstest.Random(7)
	sorted := func() *losses.Measure {
		x := losstest.Normal(r, 64, 2, 1, 0)
		for i := 32; i < 64; i++ {
			x.F64[2*i] += 10
		}
		return &losses.Measure{Points: x}
	}
	d := divergence(nil)
	splitting(&d)
	// Halves of 32 hold 16 of a class give or take 2; a point too many has to go 10 far at a cost of 50, and there are few of them: 50·2/32, twice.
	if o := losstest.Outcome(t, d, losses.Inputs{"x": sorted(), "y": sorted()}); math.Abs(o.Value) > 7 {
		t.Errorf("got %v, want about 0", o.Value)
	}
}

// U may be negative, and then it is reported so, with an interval around it.
func TestSplitIsNotClipped(t *testing.T) {
	r := losstest.Random(8)
	negative := 0
	for range 40 {
		in := losses.Inputs{"x": &losses.Measure{Points: losstest.Normal(r, 16, 4, 1, 0)}, "y": &losses.Measure{Points: losstest.Normal(r, 16, 4, 1, 0)}}
		d := divergence(nil)
		splitting(&d)
		o := losstest.Outcome(t, d, in)
		contains(t, "U", o, o.Value)
		if o.Interval.Upper < 0 {
			negative++
		}
	}
	// Of the same distribution its expectation is 0, so about half are below.
	if negative < 8 || negative > 32 {
		t.Errorf("%d of 40 are negative, want about half", negative)
	}
}

func TestSplitGap(t *testing.T) {
	in := only(fourBatches(9, 40, 3), "x", "y")
	exact := divergence(precise(0.3))
	splitting(&exact)
	want := losstest.Outcome(t, exact, in)
	for _, gap := range []float64{0.1, 1e-3} {
		d := divergence(func(d *sinkhorn.Divergence) { d.Epsilon, d.Gap, d.Debias = losstest.Ptr(0.3), &gap, sinkhorn.Split })
		o := losstest.Outcome(t, d, in)
		if width := o.Interval.Upper - o.Interval.Lower; !o.Solve.Converged || width > gap*math.Abs(o.Value)*(1+1e-9) {
			t.Errorf("gap %v: %v is %v wide, %+v", gap, *o.Interval, width, *o.Solve)
		}
		if want.Interval.Upper < o.Interval.Lower || want.Interval.Lower > o.Interval.Upper {
			t.Errorf("gap %v: %v and %v have nothing in common", gap, *o.Interval, *want.Interval)
		}
	}
}

// Potentials of halves give the value as those of self terms do: <a, f - f_self> + <b, g - g_self>.
func TestSplitPotentials(t *testing.T) {
	in := only(fourBatches(10, 12, 2), "x", "y")
	for _, change := range []func(*sinkhorn.Divergence){splitting, func(d *sinkhorn.Divergence) { d.Debias = sinkhorn.Self }} {
		d := divergence(precise(0.4))
		change(&d)
		r := losstest.EvaluateObjective(t, losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: d}}, Extras: []string{"sinkhorn.potentials"}}, in)
		p := r.Terms[0].Extras["potentials"].(*losses.Potentials)
		value, means := 0.0, [2]float64{}
		for i := range 12 {
			value += (p.Source[i] - p.SourceSelf[i] + p.Target[i] - p.TargetSelf[i]) / 12
			means[0] += p.Source[i] / 12
			means[1] += p.Target[i] / 12
		}
		// The plans' masses, which the dual value counts too, are right to 1e-10.
		if math.Abs(value-r.Value) > 1e-9 || math.Abs(means[0]-means[1]) > 1e-12 {
			t.Errorf("%v: got %v, want the value %v; means %v", d.Debias, value, r.Value, means)
		}
	}
}

// Problems of a batch are cut alike, each as if it were alone; another seed or another term's name cuts otherwise.
func TestSplitOfABatch(t *testing.T) {
	r := losstest.Random(11)
	x, y := losstest.Normal(r, 24, 2, 1, 0), losstest.Normal(r, 24, 2, 1, 0.5)
	d := divergence(nil)
	splitting(&d)
	alone := func(seed uint64, name string, lo, hi int) float64 {
		in := losses.Inputs{"x": &losses.Measure{Points: losses.NewArray(x.F64[2*lo:2*hi], hi-lo, 2)},
			"y": &losses.Measure{Points: losses.NewArray(y.F64[2*lo:2*hi], hi-lo, 2)}}
		return value(t, losses.Objective{Terms: []losses.Term{{Name: name, Weight: 1, Loss: d}}}, in, seed).Terms[0].Outcomes[0].Value
	}
	batched := losses.Inputs{"x": &losses.Measure{Points: losses.NewArray(x.F64, 2, 12, 2)}, "y": &losses.Measure{Points: losses.NewArray(y.F64, 2, 12, 2)}}
	for b, o := range value(t, losses.Objective{Terms: []losses.Term{{Name: "a", Weight: 1, Loss: d}}}, batched, 7).Terms[0].Outcomes {
		if want := alone(7, "a", 12*b, 12*b+12); o.Value != want {
			t.Errorf("problem %d: got %v, by itself %v", b, o.Value, want)
		}
	}
	if v := alone(7, "a", 0, 12); v == alone(8, "a", 0, 12) || v == alone(7, "b", 0, 12) {
		t.Error("another seed or name gives the same halves")
	}
}

// value evaluates an objective with a seed.
func value(t *testing.T, o losses.Objective, in losses.Inputs, seed uint64) *losses.Result {
	t.Helper()
	evaluation, err := o.Bind(in, seed)
	if err != nil {
		t.Fatal(err)
	}
	result, err := evaluation.Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// A prior is sampled with as many points as the source has and cut as any other; a second one of another name is other samples.
func TestSplitAgainstAPrior(t *testing.T) {
	in := fourBatches(12, 32, 3)
	prior := &losses.Prior{Family: losses.StandardNormal{}}
	d := divergence(nil)
	splitting(&d)
	halved := losstest.Outcome(t, d, losses.Inputs{"x": in["x"], "y": prior})
	contains(t, "a prior", halved, halved.Value)
	joining(&d)
	joined := losstest.Outcome(t, d, losses.Inputs{"x": in["x"], "x2": in["x2"], "y": prior, "y2": prior})
	contains(t, "two priors", joined, joined.Value)
}
