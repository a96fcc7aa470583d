package server

import (
	"fmt"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/losses/sinkhorn"
)

// badf returns an InputError for a field of the request.
func badf(field, format string, args ...any) error {
	return &losses.InputError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// decode turns a request into numbers. What it refuses is what the wire can say and losses cannot: unknown fields, numbers outside an enum, tensors whose
// bytes are not their shape. The rest is for Bind.
func decode(req *kantorv1.EvaluateRequest) (losses.Objective, losses.Inputs, error) {
	if err := refuseUnknown("", req.ProtoReflect()); err != nil {
		return losses.Objective{}, nil, err
	}
	objective, err := decodeObjective(req.GetObjective())
	if err != nil {
		return losses.Objective{}, nil, err
	}
	inputs, err := decodeInputs(req.GetInputs())
	return objective, inputs, err
}

func decodeObjective(o *kantorv1.Objective) (losses.Objective, error) {
	if n := len(o.GetTerms()); n == 0 || n > losses.MaxTerms {
		return losses.Objective{}, badf("objective.terms", "has %d terms, want 1 to %d", n, losses.MaxTerms)
	}
	objective := losses.Objective{Gradients: o.GetGradients(), Extras: o.GetExtras(), PerTerm: o.GetGradientsPerTerm()}
	for i, t := range o.GetTerms() {
		term := losses.Term{Name: t.GetName(), Weight: 1}
		if t.Weight != nil {
			term.Weight = t.GetWeight()
		}
		var err error
		if term.Loss, err = decodeLoss(fmt.Sprintf("objective.terms[%d]", i), t); err != nil {
			return losses.Objective{}, err
		}
		objective.Terms = append(objective.Terms, term)
	}
	return objective, nil
}

// decodeLoss is the one place that knows which message is which loss.
func decodeLoss(path string, t *kantorv1.Term) (losses.Loss, error) {
	switch t.GetLoss().(type) {
	case *kantorv1.Term_Sinkhorn:
		return decodeSinkhorn(path+".sinkhorn", t.GetSinkhorn())
	case *kantorv1.Term_Kantorovich:
		return decodeDual(path+".kantorovich", t.GetKantorovich())
	case *kantorv1.Term_Transport:
		return decodeTransport(path+".transport", t.GetTransport())
	case *kantorv1.Term_Kl:
		return decodeKl(path+".kl", t.GetKl())
	case *kantorv1.Term_CategoricalKl:
		return decodeCategoricalKl(path+".categorical_kl", t.GetCategoricalKl())
	case *kantorv1.Term_BernoulliKl:
		return decodeBernoulliKl(path+".bernoulli_kl", t.GetBernoulliKl())
	case *kantorv1.Term_VonMisesFisherKl:
		return decodeVonMisesFisherKl(t.GetVonMisesFisherKl()), nil
	case *kantorv1.Term_DiscreteKl:
		return decodeDiscreteKl(path+".discrete_kl", t.GetDiscreteKl())
	case *kantorv1.Term_JensenShannon:
		return decodeJensenShannon(t.GetJensenShannon()), nil
	case *kantorv1.Term_Mmd:
		return decodeMmd(path+".mmd", t.GetMmd())
	case *kantorv1.Term_Stein:
		return decodeStein(path+".stein", t.GetStein())
	case *kantorv1.Term_ConeCritic:
		return decodeCritic(t.GetConeCritic()), nil
	case *kantorv1.Term_Sliced:
		return decodeSliced(path+".sliced", t.GetSliced())
	case *kantorv1.Term_Bures:
		return decodeBures(t.GetBures()), nil
	case *kantorv1.Term_TotalCorrelation:
		return decodeTotalCorrelation(path+".total_correlation", t.GetTotalCorrelation())
	case *kantorv1.Term_Stress:
		return decodeStress(path+".stress", t.GetStress())
	case *kantorv1.Term_Dip:
		return decodeDip(path+".dip", t.GetDip())
	}
	return nil, badf(path, "names no loss, want one of %v", lossNames())
}

func decodeSinkhorn(path string, s *kantorv1.SinkhornDivergence) (losses.Loss, error) {
	d := sinkhorn.Divergence{
		Source:        orDefault(s.GetSource(), "source"),
		Target:        orDefault(s.GetTarget(), "target"),
		MaxIterations: int(s.GetMaxIterations()),
		Scaling:       s.Scaling,
		Diameter:      s.Diameter,
		SecondSource:  s.GetSecondSource(),
		SecondTarget:  s.GetSecondTarget(),

		WithoutInterval: s.GetWithoutInterval(),
	}
	switch temperature := s.GetTemperature().(type) {
	case *kantorv1.SinkhornDivergence_Blur:
		d.Blur = &temperature.Blur
	case *kantorv1.SinkhornDivergence_Epsilon:
		d.Epsilon = &temperature.Epsilon
	}
	switch marginals := s.GetMarginals().(type) {
	case *kantorv1.SinkhornDivergence_Reach:
		d.Reach = &marginals.Reach
	case *kantorv1.SinkhornDivergence_Rho:
		d.Rho = &marginals.Rho
	}
	switch stop := s.GetStop().(type) {
	case *kantorv1.SinkhornDivergence_Tolerance:
		d.Tolerance = &stop.Tolerance
	case *kantorv1.SinkhornDivergence_Gap:
		d.Gap = &stop.Gap
	}
	var err error
	if d.Cost, err = decodeCost(path, s.GetCost()); err != nil {
		return nil, err
	}
	if d.Debias, err = decodeDebias(path, s.GetDebias()); err != nil {
		return nil, err
	}
	switch s.GetProfile() {
	case kantorv1.Profile_PROFILE_UNSPECIFIED, kantorv1.Profile_PROFILE_ACCURATE:
		d.Profile = sinkhorn.Accurate
	case kantorv1.Profile_PROFILE_GEOMLOSS:
		d.Profile = sinkhorn.GeomLoss
	default:
		return nil, badf(path+".profile", "is %d, want a value of kantor.v1.Profile", s.GetProfile())
	}
	return d, nil
}

// orDefault is the name of an input that a loss uses where the request gives none.
func orDefault(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}
