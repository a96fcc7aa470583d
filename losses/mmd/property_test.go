package mmd

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
)

// Over hundreds of random problems: symmetric; not negative where all pairs count and masses agree; half of it by the other convention, to the bit; of degree 2
// in the masses.
func TestProperties(t *testing.T) {
	for seed := range uint64(100) {
		for _, kernel := range kernels {
			r := losstest.Random(seed)
			inputs := pairOf(r, kernel, 80)
			loss := discrepancy(kernel, 0.4+r.Float64(), V)
			value := losstest.Outcome(t, loss, inputs).Value
			if value < -1e-13 {
				t.Errorf("seed %d, %v: V is %v", seed, kernel, value)
			}
			swapped := losses.Inputs{"source": inputs["target"], "target": inputs["source"]}
			for _, statistic := range []Statistic{U, V} {
				loss.Statistic, loss.Convention = statistic, MMD2
				value := losstest.Outcome(t, loss, inputs).Value
				if back := losstest.Outcome(t, loss, swapped).Value; math.Abs(back-value) > 1e-13 {
					t.Errorf("seed %d, %v, statistic %d: %v one way, %v the other", seed, kernel, statistic, value, back)
				}
				gradient := losstest.Evaluate(t, loss, inputs, "source.points").Gradients[losses.Ref{Input: "source", Field: "points"}].F64
				loss.Convention = Half
				result := losstest.Evaluate(t, loss, inputs, "source.points")
				if result.Value != value/2 {
					t.Errorf("seed %d, %v, statistic %d: %v, want half of %v", seed, kernel, statistic, result.Value, value)
				}
				for i, v := range result.Gradients[losses.Ref{Input: "source", Field: "points"}].F64 {
					if v != gradient[i]/2 {
						t.Fatalf("seed %d, %v, statistic %d: gradient %v, want half of %v", seed, kernel, statistic, v, gradient[i])
					}
				}
			}
		}
	}
}

// The gradient in the weights of both measures together is that of a function of degree 2: with the weights it is twice the value. The energy's is centred.
func TestWeightGradientsHaveTheDegreeOfTheValue(t *testing.T) {
	for seed := range uint64(60) {
		for _, kernel := range kernels {
			inputs := pairOf(losstest.Random(seed), kernel, 80)
			result := losstest.Evaluate(t, discrepancy(kernel, 0.8, Statistic(seed%2)), inputs, "source.weights", "target.weights")
			total := 0.0
			for _, name := range []string{"source", "target"} {
				along := weighted(inputs[name].(*losses.Measure).Weights.F64, result.Gradients[losses.Ref{Input: name, Field: "weights"}].F64)
				if kernel == Energy && math.Abs(along) > 1e-14 {
					t.Errorf("seed %d: <%s.weights, gradient> is %v, want 0", seed, name, along)
				}
				total += along
			}
			if kernel != Energy && math.Abs(total-2*result.Value) > 1e-12 {
				t.Errorf("seed %d, %v: <weights, gradient> is %v, want %v", seed, kernel, total, 2*result.Value)
			}
		}
	}
}

// The mean of the U-statistic over all samples of three from six points, without putting back, is that of the six: E over ordered pairs of different points is
// the same mean for both. So it is unbiased, exactly.
func TestUIsUnbiased(t *testing.T) {
	for _, kernel := range kernels {
		r := losstest.Random(uint64(kernel))
		x, y := losstest.Normal(r, 6, 2, 1, 0).F64, losstest.Normal(r, 6, 2, 1, 0.5).F64
		cloud := func(points []float64) *losses.Measure {
			return &losses.Measure{Points: losses.NewArray(points, len(points)/2, 2)}
		}
		sum, count := 0.0, 0.0
		for _, a := range threesOf(x) {
			for _, b := range threesOf(y) {
				sum += losstest.Outcome(t, discrepancy(kernel, 1, U), losses.Inputs{"source": cloud(a), "target": cloud(b)}).Value
				count++
			}
		}
		want := brute(cloud(x), cloud(y), kernel, 1, U)
		if math.Abs(sum/count-want) > 1e-13 {
			t.Errorf("%v: the mean over samples is %v, want %v", kernel, sum/count, want)
		}
	}
}

// threesOf are all sets of three of six points of the plane.
func threesOf(x []float64) (sets [][]float64) {
	for i := range 6 {
		for j := range i {
			for k := range j {
				sets = append(sets, slices.Concat(x[2*i:2*i+2], x[2*j:2*j+2], x[2*k:2*k+2]))
			}
		}
	}
	return sets
}

