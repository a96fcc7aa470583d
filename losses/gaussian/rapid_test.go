package gaussian_test

import (
	"context"
	"errors"
	"flag"
	"math"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"kantor/losses"
	"kantor/losses/gaussian"
	"kantor/losses/internal/losstest"
)

// checkRandom tries a property on random problems. The seed is the same in every run, so that a failure is due to a change; RAPID_SEED=0
// RAPID_CHECKS=20000 go test -run Random ./losses/gaussian looks further.
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

// drawGaussian draws n rows: independent axes, some of variance next to 0, or covariances of any rank, some 0.
func drawGaussian(t *rapid.T, name string, n, d int) *losses.Gaussian {
	r := losstest.Random(rapid.Uint64().Draw(t, name))
	switch rapid.SampledFrom([]string{"axes", "flat axes", "covariance", "singular", "point"}).Draw(t, name+" kind") {
	case "axes":
		return randomAxes(r, n, d)
	case "flat axes":
		g := randomAxes(r, n, d)
		for i := range g.LogVariance.F64 {
			if r.IntN(2) == 0 {
				g.LogVariance.F64[i] = -1e3 * r.Float64()
			}
		}
		return g
	case "covariance":
		return randomFull(r, n, d, 2*d)
	case "singular":
		return randomFull(r, n, d, 1+r.IntN(d))
	}
	g := randomFull(r, n, d, 1)
	clear(g.Covariance.F64)
	return g
}

func value(t *rapid.T, q, p losses.Input) float64 {
	t.Helper()
	e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: between}}}.Bind(losses.Inputs{"q": q, "p": p}, 0)
	if err != nil {
		t.Fatal(err)
	}
	result, err := e.Evaluate(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return result.Value
}

// Row T7 of docs/mathematics.md for Gaussians: the root of the value is a metric, at least the distance of the means, and the same in any rotated and
// translated coordinates (row T8: a translation by v costs |v|², a factor comes out).
func TestT7MetricAxiomsOfRandomGaussians(t *testing.T) {
	checkRandom(t, "400", func(t *rapid.T) {
		d := rapid.IntRange(1, 8).Draw(t, "D")
		x, y, z := drawGaussian(t, "x", 1, d), drawGaussian(t, "y", 1, d), drawGaussian(t, "z", 1, d)
		xy, xz, zy := math.Sqrt(value(t, x, y)), math.Sqrt(value(t, x, z)), math.Sqrt(value(t, z, y))
		// Of a singular covariance the noise is left out, some 4d ulps of its size, which is about ten here: the root of that is a distance.
		slack := math.Sqrt(float64(d) * 4 * float64(d) * 0x1p-52 * 10)
		if back := value(t, y, x); math.Abs(back-xy*xy) > 1e-12*(1+back) {
			t.Fatalf("x to y %v, y to x %v", xy*xy, back)
		}
		if !(xy <= xz+zy+slack) || !(value(t, z, z) <= slack*slack) {
			t.Fatalf("x to y %v, x to z %v, z to y %v, z to z %v", xy, xz, zy, value(t, z, z))
		}
		apart, v := 0.0, losstest.Normal(losstest.Random(1), 1, d, 1, 0).F64
		length := 0.0
		for k := range d {
			apart += math.Pow(x.Mean.F64[k]-y.Mean.F64[k], 2)
			length += v[k] * v[k]
		}
		if xy*xy < apart*(1-1e-14) {
			t.Fatalf("the value %v is below the means' %v", xy*xy, apart)
		}
		if got := value(t, x, moved(x, v)); math.Abs(got-length) > 1e-13*(1+length)+slack*slack {
			t.Fatalf("a translation costs %v, want %v", got, length)
		}
		turn := rotation(losstest.Random(2), d)
		if got := value(t, turned(turn, x), turned(turn, y)); math.Abs(math.Sqrt(got)-xy) > 2*slack {
			t.Fatalf("rotated %v, want %v", got, xy*xy)
		}
	})
}

// moved is g with v added to its mean.
func moved(g *losses.Gaussian, v []float64) *losses.Gaussian {
	out := *g
	out.Mean = losses.NewArray(g.Mean.Float64s(), g.Mean.Shape...)
	for k, w := range v {
		out.Mean.F64[k] += w
	}
	return &out
}

