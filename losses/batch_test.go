package losses_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kl"
	"kantor/losses/sinkhorn"
)

// stacked puts arrays [n,D] or [n] below each other as [B,N,D] or [B,N], with pad after the rows of the shorter ones.
func stacked(pad float64, arrays ...losses.Array) losses.Array {
	rows := 0
	for _, a := range arrays {
		rows = max(rows, a.Shape[0])
	}
	width := rows * arrays[0].Len() / arrays[0].Shape[0]
	out := losses.Array{Shape: append([]int{len(arrays), rows}, arrays[0].Shape[1:]...)}
	for _, a := range arrays {
		if a.F32 != nil {
			out.F32 = append(out.F32, a.F32...)
		} else {
			out.F64 = append(out.F64, a.F64...)
		}
		for range width - a.Len() {
			if a.F32 != nil {
				out.F32 = append(out.F32, float32(pad))
			} else {
				out.F64 = append(out.F64, pad)
			}
		}
	}
	return out
}

// ragged is a batch of measures that all have weights or none, padded with NaN.
func ragged(measures ...*losses.Measure) *losses.Measure {
	out := &losses.Measure{}
	var points, weights []losses.Array
	for _, m := range measures {
		points = append(points, m.Points)
		out.Sizes = append(out.Sizes, m.Points.Shape[0])
		if m.Weights != nil {
			weights = append(weights, *m.Weights)
		}
	}
	out.Points = stacked(math.NaN(), points...)
	if weights != nil {
		w := stacked(math.NaN(), weights...)
		out.Weights = &w
	}
	return out
}

func gaussians(gaussians ...*losses.Gaussian) *losses.Gaussian {
	var mean, logVariance []losses.Array
	for _, g := range gaussians {
		mean, logVariance = append(mean, g.Mean), append(logVariance, g.LogVariance)
	}
	return &losses.Gaussian{Mean: stacked(0, mean...), LogVariance: stacked(0, logVariance...)}
}

// single is an array in binary32.
func single(a losses.Array) losses.Array {
	out := losses.Array{Shape: a.Shape}
	for _, v := range a.F64 {
		out.F32 = append(out.F32, float32(v))
	}
	return out
}

// batchCase is a loss on problems one by one, what differs between the problems first, and what they share.
type batchCase struct {
	loss   losses.Loss
	each   []losses.Inputs
	shared losses.Inputs
}

// problem is problem b alone.
func (c batchCase) problem(b int) losses.Inputs {
	in := losses.Inputs{}
	for _, part := range []losses.Inputs{c.each[b], c.shared} {
		for name, input := range part {
			in[name] = input
		}
	}
	return in
}

// together is all problems as a batch.
func (c batchCase) together() losses.Inputs {
	in := losses.Inputs{}
	for name, input := range c.shared {
		in[name] = input
	}
	for name := range c.each[0] {
		var measures []*losses.Measure
		var normals []*losses.Gaussian
		for _, one := range c.each {
			switch v := one[name].(type) {
			case *losses.Measure:
				measures = append(measures, v)
			case *losses.Gaussian:
				normals = append(normals, v)
			}
		}
		if measures != nil {
			in[name] = ragged(measures...)
		} else {
			in[name] = gaussians(normals...)
		}
	}
	return in
}

