package losses_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"

	"kantor/losses"
)

// sampled are n samples of a prior in dimension d.
func sampled(t *testing.T, family losses.Family, n, d int) []float64 {
	t.Helper()
	in := losses.Inputs{"source": measure(2, d), "prior": &losses.Prior{Family: family, Size: n}}
	_, b, err := in.Pair("source", "prior", losses.Seed{Request: 1})
	if err != nil {
		t.Fatal(err)
	}
	if b.N != n || b.D != d || !b.Sampled {
		t.Fatalf("%d samples of dimension %d, want %d, %d", b.N, b.D, n, d)
	}
	return b.X
}

// near fails where a mean over n samples is further from the truth than five standard errors, which it is once in two million times.
func near(t *testing.T, what string, got, want, deviation float64, n int) {
	t.Helper()
	if bound := 5 * deviation / math.Sqrt(float64(n)); math.Abs(got-want) > bound {
		t.Errorf("%s is %v, want %v ± %.2g", what, got, want, bound)
	}
}

const many = 20_000

// Uniform on [-1,3]: mean 1, variance 16/12, fourth central moment 256/80.
func TestUniformCubeSamples(t *testing.T) {
	x := sampled(t, losses.UniformCube{Lower: -1, Upper: 3}, many, 2)
	if slices.Min(x) < -1 || slices.Max(x) > 3 {
		t.Errorf("samples from %v to %v, want -1 to 3", slices.Min(x), slices.Max(x))
	}
	near(t, "mean", stat.Mean(x, nil), 1, math.Sqrt(16./12), 2*many)
	near(t, "variance", stat.PopVariance(x, nil), 16./12, math.Sqrt(256./80-256./144), 2*many)
}

// On the sphere of radius 2 in three dimensions every coordinate is uniform on [-2,2] (Archimedes), and the coordinates are not correlated.
func TestUniformSphereSamples(t *testing.T) {
	x := sampled(t, losses.UniformSphere{Radius: 2}, many, 3)
	var first, product []float64
	for i := 0; i < len(x); i += 3 {
		if r := math.Sqrt(x[i]*x[i] + x[i+1]*x[i+1] + x[i+2]*x[i+2]); math.Abs(r-2) > 1e-15*8 {
			t.Fatalf("a sample of length %v, want 2", r)
		}
		first, product = append(first, x[i]), append(product, x[i]*x[i+1])
	}
	uniform := make([]float64, many)
	for i := range uniform {
		uniform[i] = -2 + 4*(float64(i)+0.5)/many
	}
	slices.Sort(first)
	if d := stat.KolmogorovSmirnov(first, nil, uniform, nil); d > 2.5/math.Sqrt(many) { // beyond it once in 10⁵ times
		t.Errorf("Kolmogorov-Smirnov distance %v of a coordinate from the uniform law", d)
	}
	near(t, "E xy", stat.Mean(product, nil), 0, 4./math.Sqrt(15), many) // E x²y² = r⁴/15
	for _, v := range sampled(t, losses.UniformSphere{Radius: 3}, 100, 1) {
		if math.Abs(math.Abs(v)-3) > 1e-15*4 {
			t.Errorf("a sample %v of dimension 1, want ±3", v)
		}
	}
}

// A mixture of N(-4, ¼) with probability ¾ and N(4, 4): below 0 are ¾ + ¼Φ(-2) of the samples; a Gaussian of weight 0 has none.
func TestGaussianMixtureSamples(t *testing.T) {
	weights, logVariance := losses.NewArray([]float64{3, 0, 1}, 3), losses.NewArray([]float64{math.Log(0.25), 0, math.Log(4)}, 3, 1)
	x := sampled(t, &losses.GaussianMixture{Means: losses.NewArray([]float64{-4, 1e6, 4}, 3, 1), LogVariance: &logVariance, Weights: &weights}, many, 1)
	below, left := 0.0, []float64{}
	for _, v := range x {
		if v < 0 {
			below++
			left = append(left, v)
		}
	}
	if slices.Max(x) > 1e5 {
		t.Error("a sample of the Gaussian of weight 0")
	}
	p := 0.75 + 0.25*0.5*math.Erfc(2/math.Sqrt2)
	near(t, "share below 0", below/many, p, math.Sqrt(p*(1-p)), many)
	slices.Sort(left)
	near(t, "median on the left", stat.Quantile(0.5, stat.Empirical, left, nil), -4, 0.5*math.Sqrt(math.Pi/2)*1.1, len(left))
	plain := sampled(t, &losses.GaussianMixture{Means: losses.NewArray([]float64{-4, 1, 4, 1}, 2, 2)}, many, 2)
	near(t, "second moment of unit variances", stat.MomentAbout(2, plain, 0, nil), (16+1+1+1)/2., 12, 2*many)
}

