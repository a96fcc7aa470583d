package eval

import (
	"bytes"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
)

// everything is a command that uses every flag, and the request that it stands for.
func everything(f files) (Command, *kantorv1.EvaluateRequest) {
	x, y := f32([]int64{3, 2}, 0, 0, 1, 0.5, -0.5, 2), f32([]int64{2, 2}, 2, -1, 3, 0)
	a, b := f32([]int64{3}, 0.5, 0.25, 0.25), f32([]int64{2}, 0.75, 0.25)
	mean, logVariance := f64([]int64{2, 1}, 0.5, -1), f64([]int64{2, 1}, -1, 0.25)
	priorMean, priorLogVariance := f64([]int64{1, 1}, 0.25), f64([]int64{1, 1}, 0.5)
	command := Command{
		Source: f.npy("x", x), Target: f.npy("y", y), SourceWeights: f.npy("a", a), TargetWeights: f.npy("b", b),
		Mean: f.npy("m", mean), LogVariance: f.npy("v", logVariance), PriorMean: f.npy("pm", priorMean), PriorLogVariance: f.npy("pv", priorLogVariance),
		Input: []string{"cloud.points=" + f.npy("c", y), "noise=standard_normal:size=5"},
		Term: []string{
			"sinkhorn:blur=0.5,debias=none,cost=squared_euclidean,max_iterations=500",
			"sinkhorn:name=second,weight=0.5,source=cloud,target=noise,epsilon=1,tolerance=1e-4",
			"kl:weight=4",
		},
		Extras:    []string{"sinkhorn.potentials", "kl.per_dimension"},
		Seed:      7,
		Gradients: filepath.Join(f.dir, "gradients"),
	}
	measure := func(points, weights *kantorv1.Tensor) *kantorv1.Input {
		return &kantorv1.Input{Kind: &kantorv1.Input_Measure{Measure: &kantorv1.Measure{Points: points, Weights: weights}}}
	}
	gaussian := func(mean, logVariance *kantorv1.Tensor) *kantorv1.Input {
		spread := &kantorv1.Gaussian_LogVariance{LogVariance: logVariance}
		return &kantorv1.Input{Kind: &kantorv1.Input_Gaussian{Gaussian: &kantorv1.Gaussian{Mean: mean, Spread: spread}}}
	}
	normal := &kantorv1.Prior_StandardNormal{StandardNormal: &kantorv1.StandardNormal{}}
	return command, &kantorv1.EvaluateRequest{
		Objective: everyTerm(),
		Inputs: map[string]*kantorv1.Input{
			"source": measure(x, a), "target": measure(y, b), "cloud": measure(y, nil),
			"noise":     {Kind: &kantorv1.Input_Prior{Prior: &kantorv1.Prior{Family: normal, Size: 5}}},
			"posterior": gaussian(mean, logVariance), "prior": gaussian(priorMean, priorLogVariance),
		},
		Seed: 7,
	}
}

// everyTerm is the objective of everything.
func everyTerm() *kantorv1.Objective {
	return &kantorv1.Objective{
		Terms: []*kantorv1.Term{
			{Loss: &kantorv1.Term_Sinkhorn{Sinkhorn: &kantorv1.SinkhornDivergence{
				Temperature: &kantorv1.SinkhornDivergence_Blur{Blur: 0.5}, Debias: kantorv1.Debias_DEBIAS_NONE,
				Cost: kantorv1.Cost_COST_SQUARED_EUCLIDEAN, MaxIterations: 500,
			}}},
			{Name: "second", Weight: proto.Float64(0.5), Loss: &kantorv1.Term_Sinkhorn{Sinkhorn: &kantorv1.SinkhornDivergence{
				Source: "cloud", Target: "noise", Temperature: &kantorv1.SinkhornDivergence_Epsilon{Epsilon: 1},
				Stop: &kantorv1.SinkhornDivergence_Tolerance{Tolerance: 1e-4},
			}}},
			{Weight: proto.Float64(4), Loss: &kantorv1.Term_Kl{Kl: &kantorv1.GaussianKl{Prior: "prior"}}},
		},
		Gradients: []string{
			"cloud.points", "posterior.log_variance", "posterior.mean", "prior.log_variance", "prior.mean",
			"source.points", "source.weights", "target.points", "target.weights",
		},
		Extras: []string{"sinkhorn.potentials", "kl.per_dimension"},
	}
}

