package sliced_test

import (
	"context"
	"errors"
	"flag"
	"math"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/internal/parallel"
	"kantor/losses/sliced"
)

// checkRandom tries a property on random problems. The seed is the same in every run, so that a failure is due to a change; RAPID_SEED=0
// RAPID_CHECKS=20000 go test -run Random ./losses/sliced looks further.
func checkRandom(t *testing.T, checks string, property func(t *rapid.T)) {
	t.Helper()
	for name, value := range map[string]string{"seed": "1", "checks": checks, "nofailfile": "true"} {
		if os.Getenv("RAPID_"+strings.ToUpper(name)) != "" {
			continue
		}
		if err := flag.Set("rapid."+name, value); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, property)
}

// draw draws three clouds of one mass on scales and offsets of all kinds, with coincident points and weights of 0, and a loss between x and y.
func draw(t *rapid.T) (loss sliced.Transport, in losses.Inputs, z *losses.Measure, scale float64) {
	d := rapid.OneOf(rapid.IntRange(1, 6), rapid.Just(40)).Draw(t, "D")
	scale = math.Pow(10, float64(rapid.IntRange(-3, 3).Draw(t, "log scale")))
	coincide, weighted := rapid.Bool().Draw(t, "coincide"), rapid.Bool().Draw(t, "weighted")
	r := losstest.Random(rapid.Uint64().Draw(t, "points"))
	cloud := func(name string) *losses.Measure {
		n := rapid.IntRange(1, 40).Draw(t, name)
		m := &losses.Measure{Points: losstest.Normal(r, n, d, scale, 0)}
		for i := range m.Points.F64 {
			if coincide { // few values in each coordinate
				m.Points.F64[i] = scale * math.Round(m.Points.F64[i]/scale)
			}
		}
		if weighted {
			m.Weights = losstest.Weights(r, n, 1)
			for i := 1; i < n; i++ {
				if r.IntN(3) == 0 {
					m.Weights.F64[0] += m.Weights.F64[i]
					m.Weights.F64[i] = 0
				}
			}
		}
		return m
	}
	in = losses.Inputs{"x": cloud("N"), "y": cloud("M")}
	p := rapid.SampledFrom([]float64{1, 2}).Draw(t, "p")
	return along(p, rapid.IntRange(1, 9).Draw(t, "L")), in, cloud("K"), scale
}