// A common offset of 1e4 costs no digits: the points are multiples of 2^-20, so that they move exactly, and so do all differences.
func TestTranslation(t *testing.T) {
	for seed := range uint64(40) {
		for _, kernel := range kernels {
			r := losstest.Random(seed)
			inputs := pairOf(r, kernel, 120)
			move := func(by float64) {
				for _, in := range inputs {
					x := in.(*losses.Measure).Points.F64
					for i := range x {
						x[i] = math.Round(x[i]*(1<<20))/(1<<20) + by
					}
				}
			}
			loss := discrepancy(kernel, 0.8, Statistic(seed%2))
			names := []string{"source.points", "target.points", "source.weights"}
			move(0)
			here := losstest.Evaluate(t, loss, inputs, names...)
			move(1e4)
			there := losstest.Evaluate(t, loss, inputs, names...)
			if math.Abs(here.Value-there.Value) > 1e-14 {
				t.Errorf("seed %d, %v: %v here, %v there", seed, kernel, here.Value, there.Value)
			}
			for ref, want := range here.Gradients {
				for i, v := range there.Gradients[ref].F64 {
					if math.Abs(v-want.F64[i]) > 1e-13 {
						t.Fatalf("seed %d, %v, %v: %v here, %v there", seed, kernel, ref, want.F64[i], v)
					}
				}
			}
		}
	}
}

// The gradient of a kernel with a tip, at points that are as close as 1e-13 or in one place, is the sum of unit vectors as it stands.
func TestNearPoints(t *testing.T) {
	for seed := range uint64(30) {
		for _, kernel := range []Kernel{Energy, Laplacian} {
			r := losstest.Random(seed)
			d := 1 + r.IntN(6)
			near := func(n int) *losses.Measure {
				m := &losses.Measure{Points: losstest.Normal(r, n, d, 0.2, 1), Weights: losstest.Weights(r, n, 1)}
				for i := 1; i < n; i += 2 { // beside the point before
					for k := range d {
						m.Points.F64[i*d+k] = m.Points.F64[(i-1)*d+k] + float64(r.IntN(3)-1)*math.Pow(10, -1-float64(r.IntN(13)))
					}
				}
				return m
			}
			a, b := near(120), near(75)
			copy(b.Points.F64, a.Points.F64[:20*d]) // points of both in one place
			inputs := losses.Inputs{"source": a, "target": b}
			result := losstest.Evaluate(t, discrepancy(kernel, 0.5, V), inputs, "source.points", "target.points")
			for _, side := range []struct {
				name       string
				own, other *losses.Measure
			}{{"source", a, b}, {"target", b, a}} {
				want := make([]float64, side.own.Points.Len())
				addPulls(want, side.own, side.own, kernel, 2)
				addPulls(want, side.own, side.other, kernel, -2)
				for i, v := range result.Gradients[losses.Ref{Input: side.name, Field: "points"}].F64 {
					// The point's weight times unit vectors: each lost at most 2^10 roundings, and the weights sum to 1.
					if math.Abs(v-want[i]) > 1e-14 {
						t.Fatalf("seed %d, %v, %s, number %d: got %v, want %v", seed, kernel, side.name, i, v, want[i])
					}
				}
			}
		}
	}
}

// addPulls adds scale w_i Σ_j w_j ∇₁k(x_i,y_j), each from the difference of two points.
func addPulls(dst []float64, x, y *losses.Measure, kernel Kernel, scale float64) {
	d := x.Points.Shape[1]
	for i := range x.Points.Shape[0] {
		for j := range y.Points.Shape[0] {
			p, q := x.Points.F64[i*d:(i+1)*d], y.Points.F64[j*d:(j+1)*d]
			distance := -function(Energy, 1)(p, q)
			if distance == 0 {
				continue
			}
			slope := 1.0
			if kernel == Laplacian {
				slope = math.Exp(-distance/0.5) / 0.5
			}
			for k := range p {
				dst[i*d+k] -= scale * weight(x, i) * weight(y, j) * slope * (p[k] - q[k]) / distance
			}
		}
	}
}

