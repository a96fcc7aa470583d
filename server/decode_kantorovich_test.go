package server

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses/kantorovich"
)

func transportTerm(t *kantorv1.Transport) *kantorv1.Term {
	return &kantorv1.Term{Loss: &kantorv1.Term_Transport{Transport: t}}
}

// Every parameter arrives, and a schedule can set the numbers; the power and the cost exclude each other.
func TestTransportParameters(t *testing.T) {
	sent := &kantorv1.Transport{Source: "a", Target: "b", Ground: &kantorv1.Transport_P{P: 3}, Debias: kantorv1.Debias_DEBIAS_SPLIT, SecondSource: "c",
		SecondTarget: "d"}
	given, err := override(objective(transportTerm(sent)), map[string]float64{"transport.time": 0.25, "transport.p": 1.5})
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeObjective(given)
	if err != nil {
		t.Fatal(err)
	}
	loss := got.Terms[0].Loss.(kantorovich.Transport)
	if loss.Source != "a" || loss.Target != "b" || *loss.P != 1.5 || *loss.Time != 0.25 || !loss.Split || loss.SecondSource != "c" || loss.SecondTarget != "d" {
		t.Errorf("got %+v of %v", loss, sent)
	}
	squared := transportTerm(&kantorv1.Transport{Ground: &kantorv1.Transport_Cost{Cost: kantorv1.Cost_COST_SQUARED_EUCLIDEAN}})
	if _, err := override(objective(squared), map[string]float64{"transport.p": 1}); err == nil || !strings.Contains(err.Error(), "sets cost, which excludes p") {
		t.Errorf("got %v, want the cost to exclude the power", err)
	}
}

func TestDualParameters(t *testing.T) {
	dual := &kantorv1.KantorovichDual{Source: "a", Target: "b", Gap: proto.Float64(0.5), MaxIterations: 7, Method: kantorv1.Method_METHOD_ENTROPIC, FreshSource: "c",
		FreshTarget: "d", At: "e"}
	loss, err := decodeLoss("", &kantorv1.Term{Loss: &kantorv1.Term_Kantorovich{Kantorovich: dual}})
	got, ok := loss.(kantorovich.Dual)
	gap := got.Gap
	got.Gap = nil
	if want := (kantorovich.Dual{Source: "a", Target: "b", MaxIterations: 7, Method: kantorovich.Entropic, FreshSource: "c", FreshTarget: "d", At: "e"}); err != nil ||
		!ok || got != want || *gap != 0.5 {
		t.Errorf("got %+v, %v, want %+v", loss, err, want)
	}
}

// Extras of a ragged batch have the rows of their inputs on the wire, the entries of its plans stand one after the other, and its measures say their sizes.
func TestTransportExtrasOfABatch(t *testing.T) {
	s := start(t, Config{})
	req := ragged()
	req.Objective = objective(transportTerm(&kantorv1.Transport{}))
	req.Objective.Extras = []string{"transport.map", "transport.plan", "transport.interpolation"}
	response, err := s.losses.Evaluate(testContext(t), req)
	if err != nil {
		t.Fatal(err)
	}
	extras := response.GetTerms()[0].GetExtras()
	// ¼ at 0 and ¼ of ½ at 1 go to 1, ¼ at 1 and ¼ at 2 to 2; then half of 5 each to 1 and 2.
	images, plan, way := extras["map"].GetTensor(), extras["plan"].GetPlan(), extras["interpolation"].GetMeasure()
	if got := float64s(images.GetData()); !slices.Equal(images.GetShape(), []int64{2, 3, 1}) || !slices.Equal(got, []float64{1, 1.5, 2, 1.5, 0, 0}) {
		t.Errorf("map %v of shape %v", got, images.GetShape())
	}
	if !slices.Equal(plan.GetSource(), []int32{0, 1, 1, 2, 0, 0}) || !slices.Equal(plan.GetTarget(), []int32{0, 0, 1, 1, 0, 1}) ||
		!slices.Equal(plan.GetSizes(), []int64{4, 2}) {
		t.Errorf("plan %v", plan)
	}
	if got := float64s(plan.GetMass().GetData()); !slices.Equal(got, []float64{0.25, 0.25, 0.25, 0.25, 0.5, 0.5}) {
		t.Errorf("masses %v", got)
	}
	if got := float64s(way.GetPoints().GetData()); !slices.Equal(way.GetSizes(), []int64{4, 2}) || !slices.Equal(got, []float64{0.5, 1, 1.5, 2, 3, 3.5, 0, 0}) {
		t.Errorf("interpolation %v of sizes %v", got, way.GetSizes())
	}
}