func TestBadPriors(t *testing.T) {
	nan := math.NaN()
	array := func(shape []int, x ...float64) losses.Array { return losses.NewArray(x, shape...) }
	pointer := func(a losses.Array) *losses.Array { return &a }
	means := array([]int{2, 2}, 1, 2, 3, 4)
	for _, tt := range []struct {
		family losses.Family
		field  string
		reason string
	}{
		{losses.UniformCube{Lower: 1, Upper: 1}, `inputs["target"].prior.uniform_cube`, "from 1 to 1"},
		{losses.UniformCube{Lower: nan, Upper: 1}, `inputs["target"].prior.uniform_cube`, "NaN"},
		{losses.UniformCube{Lower: -1e308, Upper: 1e308}, `inputs["target"].prior.uniform_cube`, "finite"},
		{losses.UniformSphere{}, `inputs["target"].prior.uniform_sphere.radius`, "is 0"},
		{&losses.GaussianMixture{Means: array([]int{1, 1, 2}, 1, 2)}, `inputs["target"].prior.gaussian_mixture.means`, "[K,D]"},
		{&losses.GaussianMixture{Means: array([]int{1, 2}, 1, nan)}, `inputs["target"].prior.gaussian_mixture.means`, "NaN at [0,1]"},
		{&losses.GaussianMixture{Means: means, LogVariance: pointer(array([]int{2}, 1, 2))}, `inputs["target"].prior.gaussian_mixture.log_variance`, "[2 2]"},
		{&losses.GaussianMixture{Means: means, Weights: pointer(array([]int{2}, 0, 0))}, `inputs["target"].prior.gaussian_mixture.weights`, "sum to 0"},
		{&losses.GaussianMixture{Means: means, Weights: pointer(array([]int{3}, 1, 1, 1))}, `inputs["target"].prior.gaussian_mixture.weights`, "want 2"},
		{&losses.GaussianMixture{Means: array([]int{1, 3}, 1, 2, 3)}, "objective.terms[0].sinkhorn.target", "dimension 3, want 2"},
		{&losses.GaussianMixture{Means: means, LogVariance: pointer(array([]int{2, 2}, 1, 1, 1e4, 1e4))}, "objective.terms[0].sinkhorn.target", "overflow"},
	} {
		in := losses.Inputs{"source": measure(30, 2), "target": &losses.Prior{Family: tt.family}}
		_, err := losses.Objective{Terms: []losses.Term{term(1, divergence)}}.Bind(in, 0)
		bad, ok := err.(*losses.InputError)
		if !ok || bad.Field != tt.field || !strings.Contains(bad.Reason, tt.reason) {
			t.Errorf("%+v: %v, want %s: …%s…", tt.family, err, tt.field, tt.reason)
		}
	}
}

// A term draws what its name and the request's seed decide, and nothing that an input of the same name draws.
func TestTermsDrawByName(t *testing.T) {
	draw := func(s losses.Seed) uint64 { return s.Random().Uint64() }
	first := draw(losses.Seed{Request: 1, Term: "a"})
	if first != draw(losses.Seed{Request: 1, Term: "a"}) {
		t.Error("the same seed and term drew another number")
	}
	for _, other := range []losses.Seed{{Request: 2, Term: "a"}, {Request: 1, Term: "b"}} {
		if first == draw(other) {
			t.Errorf("%+v drew the same number", other)
		}
	}
}
