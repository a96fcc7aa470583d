package sinkhorn

import "kantor/losses"

// advice is what a caller should know of the parameters.
func (p *problem) advice(want losses.Want) []losses.Warning { return nil }