// turned is g in coordinates rotated by q.
func turned(q *mat.Dense, g *losses.Gaussian) *losses.Gaussian {
	if g.Covariance == nil {
		g = promoted(g)
	}
	d := g.Mean.Shape[1]
	a := product(q, matrix(g, 0), q.T())
	for i := range d {
		for j := range i {
			a.Set(i, j, a.At(j, i)) // a variance next to 0 leaves rounding on one side
		}
	}
	return full(1, d, product(q, mat.NewDense(d, 1, g.Mean.F64)).RawMatrix().Data, a.RawMatrix().Data)
}

// The same bits whatever the number of processors.
func TestResultsDoNotDependOnThreads(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	r := losstest.Random(30)
	weights := losstest.Weights(r, 4000, 1)
	problems := []losses.Inputs{
		{"q": randomAxes(r, 500, 20), "p": randomAxes(r, 1, 20)},
		{"q": randomFull(r, 50, 12, 30), "p": randomFull(r, 1, 12, 30)},
		{"q": &losses.Measure{Points: losstest.Normal(r, 4000, 30, 1, 0), Weights: weights}, "p": randomFull(r, 1, 30, 60)},
	}
	var first []*losses.Result
	for _, threads := range []int{1, 2, 7} {
		runtime.GOMAXPROCS(threads)
		results := []*losses.Result{
			losstest.Evaluate(t, between, problems[0], "q.mean", "q.log_variance", "p.mean", "p.log_variance"),
			losstest.Evaluate(t, between, problems[1], "q.mean", "q.covariance", "p.mean", "p.covariance"),
			losstest.Evaluate(t, between, problems[2], "q.points", "q.weights", "p.mean", "p.covariance"),
		}
		if first == nil {
			first = results
		}
		if !reflect.DeepEqual(results, first) {
			t.Errorf("%d threads give other results", threads)
		}
	}
}

// A batch is its problems, each as if it were alone, covariances too; the gradient of what they share is the sum.
func TestBatchOfCovariances(t *testing.T) {
	r := losstest.Random(31)
	q, p := randomFull(r, 6, 3, 7), randomFull(r, 1, 3, 7)
	c := losses.NewArray(q.Covariance.F64, 2, 3, 3, 3)
	batch := losses.Inputs{"q": &losses.Gaussian{Mean: losses.NewArray(q.Mean.F64, 2, 3, 3), Covariance: &c}, "p": p}
	got := losstest.Evaluate(t, between, batch, "q.covariance", "p.covariance")
	shared := make([]float64, 9)
	for b := range 2 {
		alone := losses.Inputs{"q": full(3, 3, q.Mean.F64[9*b:9*b+9], q.Covariance.F64[27*b:27*b+27]), "p": p}
		want := losstest.Evaluate(t, between, alone, "q.covariance", "p.covariance")
		if v := got.Terms[0].Outcomes[b].Value; v != want.Value {
			t.Errorf("problem %d: got %v, alone %v", b, v, want.Value)
		}
		mine := got.Gradients[losses.Ref{Input: "q", Field: "covariance"}].F64[27*b : 27*b+27]
		if !reflect.DeepEqual(mine, want.Gradients[losses.Ref{Input: "q", Field: "covariance"}].F64) {
			t.Errorf("problem %d: gradient %v", b, mine)
		}
		for i, v := range want.Gradients[losses.Ref{Input: "p", Field: "covariance"}].F64 {
			shared[i] += v
		}
	}
	if mine := got.Gradients[losses.Ref{Input: "p", Field: "covariance"}].F64; !reflect.DeepEqual(mine, shared) {
		t.Errorf("the shared prior's gradient is %v, want %v", mine, shared)
	}
}

// Cancelled work stops.
func TestStopsWhenTheContextEnds(t *testing.T) {
	r := losstest.Random(32)
	for _, in := range []losses.Inputs{
		{"q": randomAxes(r, 500, 20), "p": randomAxes(r, 1, 20)},
		{"q": &losses.Measure{Points: losstest.Normal(r, 400, 30, 1, 0)}, "p": randomFull(r, 1, 30, 60)},
	} {
		e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: gaussian.Bures{Posterior: "q", Prior: "p"}}}}.Bind(in, 0)
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
