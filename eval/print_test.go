package eval

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
)

// Extras of every kind are printed by the names that the contract gives their parts; what one has not is left out.
func TestPrintsExtrasOfEveryKind(t *testing.T) {
	two := f64([]int64{2}, 0.25, 0.75)
	points := f64([]int64{1, 2, 1}, 5, 6)
	for want, extra := range map[string]*kantorv1.Extra{
		`[0.25,0.75]`: {Kind: &kantorv1.Extra_Tensor{Tensor: two}},
		`{"gauge":"zero_target_mean","source":[0.25,0.75]}`: {Kind: &kantorv1.Extra_Potentials{
			Potentials: &kantorv1.Potentials{Gauge: kantorv1.Gauge_GAUGE_ZERO_TARGET_MEAN, Source: two}}},
		`{"mass":[0.25,0.75],"source":[0,3],"target":[1,0]}`: {Kind: &kantorv1.Extra_Plan{
			Plan: &kantorv1.Plan{Source: []int32{0, 3}, Target: []int32{1, 0}, Mass: two}}},
		`{"mass":[0.25,0.75],"sizes":[1,1],"source":[0,3],"target":[1,0]}`: {Kind: &kantorv1.Extra_Plan{
			Plan: &kantorv1.Plan{Source: []int32{0, 3}, Target: []int32{1, 0}, Mass: two, Sizes: []int64{1, 1}}}},
		`{"points":[[[5],[6]]],"sizes":[2],"weights":[[0.25,0.75]]}`: {Kind: &kantorv1.Extra_Measure{
			Measure: &kantorv1.Measure{Points: points, Weights: f64([]int64{1, 2}, 0.25, 0.75), Sizes: []int64{2}}}},
		`{"averages":[0,0],"height_moments":[[[0],[0]],[[0],[0]]],"heights":[[0],[0]],"step":0,"tip_moments":[[[[0]],[[0]]],[[[0]],[[0]]]],"tips":[[[0]],[[0]]]}`: {
			Kind: &kantorv1.Extra_ConeCritic{ConeCritic: learnt(0)}},
	} {
		var out bytes.Buffer
		err := print(&out, &kantorv1.EvaluateResponse{Terms: []*kantorv1.TermResult{{Extras: map[string]*kantorv1.Extra{"e": extra}}}})
		if err != nil || !strings.Contains(out.String(), `"extras":{"e":`+want+`}`) {
			t.Errorf("got %s, %v, want %s", out.String(), err, want)
		}
	}
}

func TestPrintsWhatAValueIsANumberOf(t *testing.T) {
	var out bytes.Buffer
	err := print(&out, &kantorv1.EvaluateResponse{Terms: []*kantorv1.TermResult{
		{Name: "a", Outcomes: []*kantorv1.Outcome{{Value: 1, Estimand: kantorv1.Estimand_ESTIMAND_POPULATION_LOWER_BOUND, StandardError: proto.Float64(0.25)}}},
		{Name: "b", Outcomes: []*kantorv1.Outcome{{Estimand: kantorv1.Estimand_ESTIMAND_EMPIRICAL}, {StandardError: proto.Float64(0)}}},
		{Name: "c", Outcomes: []*kantorv1.Outcome{{}}},
	}})
	want := `{"value":0,"terms":[{"name":"a","value":1,"estimand":"population_lower_bound","standard_error":0.25},` +
		`{"name":"b","value":[0,0],"estimand":["empirical",null],"standard_error":[null,0]},{"name":"c","value":0}]}`
	if err != nil || strings.TrimSpace(out.String()) != want {
		t.Errorf("got %s, %v, want %s", out.String(), err, want)
	}
}

// The gradients of a term's own value are in a folder of its name, of the tensors that it uses, and unweighted; the total's are where they always are.
func TestGradientsPerTermAreWritten(t *testing.T) {
	f := newFiles(t)
	dir := filepath.Join(f.dir, "gradients")
	one := func(name string, v float64) string { return f.npy(name, f64([]int64{1, 1}, v)) }
	_, err := run(t, Command{
		Mean: one("mean", 3), LogVariance: one("variance", 0), Term: []string{"kl:weight=2", "kl:name=other,posterior=q"}, Gradients: dir, GradientsPerTerm: true,
		Input: []string{"q.mean=" + one("q", 5), "q.log_variance=" + one("qv", 0)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]float64{"mean": 6, "q.mean": 5, "kl/mean": 3, "other/q.mean": 5, "kl/log-variance": 0} {
		if got, err := readTensor(filepath.Join(dir, file+".npy")); err != nil || !proto.Equal(got, f64([]int64{1, 1}, want)) {
			t.Errorf("%s: got %v, %v, want %v", file, got, err, want)
		}
	}
	var names []string
	for _, folder := range []string{"kl", "other"} {
		found, _ := filepath.Glob(filepath.Join(dir, folder, "*"))
		for _, path := range found {
			names = append(names, folder+"/"+filepath.Base(path))
		}
	}
	if want := []string{"kl/log-variance.npy", "kl/mean.npy", "other/q.log_variance.npy", "other/q.mean.npy"}; !slices.Equal(names, want) {
		t.Errorf("wrote %v, want %v", names, want)
	}
}