func evaluate(t *rapid.T, loss losses.Loss, in losses.Inputs, gradients ...string) *losses.Result {
	t.Helper()
	e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}, Gradients: gradients}.Bind(in, 0)
	if err != nil {
		t.Fatal(err)
	}
	result, err := e.Evaluate(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// Row T7 of docs/mathematics.md along the same directions: the root is a metric of the projections, and W1 ≤ W2. A change of coordinates that keeps
// distances, here a common translation, changes nothing; nor does the order of the points.
func TestT7MetricAxiomsOfRandomProblems(t *testing.T) {
	checkRandom(t, "300", func(t *rapid.T) {
		loss, in, z, scale := draw(t)
		root := func(x, y losses.Input) float64 {
			return math.Pow(evaluate(t, loss, losses.Inputs{"x": x, "y": y}).Value, 1 / *loss.P)
		}
		xy, yx, xz, zy := root(in["x"], in["y"]), root(in["y"], in["x"]), root(in["x"], z), root(z, in["y"])
		// Rounding is relative to the scale of the points, in a value; near 0 the root of that is more.
		slack := 1e-13 * scale
		if *loss.P == 2 {
			slack = 1e-7 * scale
		}
		if math.Abs(xy-yx) > slack || xy > xz+zy+slack || root(z, z) != 0 {
			t.Fatalf("x to y %v, y to x %v, x to z %v, z to y %v", xy, yx, xz, zy)
		}
		one, two := loss, loss
		p1, p2 := 1.0, 2.0
		one.P, two.P = &p1, &p2
		if a, b := evaluate(t, one, in).Value, math.Sqrt(evaluate(t, two, in).Value); a > b+1e-13*scale {
			t.Fatalf("W1 = %v > W2 = %v", a, b)
		}
		upside := &losses.Measure{Points: reversed(z.Points)}
		if z.Weights != nil {
			w := reversed(*z.Weights)
			upside.Weights = &w
		}
		if v := root(z, upside); v > slack {
			t.Fatalf("the same points in another order cost %v", v)
		}
	})
}

// reversed puts the rows in the other order.
func reversed(a losses.Array) losses.Array {
	n := a.Shape[0]
	d := a.Len() / n
	out := make([]float64, 0, a.Len())
	for i := n - 1; i >= 0; i-- {
		out = append(out, a.F64[i*d:(i+1)*d]...)
	}
	return losses.NewArray(out, a.Shape...)
}

// What holds of every gradient: the slopes of the plan cancel, since a common translation changes nothing; to move all points along with their distances to
// the origin multiplies the value, so that Σ x·∂x + Σ y·∂y = p·value (Euler); for p = 2 the slopes in the source sum to twice the difference of means, of
// the projections; and gradients in weights are centred. No gradient is NaN.
func TestGradientsOfRandomProblems(t *testing.T) {
	checkRandom(t, "300", func(t *rapid.T) {
		loss, in, _, scale := draw(t)
		result := evaluate(t, loss, in, "x.points", "y.points", "x.weights", "y.weights")
		d := losstest.Tensor(in, "x.points").Shape[1]
		euler, sum := 0.0, make([]float64, d)
		for _, name := range []string{"x", "y"} {
			points := losstest.Tensor(in, name+".points")
			for i, v := range result.Gradients[losses.Ref{Input: name, Field: "points"}].F64 {
				euler += v * points.F64[i]
				sum[i%d] += v
			}
			centre := 0.0
			for i, v := range result.Gradients[losses.Ref{Input: name, Field: "weights"}].F64 {
				w := 1 / float64(points.Shape[0])
				if weights := losstest.Tensor(in, name+".weights"); weights != nil {
					w = weights.F64[i]
				}
				centre += w * v
			}
			if !(math.Abs(centre) <= 1e-12*math.Pow(scale, *loss.P)) {
				t.Fatalf("<weights, gradient> of %s is %v", name, centre)
			}
		}
		if want := *loss.P * result.Value; !(math.Abs(euler-want) <= 1e-12*math.Pow(scale, *loss.P)) {
			t.Fatalf("Σ x·∂x = %v, want %v", euler, want)
		}
		for k, v := range sum {
			if !(math.Abs(v) <= 1e-13*math.Pow(scale, *loss.P-1)) {
				t.Fatalf("the gradients sum to %v along axis %d", v, k)
			}
		}
	})
}

// Gradients in points and weights against differences, of problems in general position.
func TestGradientsOfRandomProblemsByFiniteDifferences(t *testing.T) {
	for seed := range uint64(40) {
		r := losstest.Random(900 + seed)
		checkGradients(t, along(float64(1+seed%2), 4), random(seed, 2+r.IntN(8), 2+r.IntN(8), 1+r.IntN(4), 1))
	}
}

// The same bits whatever the number of processors, and whether blocks hold all directions or few.
func TestResultsDoNotDependOnThreads(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var first []*losses.Result
	for _, threads := range []int{1, 2, 7} {
		runtime.GOMAXPROCS(threads)
		var results []*losses.Result
		for _, loss := range []sliced.Transport{along(2, 300), along(1, 5), most(2, 50)} {
			results = append(results, losstest.Evaluate(t, loss, random(50, 900, 700, 5, 1), "x.points", "y.points", "x.weights", "y.weights"))
		}
		if first == nil {
			first = results
		}
		if !reflect.DeepEqual(results, first) {
			t.Errorf("%d threads give other results", threads)
		}
	}
}

// ending is a context that ends when it has been looked at so often.
type ending struct {
	context.Context
	cancel context.CancelFunc
	left   atomic.Int64
}

func (e *ending) Err() error {
	if e.left.Add(-1) < 0 {
		e.cancel()
	}
	return e.Context.Err()
}

// Cancelled work stops between tiles, wherever it is.
func TestStopsWhenTheContextEnds(t *testing.T) {
	for _, loss := range []sliced.Transport{along(2, 300), most(2, 300)} {
		e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}, Gradients: []string{"x.points", "x.weights"}}.Bind(random(51, 900, 700, 5, 1), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, looks := range []int64{1, 3, 10, 25} {
			ctx := &ending{}
			ctx.Context, ctx.cancel = context.WithCancel(t.Context())
			ctx.left.Store(looks)
			before := parallel.Tiles()
			if _, err := e.Evaluate(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("after %d looks: %v, want context.Canceled", looks, err)
			}
			if tiles := parallel.Tiles() - before; tiles > looks {
				t.Errorf("%d tiles were computed after %d looks", tiles, looks)
			}
		}
	}
}
