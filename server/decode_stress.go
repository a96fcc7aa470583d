package server

import (
	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/losses/geometry"
)

func decodeStress(path string, s *kantorv1.Stress) (losses.Loss, error) {
	loss := geometry.Stress{Codes: orDefault(s.GetCodes(), "codes"), Data: orDefault(s.GetData(), "data"), Scale: s.Scale}
	switch s.GetForm() {
	case kantorv1.StressForm_STRESS_FORM_UNSPECIFIED, kantorv1.StressForm_STRESS_FORM_METRIC:
		loss.Form = geometry.Metric
	case kantorv1.StressForm_STRESS_FORM_RANK:
		loss.Form = geometry.Rank
	default:
		return nil, badf(path+".form", "is %d, want a value of kantor.v1.StressForm", s.GetForm())
	}
	var err error
	if loss.CodeDistance, err = decodeMetric(path+".code_metric", s.GetCodeMetric()); err != nil {
		return nil, err
	}
	loss.DataDistance, err = decodeMetric(path+".data_metric", s.GetDataMetric())
	return loss, err
}

func decodeMetric(path string, m kantorv1.Metric) (geometry.Distance, error) {
	switch m {
	case kantorv1.Metric_METRIC_UNSPECIFIED, kantorv1.Metric_METRIC_EUCLIDEAN:
		return geometry.Euclidean, nil
	case kantorv1.Metric_METRIC_MANHATTAN:
		return geometry.Manhattan, nil
	}
	return 0, badf(path, "is %d, want a value of kantor.v1.Metric", m)
}
