package server

import (
	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/losses/sliced"
)

func decodeSliced(path string, s *kantorv1.SlicedTransport) (losses.Loss, error) {
	t := sliced.Transport{
		Source:        orDefault(s.GetSource(), "source"),
		Target:        orDefault(s.GetTarget(), "target"),
		P:             s.P,
		Directions:    int(s.GetDirections()),
		MaxIterations: int(s.GetMaxIterations()),
	}
	switch s.GetAggregate() {
	case kantorv1.SliceAggregate_SLICE_AGGREGATE_UNSPECIFIED, kantorv1.SliceAggregate_SLICE_AGGREGATE_MEAN:
		t.Aggregate = sliced.Mean
	case kantorv1.SliceAggregate_SLICE_AGGREGATE_MAX:
		t.Aggregate = sliced.Max
	default:
		return nil, badf(path+".aggregate", "is %d, want a value of kantor.v1.SliceAggregate", s.GetAggregate())
	}
	return t, nil
}