// batchCases are all losses in both formats, with weights and without, ragged, and with one input shared.
func batchCases() map[string]batchCase {
	r := losstest.Random(21)
	cloud := func(n int, weights bool) *losses.Measure {
		m := &losses.Measure{Points: losstest.Normal(r, n, 2, 1, 0)}
		if weights {
			m.Weights = losstest.Weights(r, n, 2)
		}
		return m
	}
	pairs := func(weights bool) []losses.Inputs {
		var each []losses.Inputs
		for _, size := range [][2]int{{7, 4}, {1, 5}, {6, 1}, {3, 3}} {
			each = append(each, losses.Inputs{"source": cloud(size[0], weights), "target": cloud(size[1], weights)})
		}
		return each
	}
	sources := func() []losses.Inputs {
		return []losses.Inputs{{"source": cloud(5, true)}, {"source": cloud(3, true)}, {"source": cloud(4, true)}}
	}
	floats := pairs(true)
	for _, one := range floats {
		for _, m := range one {
			v := m.(*losses.Measure)
			weights := single(*v.Weights)
			v.Points, v.Weights = single(v.Points), &weights
		}
	}
	entropic := divergence
	entropic.Debias = sinkhorn.None
	out := map[string]batchCase{}
	for _, loss := range []losses.Loss{divergence, entropic, dual} {
		kind := loss.Kind() + reflect.TypeOf(loss).Name()
		if loss == losses.Loss(entropic) {
			kind += " plain"
		}
		out[kind+" uniform"] = batchCase{loss, pairs(false), nil}
		out[kind+" weighted"] = batchCase{loss, pairs(true), nil}
		out[kind+" float32"] = batchCase{loss, floats, nil}
		out[kind+" shared"] = batchCase{loss, sources(), losses.Inputs{"target": cloud(6, true)}}
		out[kind+" prior"] = batchCase{loss, sources(), losses.Inputs{"target": &losses.Prior{Family: losses.StandardNormal{}}}}
	}
	unbalanced, steps, narrow := divergence, divergence, divergence
	unbalanced.Reach = losstest.Ptr(0.5)
	steps.Profile, steps.Blur = sinkhorn.GeomLoss, losstest.Ptr(0.3)
	narrow.Gap = losstest.Ptr(1e-3)
	heavy := pairs(true)
	for _, one := range heavy {
		one["source"].(*losses.Measure).Weights = losstest.Weights(r, one["source"].(*losses.Measure).Points.Shape[0], 5)
	}
	out["unbalanced"] = batchCase{unbalanced, heavy, nil}
	out["geomloss"] = batchCase{steps, pairs(true), nil}
	out["gap"] = batchCase{narrow, pairs(true), nil}
	out["larger"] = batchCase{divergence, []losses.Inputs{{"source": cloud(130, true), "target": cloud(67, true)}, {"source": cloud(64, true), "target": cloud(129, true)}}, nil}
	maps.Copy(out, gaussianCases(r))
	maps.Copy(out, transportCases(r))
	return out
}

// gaussianCases are those of kl.
func gaussianCases(r *rand.Rand) map[string]batchCase {
	normal := func(n int) *losses.Gaussian {
		return &losses.Gaussian{Mean: losstest.Normal(r, n, 3, 1, 0), LogVariance: losstest.Normal(r, n, 3, 1, 0)}
	}
	both := kl.Gaussian{Posterior: "posterior", Prior: "prior"}
	return map[string]batchCase{
		"kl":        {gaussian, []losses.Inputs{{"posterior": normal(4)}, {"posterior": normal(4)}}, nil},
		"kl shared": {both, []losses.Inputs{{"posterior": normal(4)}, {"posterior": normal(4)}}, losses.Inputs{"prior": normal(4)}},
		"kl rows":   {both, []losses.Inputs{{"posterior": normal(4), "prior": normal(1)}, {"posterior": normal(4), "prior": normal(1)}}, nil},
	}
}

// tensors are all gradients that inputs can have.
func tensors(in losses.Inputs) []string {
	var names []string
	for name, input := range in {
		switch input.(type) {
		case *losses.Measure:
			names = append(names, name+".points", name+".weights")
		case *losses.Gaussian:
			names = append(names, name+".mean", name+".log_variance")
		}
	}
	slices.Sort(names)
	return names
}

// evaluate gives the result with all gradients and extras.
func evaluate(t *testing.T, loss losses.Loss, in losses.Inputs) *losses.Result {
	t.Helper()
	o := losses.Objective{Terms: []losses.Term{term(-1.7, loss)}, Gradients: tensors(in)}
	for _, extra := range loss.Extras() {
		o.Extras = append(o.Extras, loss.Kind()+"."+extra)
	}
	return losstest.EvaluateObjective(t, o, in)
}

