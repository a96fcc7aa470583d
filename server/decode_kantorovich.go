package server

import (
	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/losses/kantorovich"
)

func decodeTransport(path string, t *kantorv1.Transport) (losses.Loss, error) {
	transport := kantorovich.Transport{
		Source:       orDefault(t.GetSource(), "source"),
		Target:       orDefault(t.GetTarget(), "target"),
		SecondSource: t.GetSecondSource(),
		SecondTarget: t.GetSecondTarget(),
		Time:         t.Time,
	}
	switch ground := t.GetGround().(type) {
	case *kantorv1.Transport_Cost:
		var err error
		if transport.Cost, err = decodeCost(path, ground.Cost); err != nil {
			return nil, err
		}
	case *kantorv1.Transport_P:
		transport.P = &ground.P
	}
	switch t.GetDebias() {
	case kantorv1.Debias_DEBIAS_UNSPECIFIED, kantorv1.Debias_DEBIAS_NONE:
	case kantorv1.Debias_DEBIAS_SPLIT:
		transport.Split = true
	case kantorv1.Debias_DEBIAS_SELF:
		return nil, badf(path+".debias", "is self, want none or split: exact transport of a measure to itself is 0, so self terms subtract nothing")
	default:
		return nil, badf(path+".debias", "is %d, want a value of kantor.v1.Debias", t.GetDebias())
	}
	return transport, nil
}

func decodeDual(path string, k *kantorv1.KantorovichDual) (losses.Loss, error) {
	dual := kantorovich.Dual{
		Source:        orDefault(k.GetSource(), "source"),
		Target:        orDefault(k.GetTarget(), "target"),
		Gap:           k.Gap,
		MaxIterations: int(k.GetMaxIterations()),
		FreshSource:   k.GetFreshSource(),
		FreshTarget:   k.GetFreshTarget(),
		At:            k.GetAt(),
	}
	switch k.GetMethod() {
	case kantorv1.Method_METHOD_UNSPECIFIED, kantorv1.Method_METHOD_AUTO:
		dual.Method = kantorovich.Auto
	case kantorv1.Method_METHOD_EXACT:
		dual.Method = kantorovich.Exact
	case kantorv1.Method_METHOD_ENTROPIC:
		dual.Method = kantorovich.Entropic
	default:
		return nil, badf(path+".method", "is %d, want a value of kantor.v1.Method", k.GetMethod())
	}
	return dual, nil
}

func decodeCost(path string, cost kantorv1.Cost) (losses.Cost, error) {
	switch cost {
	case kantorv1.Cost_COST_UNSPECIFIED, kantorv1.Cost_COST_HALF_SQUARED_EUCLIDEAN:
		return losses.HalfSquaredEuclidean, nil
	case kantorv1.Cost_COST_SQUARED_EUCLIDEAN:
		return losses.SquaredEuclidean, nil
	case kantorv1.Cost_COST_EUCLIDEAN:
		return losses.Euclidean, nil
	}
	return 0, badf(path+".cost", "is %d, want a value of kantor.v1.Cost", cost)
}
