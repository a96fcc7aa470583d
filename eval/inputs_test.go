package eval

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
)

func gaussian(mean, logVariance, covariance *kantorv1.Tensor) *kantorv1.Input {
	g := &kantorv1.Gaussian{Mean: mean}
	if logVariance != nil {
		g.Spread = &kantorv1.Gaussian_LogVariance{LogVariance: logVariance}
	}
	if covariance != nil {
		g.Spread = &kantorv1.Gaussian_Covariance{Covariance: covariance}
	}
	return &kantorv1.Input{Kind: &kantorv1.Input_Gaussian{Gaussian: g}}
}

func mixture(size int64, m *kantorv1.GaussianMixture) *kantorv1.Input {
	return &kantorv1.Input{Kind: &kantorv1.Input_Prior{Prior: &kantorv1.Prior{Family: &kantorv1.Prior_GaussianMixture{GaussianMixture: m}, Size: size}}}
}

// Every kind of input can be given, its parts in any order; what two kinds have is the first kind's, until a part says otherwise.
func TestFlagsOfInputs(t *testing.T) {
	f := newFiles(t)
	tensor := f64([]int64{2, 1}, 3, 4)
	file := f.npy("tensor", tensor)
	cube := &kantorv1.Prior{Size: 64, Family: &kantorv1.Prior_UniformCube{UniformCube: &kantorv1.UniformCube{Lower: proto.Float64(-2), Upper: proto.Float64(0)}}}
	sphere := &kantorv1.Prior{Family: &kantorv1.Prior_UniformSphere{UniformSphere: &kantorv1.UniformSphere{Radius: proto.Float64(2)}}}
	critic := &kantorv1.ConeCriticState{Tips: tensor, Heights: tensor, TipMoments: tensor, HeightMoments: tensor, Averages: tensor, Step: 12}
	for name, test := range map[string]struct {
		command Command
		want    *kantorv1.Input
	}{
		"posterior": {Command{Covariance: file, Mean: file}, gaussian(tensor, nil, tensor)},
		"prior":     {Command{PriorMean: file, PriorCovariance: file}, gaussian(tensor, nil, tensor)},
		"g":         {Command{Input: []string{"g.log_variance=" + file}}, gaussian(nil, tensor, nil)},
		"w":         {Command{Input: []string{"w.weights=" + file}}, &kantorv1.Input{Kind: &kantorv1.Input_Measure{Measure: &kantorv1.Measure{Weights: tensor}}}},
		"cube":      {Command{Input: []string{"cube=uniform_cube:lower=-2,upper=0,size=64"}}, &kantorv1.Input{Kind: &kantorv1.Input_Prior{Prior: cube}}},
		"sphere":    {Command{Input: []string{"sphere=uniform_sphere:radius=2"}}, &kantorv1.Input{Kind: &kantorv1.Input_Prior{Prior: sphere}}},
		"mix": {Command{Input: []string{"mix.log_variance=" + file, "mix.weights=" + file, "mix.means=" + file}},
			mixture(0, &kantorv1.GaussianMixture{Means: tensor, LogVariance: tensor, Weights: tensor})},
		"named": {Command{Input: []string{"named=gaussian_mixture:size=9", "named.weights=" + file}}, mixture(9, &kantorv1.GaussianMixture{Weights: tensor})},
		"critic": {Command{Input: []string{"critic.tips=" + file, "critic.heights=" + file, "critic=cone_critic:step=12", "critic.tip_moments=" + file,
			"critic.height_moments=" + file, "critic.averages=" + file}}, &kantorv1.Input{Kind: &kantorv1.Input_ConeCritic{ConeCritic: critic}}},
	} {
		inputs, _, err := test.command.inputs(nil)
		if err != nil || len(inputs) != 1 || !proto.Equal(inputs[name], test.want) {
			t.Errorf("%s: got %v, %v, want %v", name, inputs, err, test.want)
		}
	}
}

