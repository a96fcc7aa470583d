package server

import (
	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/losses/critic"
)

func decodeCritic(c *kantorv1.ConeCritic) losses.Loss {
	loss := critic.Cones{
		Source:       orDefault(c.GetSource(), "source"),
		Target:       orDefault(c.GetTarget(), "target"),
		State:        c.GetState(),
		Cones:        int(c.GetCones()),
		LearningRate: c.LearningRate,
		At:           c.GetAt(),
	}
	if c.Steps != nil {
		steps := int(c.GetSteps())
		loss.Steps = &steps
	}
	return loss
}
