package sinkhorn

import (
	"fmt"
	"math"

	"kantor/losses"
	"kantor/losses/internal/vec"
)

// What is worth a warning: a scale below enough, for batches of at least fewest points, of which fewer are hardly what anyone trains with.
const (
	enough = 0.95
	fewest = 16
	// most is the largest batch that is recommended.
	most = 1 << 14
)

// advice is what someone who trains by the gradients should know of the parameters. Without gradients in points nobody does, and what it is about is known of
// balanced transport with squared costs.
func (p *problem) advice(want losses.Want) []losses.Warning {
	source, target := p.cross.A, p.cross.B
	of := func(c *losses.Cloud) bool { return want.Gradients[losses.Ref{Input: c.Name, Field: "points"}] }
	switch {
	case p.cross.Cost != vec.HalfSquared, p.cross.Rho > 0, source.Name == target.Name, !of(source) && !of(target):
		return nil
	case !of(source):
		source, target = target, source
	}
	trace, dimension := shape(target)
	if !(trace > 0 && dimension > 0 && trace <= math.MaxFloat64) {
		return nil
	}
	part := p.cross.Epsilon / trace
	var warnings []losses.Warning
	// The default, a tenth of the trace, is a compromise that needs no warning in any dimension.
	if ratio := part * float64(target.D); p.givenTemperature && ratio > 1 && part > 0.1 {
		warnings = append(warnings, losses.Warning{Code: losses.BlurLarge, Message: fmt.Sprintf(
			"the temperature is %.2g times the target's mean variance along an axis: of a source half as wide the gradient in its width is %.2g times that of "+
				"exact transport; a smaller blur keeps more of it", ratio, faded(ratio))})
	}
	points := effectivePoints(source)
	if p.debias != Self || points < fewest {
		return warnings
	}
	if s := shrunk(dimension, points, part); s < enough {
		scale := fmt.Sprintf("about %.2f times", s)
		if s < 0.1 {
			scale = "less than 0.1 times" // or a single point
		}
		warnings = append(warnings, losses.Warning{Code: losses.SelfShrinks, Message: fmt.Sprintf(
			"with self terms the mean over batches of %.0f points is least where the source is %s as wide as the target (effective dimension %.0f), "+
				"not 1: take debias split%s", points, scale, dimension, p.otherwise(trace, dimension, points, part, target.D))})
	}
	return warnings
}

// otherwise says how large a batch or blur would do, where one would.
func (p *problem) otherwise(trace, dimension, points, part float64, d int) (text string) {
	for n := 64.0; n <= most; n *= 2 {
		if n > points && shrunk(dimension, n, part) >= enough {
			text += fmt.Sprintf(", or batches of %.0f points", n)
			break
		}
	}
	for _, larger := range shrinkParts {
		if larger > part && larger*float64(d) <= 1 && shrunk(dimension, points, larger) >= enough {
			text += fmt.Sprintf(", or a blur of %.2g", math.Sqrt(p.scale*larger*trace))
			break
		}
	}
	return text
}

// faded is how much of the gradient of ½W2² in the standard deviation that of S has, between N(0,¼) and N(0,1), at a temperature of ε for ½|x-y|²: from the
// closed form, ∂S/∂A = A/(√(4A²+ε²)+ε) - B/(√(4AB+ε²)+ε) in the variance A (Janati, Muzellec, Peyré, Cuturi 2020, theorem 1).
func faded(epsilon float64) float64 {
	const a, b = 0.25, 1.0
	self := a / (math.Hypot(2*a, epsilon) + epsilon)
	cross := b / (math.Hypot(2*math.Sqrt(a*b), epsilon) + epsilon)
	return (self - cross) / (0.5 - 0.5*math.Sqrt(b/a))
}