// Logits are of classes, unless a term or a flag says that they are of bits; a concentration makes means directions.
func TestKindsThatTermsTell(t *testing.T) {
	f := newFiles(t)
	one, two := f64([]int64{1, 2}, 0.25, 0.75), f64([]int64{1, 2}, 0.5, 0.5)
	x, y := f.npy("x", one), f.npy("y", two)
	classes := func(logits *kantorv1.Tensor) *kantorv1.Input {
		return &kantorv1.Input{Kind: &kantorv1.Input_Categorical{Categorical: &kantorv1.Categorical{Parameter: &kantorv1.Categorical_Logits{Logits: logits}}}}
	}
	bits := func(b *kantorv1.Bernoulli) *kantorv1.Input {
		return &kantorv1.Input{Kind: &kantorv1.Input_Bernoulli{Bernoulli: b}}
	}
	logits := func(t *kantorv1.Tensor) *kantorv1.Bernoulli {
		return &kantorv1.Bernoulli{Parameter: &kantorv1.Bernoulli_Logits{Logits: t}}
	}
	probabilities := &kantorv1.Bernoulli{Parameter: &kantorv1.Bernoulli_Probabilities{Probabilities: two}}
	sphere := &kantorv1.Input{Kind: &kantorv1.Input_VonMisesFisher{VonMisesFisher: &kantorv1.VonMisesFisher{Mean: one, Concentration: two}}}
	for name, test := range map[string]struct {
		command Command
		inputs  map[string]*kantorv1.Input
		prior   string // of the term
	}{
		"classes":      {Command{Logits: x, PriorLogits: y, Term: []string{"categorical_kl"}}, map[string]*kantorv1.Input{"posterior": classes(one), "prior": classes(two)}, "prior"},
		"one of them":  {Command{Logits: x, Term: []string{"categorical_kl"}}, map[string]*kantorv1.Input{"posterior": classes(one)}, ""},
		"bits":         {Command{Logits: x, PriorProbabilities: y, Term: []string{"bernoulli_kl"}}, map[string]*kantorv1.Input{"posterior": bits(logits(one)), "prior": bits(probabilities)}, "prior"},
		"bits by name": {Command{Input: []string{"q.logits=" + x}, Term: []string{"bernoulli_kl:posterior=q"}}, map[string]*kantorv1.Input{"q": bits(logits(one))}, ""},
		"bits by flag": {Command{Input: []string{"source.logits=" + x, "source=bernoulli", "target=bernoulli", "target.probabilities=" + y}, Term: []string{"jensen_shannon"}},
			map[string]*kantorv1.Input{"source": bits(logits(one)), "target": bits(probabilities)}, ""},
		"directions": {Command{Mean: x, Concentration: y, Term: []string{"von_mises_fisher_kl"}}, map[string]*kantorv1.Input{"posterior": sphere}, ""},
	} {
		request, _, err := test.command.request(nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(request.GetInputs()) != len(test.inputs) {
			t.Errorf("%s: got the inputs %v", name, request.GetInputs())
		}
		for input, want := range test.inputs {
			if got := request.GetInputs()[input]; !proto.Equal(got, want) {
				t.Errorf("%s: %s is %v, want %v", name, input, got, want)
			}
		}
		term := request.GetObjective().GetTerms()[0]
		if got := term.GetCategoricalKl().GetPrior() + term.GetBernoulliKl().GetPrior(); got != test.prior {
			t.Errorf("%s: the prior is %q, want %q", name, got, test.prior)
		}
	}
}

// The whole way of the short flags: values, and gradients in files of the flags' names.
func TestShortFlagsOfTheFamily(t *testing.T) {
	f := newFiles(t)
	file := func(name string, shape []int64, values ...float64) string { return f.npy(name, f64(shape, values...)) }
	zeros, half := file("zeros", []int64{1, 2}, 0, 0), math.Log(0.5)
	for name, test := range map[string]struct {
		command Command
		want    float64
		files   []string
	}{
		"covariances": {Command{Mean: file("m", []int64{1, 2}, 1, 0), Covariance: file("c", []int64{1, 2, 2}, 1, 0, 0, 1), PriorMean: zeros,
			PriorCovariance: file("pc", []int64{1, 2, 2}, 1, 0, 0, 1), Term: []string{"kl"}}, 0.5, []string{"covariance", "mean", "prior-covariance", "prior-mean"}},
		"classes": {Command{Probabilities: file("p", []int64{1, 2}, 1, 0), PriorLogits: zeros, Term: []string{"categorical_kl"}}, -half, []string{"prior-logits", "probabilities"}},
		"bits": {Command{Probabilities: file("b", []int64{1, 2}, 1, 0), PriorProbabilities: file("pb", []int64{1, 2}, 0.5, 0.5), Term: []string{"bernoulli_kl"}}, -2 * half,
			[]string{"prior-probabilities", "probabilities"}},
		"directions": {Command{Mean: file("u", []int64{1, 3}, 1, 0, 0), Concentration: file("k", []int64{1}, 500), Term: []string{"von_mises_fisher_kl"}}, math.Log(1000) - 1,
			[]string{"concentration", "mean"}},
	} {
		test.command.Gradients = filepath.Join(f.dir, name)
		text, err := run(t, test.command)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := printed(t, text)["value"].(float64); math.Abs(got-test.want) > 1e-13 {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
		for _, file := range test.files {
			if _, err := readTensor(filepath.Join(f.dir, name, file+".npy")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// --input NAME=KIND and --list NAME would not know which is meant.
func TestKindsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range kinds() {
		if seen[k.name()] {
			t.Errorf("two kinds of input are called %s", k.name())
		}
		seen[k.name()] = true
	}
}

// A term that names no prior uses the input "prior", of a kind that it takes; gradients are those of what is sent.
func TestInputsThatAreMeantByDefault(t *testing.T) {
	f := newFiles(t)
	file := f.npy("one", f64([]int64{1, 1}, 0))
	parsed := func(edit func(*Command), terms ...string) *kantorv1.EvaluateRequest {
		t.Helper()
		c := Command{Mean: file, LogVariance: file, Term: terms, Gradients: f.dir}
		edit(&c)
		request, _, err := c.request(nil)
		if err != nil {
			t.Fatal(err)
		}
		return request
	}
	gaussian := func(c *Command) { c.PriorMean, c.PriorLogVariance = file, file }
	measure := func(c *Command) { c.Input = []string{"prior.points=" + file} }
	sampled := func(c *Command) { c.Input = []string{"prior=gaussian_mixture", "prior.means=" + file} }
	for name, test := range map[string]struct {
		prior     func(*Command)
		kl, bures string
		gradients []string
	}{
		"gaussian": {gaussian, "prior", "prior", []string{"posterior.log_variance", "posterior.mean", "prior.log_variance", "prior.mean"}},
		"measure":  {measure, "", "prior", []string{"posterior.log_variance", "posterior.mean", "prior.points"}},
		"sampled":  {sampled, "", "", []string{"posterior.log_variance", "posterior.mean"}},
	} {
		request := parsed(test.prior, "kl", "bures", "kl:name=a,prior=other", "bures:name=b,prior=other")
		terms := request.GetObjective().GetTerms()
		if terms[0].GetKl().GetPrior() != test.kl || terms[1].GetBures().GetPrior() != test.bures {
			t.Errorf("%s: kl uses %q and bures %q, want %q and %q", name, terms[0].GetKl().GetPrior(), terms[1].GetBures().GetPrior(), test.kl, test.bures)
		}
		if terms[2].GetKl().GetPrior() != "other" || terms[3].GetBures().GetPrior() != "other" {
			t.Errorf("%s: a prior that is named was replaced", name)
		}
		if !slices.Equal(request.GetObjective().GetGradients(), test.gradients) {
			t.Errorf("%s: gradients %v, want %v", name, request.GetObjective().GetGradients(), test.gradients)
		}
	}
}
