package eval

import (
	"errors"
	"strings"
	"testing"

	"kantor/losses"
)

// mistake is a command that is wrong, and a part of what is said about it.
type mistake struct {
	command Command
	want    string
}

func mistakesOfInputs(f files) map[string]mistake {
	one, two := f.npy("one", f64([]int64{1, 1}, 0)), f.npy("two", f64([]int64{2, 1}, 0, 1))
	sizes, square, none := f.integers("sizes", "1,", 1), f.integers("square", "1, 1", 1), f.integers("none", "0,")
	noNpy := f.raw("text.npy", []byte("text"))
	with := func(edit func(*Command)) Command {
		c := Command{Source: one, Target: one, Term: []string{"sinkhorn"}}
		edit(&c)
		return c
	}
	input := func(entries ...string) Command { return with(func(c *Command) { c.Input = entries }) }
	return map[string]mistake{
		"no file":         {with(func(c *Command) { c.Source = "nowhere.npy" }), "--source: stat nowhere.npy"},
		"no npy":          {with(func(c *Command) { c.Target = noNpy }), "--target: " + noNpy + " is no .npy file"},
		"rank":            {with(func(c *Command) { c.Source = f.npy("rank", f64([]int64{1}, 0)) }), "--source: has shape [1]"},
		"rank 4":          {with(func(c *Command) { c.Source = f.npy("rank4", f64([]int64{1, 1, 1, 1}, 0)) }), "--source: has shape [1 1 1 1]"},
		"weights":         {with(func(c *Command) { c.SourceWeights = f.npy("w", f64([]int64{2}, 1, 1)) }), "--source-weights: has 2 weights"},
		"sizes":           {with(func(c *Command) { c.SourceSizes = sizes }), "--source-sizes: are given, but the points of shape [1 1] are no batch"},
		"sizes dtype":     {with(func(c *Command) { c.TargetSizes = one }), `--target-sizes: ` + one + ` has dtype "<f8", want "<i8" (int64)`},
		"sizes shape":     {with(func(c *Command) { c.SourceSizes = square }), "has shape [1 1] and 8 bytes of data"},
		"no sizes":        {with(func(c *Command) { c.SourceSizes = none }), "has shape [0] and 0 bytes of data"},
		"weights only":    {Command{SourceWeights: f.npy("w1", f64([]int64{1}, 1)), Term: []string{"sinkhorn"}}, "--source: is absent"},
		"half a gaussian": {Command{Mean: one, Term: []string{"kl"}}, "--log-variance: is absent"},
		"gaussian shapes": {Command{Mean: one, LogVariance: two, Term: []string{"kl"}}, "--log-variance: has shape [2 1]"},
		"unused":          {with(func(c *Command) { c.Mean, c.LogVariance = one, one }), "--mean: is used by no term"},
		"unused other":    {input("spare.points=" + one), "--input spare.points: is used by no term"},
		"input form":      {input("source"), `--input: is "source", want NAME.FIELD=FILE`},
		"input field":     {input("source.mass=" + one), `--input source.mass: "mass" is no array of an input, want one of ["points" "weights" "sizes" "mean" "log_variance" "covariance" "means" "tips" `},
		"input twice":     {input("source.points=" + one), "--input source.points: is given by --source too"},
		"input kinds":     {input("source.mean=" + one), "--input source.mean: is part of a gaussian, but --source makes the input a measure"},
		"prior twice":     {input("source=standard_normal"), "--input source: is a standard_normal, but --source makes the input a measure"},
		"prior family":    {input("noise=cauchy"), `--input noise: is "cauchy"`},
		"prior field":     {input("noise=standard_normal:scale=2"), `--input noise: "scale" is no field, want one of ["size"]`},
		"prior size":      {Command{Source: one, Input: []string{"target=standard_normal:size=-1"}, Term: []string{"sinkhorn"}}, "--input target (prior.size): is -1"},
		"input name":      {Command{Input: []string{"Q.mean=" + one, "Q.log_variance=" + one}, Term: []string{"kl:posterior=Q"}}, "--input Q.mean: is no name"},
	}
}