// The witness is Σ_j a_j k(x_i,x_j) - Σ_j b_j k(x_i,y_j), whatever the statistic, and is padded in a batch.
func TestWitness(t *testing.T) {
	for _, kernel := range kernels {
		r := losstest.Random(3)
		inputs := pairOf(r, kernel, 30)
		a, b, k := inputs["source"].(*losses.Measure), inputs["target"].(*losses.Measure), function(kernel, 0.9)
		o := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: discrepancy(kernel, 0.9, U)}}, Extras: []string{"mmd.witness"}}
		got := losstest.EvaluateObjective(t, o, inputs).Terms[0].Extras["witness"].(*losses.Array).F64
		d := a.Points.Shape[1]
		for i := range got {
			at := &losses.Measure{Points: losses.NewArray(a.Points.F64[i*d:(i+1)*d], 1, d)}
			if want := bruteMean(at, a, k, false) - bruteMean(at, b, k, false); math.Abs(got[i]-want) > 1e-12 {
				t.Errorf("%v, point %d: got %v, want %v", kernel, i, got[i], want)
			}
		}
	}
	batch := &losses.Measure{Points: losses.NewArray([]float64{0, 1, 0, 0, 2, 6}, 2, 3, 1), Sizes: []int{2, 3}}
	o := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: discrepancy(Energy, 0, V)}}, Extras: []string{"mmd.witness"}}
	witness := losstest.EvaluateObjective(t, o, losses.Inputs{"source": batch, "target": losstest.Cloud([]float64{0})}).Terms[0].Extras["witness"].(*losses.Array)
	// -½·1 + 0, -½·1 + 1; -(2+6)/3, -(2+4)/3 + 2, -(6+4)/3 + 6.
	want := []float64{-0.5, 0.5, 0, -8. / 3, 0, 8. / 3}
	for i, v := range want {
		if !slices.Equal(witness.Shape, []int{2, 3}) || math.Abs(witness.F64[i]-v) > 1e-14 {
			t.Fatalf("got %v of shape %v, want %v", witness.F64, witness.Shape, want)
		}
	}
}

// An input that is source and target at once has the gradient 0: both parts are added.
func TestOneInputTwice(t *testing.T) {
	x := &losses.Measure{Points: losstest.Normal(losstest.Random(1), 50, 3, 1, 0)}
	for _, kernel := range kernels {
		loss := discrepancy(kernel, 1, V)
		loss.Target = "source"
		result := losstest.Evaluate(t, loss, losses.Inputs{"source": x}, "source.points", "source.weights")
		for ref, g := range result.Gradients {
			for _, v := range g.F64 {
				if math.Abs(v) > 1e-14 || math.Abs(result.Value) > 1e-14 { // of kernels up to 10, the rounding of a few sums
					t.Fatalf("%v: value %v, %v has %v, want 0", kernel, result.Value, ref, v)
				}
			}
		}
	}
}

// The same bits whatever the threads, and whichever gradients are wanted.
func TestBitsDoNotDependOnThreads(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	r := losstest.Random(9)
	x, y := &losses.Measure{Points: losstest.Normal(r, 700, 5, 1, 0)}, &losses.Measure{Points: losstest.Normal(r, 430, 5, 1, 0.1)}
	inputs := losses.Inputs{"source": x, "target": y}
	terms := []losses.Loss{Stein{Source: "source", Kernel: IMQ}}
	for _, kernel := range kernels {
		terms = append(terms, discrepancy(kernel, 1, U))
	}
	for _, loss := range terms {
		in, names := inputs, []string{"source.points", "source.weights", "target.points", "target.weights"}
		if loss.Kind() == "stein" {
			in, names = losses.Inputs{"source": inputs["source"]}, names[:2]
		}
		runtime.GOMAXPROCS(1)
		alone := losstest.Evaluate(t, loss, in, names...)
		bare := losstest.Evaluate(t, loss, in)
		runtime.GOMAXPROCS(4)
		together := losstest.Evaluate(t, loss, in, names...)
		if alone.Value != together.Value || alone.Value != bare.Value {
			t.Errorf("%s: %v on one processor, %v on four, %v without gradients", loss.Kind(), alone.Value, together.Value, bare.Value)
		}
		for ref, g := range alone.Gradients {
			if !slices.Equal(g.F64, together.Gradients[ref].F64) {
				t.Errorf("%s, %v: other bits on four processors", loss.Kind(), ref)
			}
		}
	}
}

func TestACancelledContextEndsIt(t *testing.T) {
	x := &losses.Measure{Points: losses.NewArray(make([]float64, 4000), 2000, 2)}
	inputs := losses.Inputs{"source": x, "target": &losses.Prior{Family: losses.StandardNormal{}}}
	closed := discrepancy(Energy, 0, U)
	closed.ClosedForm = true
	for _, loss := range []losses.Loss{discrepancy(Gaussian, 1, U), closed} {
		e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}}.Bind(inputs, 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := e.Evaluate(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	}
}

