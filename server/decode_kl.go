package server

import (
	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/losses/kl"
)

func decodeKl(path string, k *kantorv1.GaussianKl) (losses.Loss, error) {
	direction, err := decodeDirection(path, k.GetDirection())
	return kl.Gaussian{
		Posterior: orDefault(k.GetPosterior(), "posterior"),
		Prior:     k.GetPrior(),
		Direction: direction,
		Allowance: kl.Allowance{FreeBits: k.FreeBits, Capacity: k.Capacity},
	}, err
}

func decodeCategoricalKl(path string, k *kantorv1.CategoricalKl) (losses.Loss, error) {
	direction, err := decodeDirection(path, k.GetDirection())
	return kl.Categorical{
		Posterior: orDefault(k.GetPosterior(), "posterior"),
		Prior:     k.GetPrior(),
		Direction: direction,
		Allowance: kl.Allowance{FreeBits: k.FreeBits, Capacity: k.Capacity},
	}, err
}

func decodeBernoulliKl(path string, k *kantorv1.BernoulliKl) (losses.Loss, error) {
	direction, err := decodeDirection(path, k.GetDirection())
	return kl.Bernoulli{
		Posterior: orDefault(k.GetPosterior(), "posterior"),
		Prior:     k.GetPrior(),
		Direction: direction,
		Allowance: kl.Allowance{FreeBits: k.FreeBits, Capacity: k.Capacity},
	}, err
}

func decodeVonMisesFisherKl(k *kantorv1.VonMisesFisherKl) losses.Loss {
	return kl.VonMisesFisher{Posterior: orDefault(k.GetPosterior(), "posterior"), Allowance: kl.Allowance{FreeBits: k.FreeBits, Capacity: k.Capacity}}
}

func decodeDiscreteKl(path string, k *kantorv1.DiscreteKl) (losses.Loss, error) {
	direction, err := decodeDirection(path, k.GetDirection())
	return kl.Discrete{Source: orDefault(k.GetSource(), "source"), Target: orDefault(k.GetTarget(), "target"), Direction: direction}, err
}

func decodeJensenShannon(j *kantorv1.JensenShannon) losses.Loss {
	return kl.JensenShannon{Source: orDefault(j.GetSource(), "source"), Target: orDefault(j.GetTarget(), "target")}
}

func decodeDirection(path string, d kantorv1.Direction) (kl.Direction, error) {
	switch d {
	case kantorv1.Direction_DIRECTION_UNSPECIFIED, kantorv1.Direction_DIRECTION_FORWARD:
		return kl.Forward, nil
	case kantorv1.Direction_DIRECTION_REVERSE:
		return kl.Reverse, nil
	case kantorv1.Direction_DIRECTION_SYMMETRIC:
		return kl.Symmetric, nil
	}
	return 0, badf(path+".direction", "is %d, want a value of kantor.v1.Direction", d)
}
