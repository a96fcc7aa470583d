package server

import (
	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/losses/dependence"
	"kantor/losses/sinkhorn"
)

func decodeTotalCorrelation(path string, t *kantorv1.TotalCorrelation) (losses.Loss, error) {
	loss := dependence.TotalCorrelation{
		Codes:             orDefault(t.GetCodes(), "codes"),
		Posterior:         t.GetPosterior(),
		DatasetSize:       t.GetDatasetSize(),
		MutualInformation: t.MutualInformation,
		Correlation:       t.Correlation,
		DimensionWiseKl:   t.DimensionWiseKl,
		Blur:              t.Blur,
		Tolerance:         t.Tolerance,
	}
	switch t.GetEstimator() {
	case kantorv1.Estimator_ESTIMATOR_UNSPECIFIED, kantorv1.Estimator_ESTIMATOR_STRATIFIED:
		loss.Estimator = dependence.Stratified
	case kantorv1.Estimator_ESTIMATOR_WEIGHTED:
		loss.Estimator = dependence.Weighted
	case kantorv1.Estimator_ESTIMATOR_TRANSPORT:
		loss.Estimator = dependence.Transported
	default:
		return nil, badf(path+".estimator", "is %d, want a value of kantor.v1.Estimator", t.GetEstimator())
	}
	if loss.Estimator != dependence.Transported {
		loss.Posterior = orDefault(t.GetPosterior(), "posterior")
	}
	if t.GetDebias() != kantorv1.Debias_DEBIAS_UNSPECIFIED {
		debias, err := decodeDebias(path, t.GetDebias())
		if err != nil {
			return nil, err
		}
		loss.Debias = &debias
	}
	return loss, nil
}

func decodeDebias(path string, d kantorv1.Debias) (sinkhorn.Debias, error) {
	switch d {
	case kantorv1.Debias_DEBIAS_UNSPECIFIED, kantorv1.Debias_DEBIAS_SELF:
		return sinkhorn.Self, nil
	case kantorv1.Debias_DEBIAS_NONE:
		return sinkhorn.None, nil
	case kantorv1.Debias_DEBIAS_SPLIT:
		return sinkhorn.Split, nil
	}
	return 0, badf(path+".debias", "is %d, want a value of kantor.v1.Debias", d)
}

func decodeDip(path string, d *kantorv1.DisentangledInferredPrior) (losses.Loss, error) {
	loss := dependence.Dip{Posterior: orDefault(d.GetPosterior(), "posterior"), OffDiagonal: d.OffDiagonal, Diagonal: d.Diagonal}
	switch d.GetMoments() {
	case kantorv1.Moments_MOMENTS_UNSPECIFIED, kantorv1.Moments_MOMENTS_MEANS:
		loss.Moments = dependence.OfMeans
	case kantorv1.Moments_MOMENTS_CODES:
		loss.Moments = dependence.OfCodes
	default:
		return nil, badf(path+".moments", "is %d, want a value of kantor.v1.Moments", d.GetMoments())
	}
	return loss, nil
}