// Files and flags give, bit for bit, what the request that they stand for gives over a socket.
func TestFlagsAreTheRequest(t *testing.T) {
	command, request := everything(newFiles(t))
	assembled, _, err := command.request(nil)
	if err != nil || !proto.Equal(assembled, request) {
		t.Fatalf("the flags make %v, want %v (%v)", assembled, request, err)
	}
	client, _ := serve(t)
	unary, err := client.Evaluate(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := run(t, command)
	if err != nil {
		t.Fatal(err)
	}
	checkEval(t, text, command.Gradients, unary)
	names := []string{
		"cloud.points.npy", "log-variance.npy", "mean.npy", "prior-log-variance.npy", "prior-mean.npy",
		"source-weights.npy", "source.npy", "target-weights.npy", "target.npy",
	}
	written, err := os.ReadDir(command.Gradients)
	var got []string
	for _, entry := range written {
		got = append(got, entry.Name())
	}
	if !slices.Equal(got, names) {
		t.Errorf("wrote %v, want %v (%v)", got, names, err)
	}
}

// What a term has is printed, and what it has not is not there.
func TestPrintsOneObject(t *testing.T) {
	f := newFiles(t)
	point := func(x float64) string { return f.npy("p", f64([]int64{1, 1}, x)) }
	zero := f.npy("zero", f64([]int64{1, 1}, 0))
	text, err := run(t, Command{
		Source: zero, Target: point(3), Mean: zero, LogVariance: f.npy("wide", f64([]int64{1, 1}, 1000)),
		Term: []string{"sinkhorn:epsilon=0.5", "kl:weight=0"}, Extras: []string{"sinkhorn.potentials", "kl.per_dimension"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, `{"value":`) || strings.Count(text, "\n") != 1 {
		t.Errorf("got %q, want one line that begins with the value", text)
	}
	terms := printed(t, text)["terms"].([]any)
	sinkhorn, kl := terms[0].(map[string]any), terms[1].(map[string]any)
	delete(sinkhorn, "strategy") // a solver without a choice says nothing
	keys := []string{"converged", "epsilon", "extras", "iterations", "lower", "marginal_error", "name", "upper", "value"}
	if got := slices.Sorted(maps.Keys(sinkhorn)); !slices.Equal(got, keys) {
		t.Errorf("sinkhorn has %v, want %v", got, keys)
	}
	keys = []string{"extras", "name", "value", "warnings"}
	if got := slices.Sorted(maps.Keys(kl)); !slices.Equal(got, keys) || kl["value"] != "Infinity" {
		t.Errorf("kl has %v, want %v and the value Infinity: %v", got, keys, kl)
	}
	potentials := sinkhorn["extras"].(map[string]any)["potentials"].(map[string]any)
	keys = []string{"gauge", "source", "source_self", "target", "target_self"}
	if got := slices.Sorted(maps.Keys(potentials)); !slices.Equal(got, keys) || potentials["gauge"] != "equal_means" {
		t.Errorf("potentials %v, want %v", potentials, keys)
	}
}

// A ragged batch of files is the request that it stands for; numbers are arrays, and gradients have the shape of their inputs.
func TestFlagsOfABatch(t *testing.T) {
	f := newFiles(t)
	x, y := f64([]int64{2, 2, 1}, 0, 1, 2, math.NaN()), f64([]int64{2, 1}, 3, 4)
	command := Command{
		Source: f.npy("x", x), SourceSizes: f.integers("sizes", "2,", 2, 1), Target: f.npy("y", y), Input: []string{"other.sizes=" + f.integers("both", "2,", 1, 1)},
		Term: []string{"sinkhorn", "kantorovich:source=other"}, Gradients: filepath.Join(f.dir, "gradients"),
	}
	command.Input = append(command.Input, "other.points="+f.npy("z", x))
	request, _, err := command.request(nil)
	if err != nil || !slices.Equal(request.GetInputs()["source"].GetMeasure().GetSizes(), []int64{2, 1}) ||
		!slices.Equal(request.GetInputs()["other"].GetMeasure().GetSizes(), []int64{1, 1}) {
		t.Fatalf("the flags make %v, %v, want the sizes", request, err)
	}
	text, err := run(t, command)
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range printed(t, text)["terms"].([]any) {
		for _, key := range []string{"value", "lower", "upper", "converged", "iterations", "marginal_error", "epsilon"} {
			if key == "epsilon" && i == 1 {
				continue // so few points are transported exactly
			}
			if values, ok := one.(map[string]any)[key].([]any); !ok || len(values) != 2 {
				t.Errorf("%s is %v, want an array of 2", key, one.(map[string]any)[key])
			}
		}
	}
	gradient, err := readTensor(filepath.Join(command.Gradients, "source.npy"))
	if err != nil || !slices.Equal(gradient.GetShape(), []int64{2, 2, 1}) {
		t.Errorf("gradient %v, %v, want that of [2,2,1]", gradient, err)
	}
}

// A batch is arrays, with null where a problem has not what another has.
func TestPrintsArraysForABatch(t *testing.T) {
	var out bytes.Buffer
	err := print(&out, &kantorv1.EvaluateResponse{Value: 3, Terms: []*kantorv1.TermResult{{Name: "x", Outcomes: []*kantorv1.Outcome{
		{Value: 1, Interval: &kantorv1.Interval{Lower: 0.5, Upper: 1.5}},
		{Value: 2, Solve: &kantorv1.Solve{Converged: true, Iterations: 7, Strategy: "float64, recomputed"}},
	}}}})
	want := `{"value":3,"terms":[{"name":"x","value":[1,2],"lower":[0.5,null],"upper":[1.5,null],` +
		`"converged":[null,true],"iterations":[null,7],"marginal_error":[null,0],"strategy":[null,"float64, recomputed"]}]}`
	if err != nil || strings.TrimSpace(out.String()) != want {
		t.Errorf("got %s, %v, want %s", out.String(), err, want)
	}
}

func TestNested(t *testing.T) {
	var out bytes.Buffer
	extra := &kantorv1.Extra{Kind: &kantorv1.Extra_Tensor{Tensor: f32([]int64{2, 3}, 1, 2, 3, 4, 5, 6)}}
	err := print(&out, &kantorv1.EvaluateResponse{Terms: []*kantorv1.TermResult{{Extras: map[string]*kantorv1.Extra{"e": extra}}}})
	if err != nil || !strings.Contains(out.String(), `"extras":{"e":[[1,2,3],[4,5,6]]}`) {
		t.Errorf("got %s, %v", out.String(), err)
	}
}

func TestRequestFromStandardInput(t *testing.T) {
	request := &kantorv1.EvaluateRequest{
		Objective: &kantorv1.Objective{Terms: []*kantorv1.Term{{Loss: &kantorv1.Term_Kl{Kl: &kantorv1.GaussianKl{Posterior: "q"}}}}},
		Inputs: map[string]*kantorv1.Input{"q": {Kind: &kantorv1.Input_Gaussian{Gaussian: &kantorv1.Gaussian{
			Mean: f64([]int64{1, 1}, 3), Spread: &kantorv1.Gaussian_LogVariance{LogVariance: f64([]int64{1, 1}, 0)},
		}}}},
	}
	text, err := protojson.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var out bytes.Buffer
	if err := Run(t.Context(), version, Command{Request: "-", Gradients: dir}, bytes.NewReader(text), &out); err != nil {
		t.Fatal(err)
	}
	if printed(t, out.String())["value"] != 4.5 {
		t.Errorf("got %s, want ½·3²", out.String())
	}
	// The request asks for no gradients, so it is every tensor's.
	mean, err := readTensor(filepath.Join(dir, "q.mean.npy"))
	if err != nil || !proto.Equal(mean, f64([]int64{1, 1}, 3)) {
		t.Errorf("gradient %v, %v, want 3", mean, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "q.log_variance.npy")); err != nil {
		t.Error(err)
	}
}

// FuzzParseTerm wants of any text a term or an error.
func FuzzParseTerm(f *testing.F) {
	for _, text := range []string{"kl", "sinkhorn:blur=0.5,debias=self", "sinkhorn:cost=euclidean,weight=-1", "kantorovich:gap=1,method=exact", "kl:,", ":", "kl:loss=1",
		"transport:p=1.5,time=0", "sliced:aggregate=max,directions=3", "mmd:closed_form=true,kernel=imq", "cone_critic:steps=0,state=s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if term, err := ParseTerm(text); err == nil && term.GetLoss() == nil {
			t.Errorf("%q became a term without a loss", text)
		}
	})
}

// FuzzParseInput wants of any kind with settings an input or an error.
func FuzzParseInput(f *testing.F) {
	for _, text := range []string{"standard_normal", "uniform_cube:lower=-1,upper=1,size=64", "uniform_sphere:radius=x", "cone_critic:step=3", "measure:", ":", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		inputs, _, err := Command{Input: []string{"x=" + text}}.inputs(nil)
		if err == nil && inputs["x"].GetKind() == nil {
			t.Errorf("%q became an input of no kind", text)
		}
	})
}