// rowsOf is the part of a batch's array that is problem b's.
func rowsOf(a losses.Array, b int) []float64 {
	size := a.Len() / a.Shape[0]
	return a.Float64s()[b*size : (b+1)*size]
}

// padded reports whether got begins with want and is 0 from there.
func padded(got, want []float64) bool {
	return len(got) >= len(want) && slices.Equal(got[:len(want)], want) &&
		!slices.ContainsFunc(got[len(want):], func(v float64) bool { return v != 0 })
}

// Every number of a problem in a batch is, bit for bit, the one that it has alone, without the padding; the total and the gradient of what is shared are the
// sums in the order of the problems.
func TestBatchIsItsProblemsAlone(t *testing.T) {
	for name, c := range batchCases() {
		t.Run(name, func(t *testing.T) {
			in := c.together()
			got := evaluate(t, c.loss, in)
			value, sums := 0.0, map[losses.Ref][]float64{}
			for b := range c.each {
				alone := evaluate(t, c.loss, c.problem(b))
				value += alone.Value
				if !reflect.DeepEqual(got.Terms[0].Outcomes[b], alone.Terms[0].Outcomes[0]) {
					t.Errorf("problem %d: %+v in the batch, %+v alone", b, got.Terms[0].Outcomes[b], alone.Terms[0].Outcomes[0])
				}
				checkExtras(t, got.Terms[0].Extras, alone.Terms[0].Extras, b)
				for ref, g := range alone.Gradients {
					if c.shared[ref.Input] != nil {
						sums[ref] = added(sums[ref], g.F64)
					} else if !padded(rowsOf(got.Gradients[ref], b), g.Float64s()) {
						t.Errorf("%v of problem %d: %v in the batch, %v alone", ref, b, rowsOf(got.Gradients[ref], b), g)
					}
				}
			}
			if got.Value != value || len(got.Terms[0].Outcomes) != len(c.each) {
				t.Errorf("%d outcomes with a total of %v, want %d with %v", len(got.Terms[0].Outcomes), got.Value, len(c.each), value)
			}
			for ref, want := range sums {
				if !slices.Equal(got.Gradients[ref].F64, want) {
					t.Errorf("%v: %v, want the sum %v", ref, got.Gradients[ref].F64, want)
				}
			}
			for _, tensor := range tensors(in) {
				input, field, _ := strings.Cut(tensor, ".")
				want := losstest.Tensor(in, tensor)
				if g := got.Gradients[losses.Ref{Input: input, Field: field}]; want != nil && (!slices.Equal(g.Shape, want.Shape) || (g.F32 != nil) != (want.F32 != nil)) {
					t.Errorf("%s has a gradient of shape %v, want the shape and format of %v", tensor, g.Shape, want.Shape)
				}
			}
		})
	}
}

// added adds b to a, which begins as nil.
func added(a, b []float64) []float64 {
	if a == nil {
		a = make([]float64, len(b))
	}
	for i, v := range b {
		a[i] += v
	}
	return a
}