// The length scale that is taken where none is given.
func TestDefaultBlur(t *testing.T) {
	a, b := losstest.Cloud([]float64{1, 0}, []float64{2, 0}), losstest.Cloud([]float64{0, 0}, []float64{0, 6})
	point, normal := losstest.Cloud([]float64{0.1, 0.2}, []float64{0.1, 0.2}), &losses.Prior{Family: losses.StandardNormal{}}
	for name, c := range map[string]struct {
		kernel Kernel
		a      *losses.Measure
		b      losses.Input
		want   float64
	}{
		"imq":                      {IMQ, a, b, 1},
		"gaussian":                 {Gaussian, a, b, 3},
		"laplacian":                {Laplacian, b, a, 0.5},
		"a target in one place":    {Gaussian, losstest.Cloud([]float64{0.1, 5.2}, []float64{0.1, 1.2}), point, math.Sqrt(13)},
		"everything in one place":  {Gaussian, point, point, 1},
		"N(0, I) itself, of two D": {Gaussian, a, normal, math.Sqrt2},
	} {
		loss := Discrepancy{Source: "source", Target: "target", Kernel: c.kernel, Statistic: V, ClosedForm: c.b == losses.Input(normal)}
		inputs := losses.Inputs{"source": c.a, "target": c.b}
		got := losstest.Outcome(t, loss, inputs).Value
		loss.Blur = &c.want
		if want := losstest.Outcome(t, loss, inputs).Value; math.Abs(got-want) > 1e-14 {
			t.Errorf("%s: got %v, want the value at blur %v, %v", name, got, c.want, want)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	far := losstest.Cloud([]float64{-1e160}, []float64{1e160})
	two, normal := losstest.Cloud([]float64{0}, []float64{1}), &losses.Prior{Family: losses.StandardNormal{}}
	gaussian := &losses.Gaussian{Mean: losses.NewArray([]float64{0}, 1, 1), LogVariance: losses.NewArray([]float64{0}, 1, 1)}
	for name, c := range map[string]struct {
		loss  losses.Loss
		a, b  losses.Input
		field string
	}{
		"too far apart":             {discrepancy(Energy, 0, V), far, two, "mmd.source"},
		"too far from the origin":   {Discrepancy{Source: "source", Target: "target", ClosedForm: true}, far, normal, "mmd.source"},
		"stein, too far":            {Stein{Source: "source", Kernel: IMQ}, far, nil, "stein.source"},
		"a blur that overflows":     {discrepancy(Gaussian, 1e300, V), two, two, "mmd.blur"},
		"a blur that is no number":  {discrepancy(IMQ, math.NaN(), V), two, two, "mmd.blur"},
		"stein, a Gaussian":         {Stein{Source: "source", Kernel: IMQ}, gaussian, nil, "stein.source"},
		"a Gaussian":                {discrepancy(IMQ, 1, V), two, gaussian, "mmd.target"},
		"a mass that overflows":     {discrepancy(IMQ, 1, V), two, losstest.Weighted([]float64{0}, []float64{1e200}), "mmd.target"},
		"stein, a mass of nothing":  {Stein{Source: "source", Kernel: IMQ}, losstest.Weighted([]float64{0, 1}, []float64{1e-200, 1e-200}), nil, "stein.source"},
		"dimensions":                {discrepancy(IMQ, 1, V), two, losstest.Cloud([]float64{0, 0}), "mmd.target"},
		"stein, a blur of zero":     {Stein{Source: "source", Kernel: IMQ, Blur: losstest.Ptr(0)}, two, nil, "stein.blur"},
		"stein, one point of three": {Stein{Source: "source", Kernel: IMQ}, losstest.Weighted([]float64{0, 1, 2}, []float64{0, 1, 0}), nil, "stein.source"},
	} {
		inputs := losses.Inputs{"source": c.a}
		if c.b != nil {
			inputs["target"] = c.b
		}
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: c.loss}}}.Bind(inputs, 0)
		var bad *losses.InputError
		if !errors.As(err, &bad) || !strings.HasSuffix(bad.Field, c.field) {
			t.Errorf("%s: got %v, want an error for %s", name, err, c.field)
		}
	}
}

// In the dimensions where strips have fewer rows, and across the blocks of a cloud.
func TestManyDimensions(t *testing.T) {
	const n, m, d = 100, 5, many + 3
	r := losstest.Random(1)
	a, b := &losses.Measure{Points: losstest.Normal(r, n, d, 1, 0)}, &losses.Measure{Points: losstest.Normal(r, m, d, 1, 0)}
	inputs := losses.Inputs{"source": a, "target": b}
	result := losstest.Evaluate(t, discrepancy(Energy, 0, V), inputs, "target.points")
	// Distances of √(2D), some 130.
	if want := brute(a, b, Energy, 1, V); math.Abs(result.Value-want) > 1e-12 {
		t.Errorf("got %v, want %v", result.Value, want)
	}
	want := make([]float64, m*d)
	addPulls(want, b, b, Energy, 2)
	addPulls(want, b, a, Energy, -2)
	for i, v := range result.Gradients[losses.Ref{Input: "target", Field: "points"}].F64 {
		if math.Abs(v-want[i]) > 1e-14 {
			t.Fatalf("number %d: got %v, want %v", i, v, want[i])
		}
	}
}