func mistakesOfKinds(f files) map[string]mistake {
	one, two := f.npy("one", f64([]int64{1, 1}, 0)), f.npy("two", f64([]int64{2, 1}, 0, 1))
	prior := func(entries ...string) Command {
		return Command{Source: one, Input: entries, Term: []string{"sinkhorn"}}
	}
	kl := func(edit func(*Command)) Command {
		c := Command{Mean: one, Term: []string{"kl"}}
		edit(&c)
		return c
	}
	critic := func(entries ...string) Command {
		return Command{Source: one, Target: one, Input: entries, Term: []string{"cone_critic:state=critic"}}
	}
	return map[string]mistake{
		"both spreads": {kl(func(c *Command) { c.LogVariance, c.Covariance = one, one }), "--covariance: log_variance and covariance are both given"},
		"covariance":   {kl(func(c *Command) { c.Covariance = one }), "--covariance: has shape [1 1], want [1 1 1]"},
		"prior covariance": {kl(func(c *Command) { c.LogVariance, c.PriorMean, c.PriorCovariance = one, one, one }),
			"--prior-covariance: has shape [1 1], want [1 1 1]"},
		"upside down":        {prior("target=uniform_cube:lower=2"), "--input target (prior.uniform_cube): is from 2 to 1"},
		"no word":            {prior("target=uniform_cube:lower=low"), `--input target: lower is "low", want a number`},
		"radius":             {prior("target=uniform_sphere:radius=0"), "--input target (prior.uniform_sphere.radius): is 0"},
		"other family":       {prior("target=uniform_sphere:lower=0"), `--input target: "lower" is no field, want one of ["radius" "size"]`},
		"prior given twice":  {prior("target=uniform_cube", "target=uniform_cube"), "--input target: is given by --input target too"},
		"two families":       {prior("target=uniform_cube", "target.means="+two), "is part of a gaussian_mixture, but --input target makes the input a uniform_cube"},
		"mixture of nothing": {prior("target=gaussian_mixture:size=3"), "--input target.means: is absent"},
		"mixture shapes":     {prior("target.means="+two, "target.log_variance="+one), "--input target.log_variance: has shape [1 1]"},
		"mixture weights":    {prior("target.weights="+two, "target.means="+two), "--input target.weights: has shape [2 1]"},
		"mixture dimension":  {prior("target.means=" + f.npy("wide", f64([]int64{1, 2}, 0, 0))), "--term 1 (sinkhorn.target)"},
		"empty field":        {prior("target.=" + one), `--input: is "target.=`},
		"part of a state":    {critic("critic.tips="+f.npy("tips", f64([]int64{2, 1, 1}, 0, 0)), "critic=cone_critic:step=3"), "--input critic.heights: is absent"},
		"step":               {critic("critic=cone_critic:step=-1"), "--input critic (step): is -1"},
		"alone":              {Command{Source: one, Target: one, Term: []string{"sinkhorn"}, GradientsPerTerm: true}, "--gradients-per-term: is given alone"},
		"state of nothing":   {Command{Source: one, Target: one, Term: []string{"sinkhorn"}, State: "s.json"}, "--state: is for cone_critic terms"},
	}
}