func checkExtras(t *testing.T, got, alone map[string]losses.Extra, b int) {
	t.Helper()
	if len(got) != len(alone) {
		t.Errorf("extras %v, want those of %v", got, alone)
	}
	for name, extra := range alone {
		switch want := extra.(type) {
		case *losses.Array:
			// Rows beyond those of the problem are padding.
			a, count := got[name].(*losses.Array), 1
			for _, extent := range a.Shape {
				count *= extent
			}
			if count != a.Len() || !slices.Equal(a.Shape[2:], want.Shape[1:]) || !padded(rowsOf(*a, b), want.F64) {
				t.Errorf("%s of problem %d: %v, want %v", name, b, a, want)
			}
		case *losses.Plan:
			p, from := got[name].(*losses.Plan), 0
			for _, entries := range p.Sizes[:b] {
				from += entries
			}
			to := from + p.Sizes[b]
			part := losses.Plan{Source: p.Source[from:to], Target: p.Target[from:to], Mass: p.Mass[from:to]}
			if !reflect.DeepEqual(part, *want) {
				t.Errorf("%s of problem %d: %v, want %v", name, b, part, want)
			}
		case *losses.Measure:
			m := got[name].(*losses.Measure)
			if m.Sizes[b] != want.Points.Shape[0] || !padded(rowsOf(m.Points, b), want.Points.F64) || !padded(rowsOf(*m.Weights, b), want.Weights.F64) {
				t.Errorf("%s of problem %d: %v, want %v", name, b, m, want)
			}
		case *losses.Potentials:
			p := got[name].(*losses.Potentials)
			for _, pair := range [][2][]float64{{p.Source, want.Source}, {p.Target, want.Target}, {p.SourceSelf, want.SourceSelf}, {p.TargetSelf, want.TargetSelf}} {
				width := len(pair[0]) / p.Batch
				if (pair[0] == nil) != (pair[1] == nil) || !padded(pair[0][b*width:(b+1)*width], pair[1]) {
					t.Errorf("%s of problem %d: %v, want %v, padded", name, b, pair[0], pair[1])
				}
			}
			if p.Gauge != want.Gauge {
				t.Errorf("gauge %v, want %v", p.Gauge, want.Gauge)
			}
		}
	}
}

// Potentials of a measure have its rows, also where no problem uses all of them.
func TestPotentialsHaveTheRowsOfTheirMeasure(t *testing.T) {
	in := losses.Inputs{"source": ragged(measure(2, 2), measure(3, 2), measure(5, 2)), "target": &losses.Prior{Family: losses.StandardNormal{}}}
	source := in["source"].(*losses.Measure)
	source.Sizes = []int{2, 3, 4}
	p := evaluate(t, divergence, in).Terms[0].Extras["potentials"].(*losses.Potentials)
	if len(p.Source) != 3*5 || len(p.SourceSelf) != 3*5 || len(p.Target) != 3*4 {
		t.Errorf("lengths %d, %d, %d, want 3 times 5, the source's rows, and 3 times 4, the most samples", len(p.Source), len(p.SourceSelf), len(p.Target))
	}
}

// A batch of one problem is the problem.
func TestBatchOfOne(t *testing.T) {
	for name, c := range batchCases() {
		c.each = c.each[:1]
		got, want := evaluate(t, c.loss, c.together()), evaluate(t, c.loss, c.problem(0))
		if got.Value != want.Value || !reflect.DeepEqual(got.Terms[0].Outcomes, want.Terms[0].Outcomes) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		for ref, g := range want.Gradients {
			if !slices.Equal(got.Gradients[ref].Float64s(), g.Float64s()) {
				t.Errorf("%s: %v is %v, want %v", name, ref, got.Gradients[ref], g)
			}
		}
	}
}

// A problem's numbers do not depend on what stands beside it: its like, one that does not converge, or one of other magnitudes.
func TestBatchMates(t *testing.T) {
	easy := losses.Inputs{"source": measure(6, 2), "target": measure(5, 2)}
	far := measure(40, 2)
	for i := range far.Points.F64 {
		far.Points.F64[i] *= 1e4
	}
	loss := divergence
	loss.Epsilon, loss.MaxIterations = losstest.Ptr(10), 50
	var first *losses.Result
	for _, mate := range []losses.Inputs{easy, {"source": measure(1, 2), "target": measure(30, 2)}, {"source": far, "target": measure(5, 2)}} {
		got := evaluate(t, loss, batchCase{loss, []losses.Inputs{easy, mate}, nil}.together())
		if first == nil {
			first = got
		}
		for ref, g := range got.Gradients {
			n := first.Gradients[ref].Len() / 2
			if !padded(rowsOf(g, 0), first.Gradients[ref].F64[:n]) {
				t.Errorf("%v depends on the mate", ref)
			}
		}
		if !reflect.DeepEqual(got.Terms[0].Outcomes[0], first.Terms[0].Outcomes[0]) {
			t.Errorf("%+v beside one problem, %+v beside another", got.Terms[0].Outcomes[0], first.Terms[0].Outcomes[0])
		}
	}
}
