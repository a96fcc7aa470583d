package server

import (
	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

func decodeCategorical(path string, c *kantorv1.Categorical) (losses.Input, error) {
	logits, err := decodeOptional(path+".logits", c.GetLogits())
	if err != nil {
		return nil, err
	}
	probabilities, err := decodeOptional(path+".probabilities", c.GetProbabilities())
	return &losses.Categorical{Logits: logits, Probabilities: probabilities}, err
}

func decodeBernoulli(path string, b *kantorv1.Bernoulli) (losses.Input, error) {
	logits, err := decodeOptional(path+".logits", b.GetLogits())
	if err != nil {
		return nil, err
	}
	probabilities, err := decodeOptional(path+".probabilities", b.GetProbabilities())
	return &losses.Bernoulli{Logits: logits, Probabilities: probabilities}, err
}

func decodeVonMisesFisher(path string, f *kantorv1.VonMisesFisher) (losses.Input, error) {
	mean, err := decodeTensor(path+".mean", f.GetMean())
	if err != nil {
		return nil, err
	}
	concentration, err := decodeTensor(path+".concentration", f.GetConcentration())
	return &losses.VonMisesFisher{Mean: mean, Concentration: concentration}, err
}