func mistakesOfTerms(f files) map[string]mistake {
	one := f.npy("one", f64([]int64{1, 1}, 0))
	term := func(text string) Command {
		return Command{Source: one, Target: one, Term: []string{"sinkhorn:name=ok", text}}
	}
	return map[string]mistake{
		"no terms":     {Command{Source: one}, "--term: has 0 terms"},
		"not given":    {Command{Source: one, Term: []string{"sinkhorn"}}, "--term 1 (sinkhorn.target): there is no input"},
		"no loss":      {term("wasserstein"), `--term 2: "wasserstein" is no loss, want one of ["sinkhorn" "kantorovich" "kl" "transport" "sliced" `},
		"no field":     {term("sinkhorn:breadth=1"), `--term 2: "breadth" is no field, want one of ["name" "weight" "source" "target" "cost" "blur" `},
		"no value":     {term("sinkhorn:blur"), `--term 2: "blur" is no setting`},
		"no number":    {term("sinkhorn:blur=wide"), `--term 2: blur is "wide", want a number`},
		"no integer":   {term("sinkhorn:max_iterations=1e3"), `--term 2: max_iterations is "1e3", want an integer`},
		"no enum":      {term("sinkhorn:cost=manhattan"), `want one of ["half_squared_euclidean" "squared_euclidean" "euclidean"]`},
		"unspecified":  {term("sinkhorn:debias=unspecified"), `want one of ["none" "self" "split"]`},
		"no truth":     {term("mmd:closed_form=maybe"), `--term 2: closed_form is "maybe", want true or false`},
		"no kernel":    {term("mmd:kernel=rbf"), `kernel is "rbf", want one of ["energy" "gaussian" "laplacian" "imq"]`},
		"no statistic": {term("stein:statistic=U"), `statistic is "U", want one of ["u" "v"]`},
		"no method":    {term("kantorovich:method=dual"), `method is "dual", want one of ["auto" "exact" "entropic"]`},
		"no aggregate": {term("sliced:aggregate=sum"), `aggregate is "sum", want one of ["mean" "max"]`},
		"no power":     {term("sliced:p=3"), "--term 2 (sliced.p): is 3"},
		"low power":    {term("transport:p=0.5"), "--term 2 (transport.p): is 0.5"},
		"late":         {term("transport:time=2"), "--term 2 (transport.time): is 2"},
		"self":         {term("transport:debias=self"), "--term 2 (transport.debias): is self"},
		"half fresh":   {term("kantorovich:fresh_source=source"), "--term 2 (kantorovich.fresh_target"},
		"no prior":     {term("mmd:closed_form=true"), `--term 2 (mmd.target): input "target" is no prior`},
		"few points":   {term("bures:posterior=source"), `--term 2 (bures.posterior): input "source" has 1 points`},
		"few cones":    {term("cone_critic:cones=-1"), "--term 2 (cone_critic.cones): is -1"},
		"no state":     {term("cone_critic:state=target"), `--term 2 (cone_critic.state): input "target" is no state`},
		"both grounds": {term("transport:cost=euclidean,p=1"), "--term 2: cost and p are both given, want one of them"},
		"both":         {term("sinkhorn:blur=1,epsilon=1"), "--term 2: blur and epsilon are both given, want one of them"},
		"twice":        {term("sinkhorn:blur=1,blur=1"), "--term 2: blur is given twice"},
		"not positive": {term("sinkhorn:epsilon=0"), "--term 2 (sinkhorn.epsilon): is 0"},
		"not a weight": {term("sinkhorn:weight=inf"), "--term 2 (weight): is +Inf"},
		"same name":    {term("sinkhorn:name=ok"), `--term 2 (name): "ok" is the name of an earlier term`},
		"extra":        {Command{Source: one, Target: one, Term: []string{"sinkhorn"}, Extras: []string{"sinkhorn.plan"}}, `--extras: is "sinkhorn.plan"`},
	}
}

func mistakesOfRequests(f files) map[string]mistake {
	notJSON, newer := f.raw("not.json", []byte("{")), f.raw("newer.json", []byte(`{"objective": {"breadth": 1}}`))
	wrong := f.raw("wrong.json", []byte(`{"objective": {"terms": [{"kl": {}}]}}`))
	return map[string]mistake{
		"request missing": {Command{Request: "nowhere.json"}, "--request: open nowhere.json"},
		"request syntax":  {Command{Request: notJSON}, "--request: "},
		"request newer":   {Command{Request: newer}, `unknown field "breadth"`},
		"request wrong":   {Command{Request: wrong}, "objective.terms[0].kl.posterior: there is no input"},
		"request more":    {Command{Request: wrong, Source: "x.npy"}, "--request: is the whole request"},
		"request state":   {Command{Request: wrong, State: "s.json"}, "--request: is the whole request"},
		"request seed":    {Command{Request: wrong, Seed: 1}, "--request: is the whole request"},
	}
}

// Every mistake is one sentence that begins with the flag or, in a request, with the path.
func TestMistakesNameTheFlag(t *testing.T) {
	f := newFiles(t)
	for _, mistakes := range []map[string]mistake{mistakesOfInputs(f), mistakesOfKinds(f), mistakesOfTerms(f), mistakesOfRequests(f)} {
		for name, c := range mistakes {
			t.Run(name, func(t *testing.T) {
				out, err := run(t, c.command)
				var bad *losses.InputError
				if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || out != "" {
					t.Errorf("got %q, %v, want %q", out, err, c.want)
				}
			})
		}
	}
}
