package server

import (
	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/losses/gaussian"
)

func decodeBures(b *kantorv1.BuresWasserstein) losses.Loss {
	return gaussian.Bures{Posterior: orDefault(b.GetPosterior(), "posterior"), Prior: b.GetPrior()}
}
