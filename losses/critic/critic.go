// Package critic computes lower bounds of W1 between populations by a critic that learns from batch to batch and is 1-Lipschitz for every value of its
// parameters: an envelope of cones.
package critic

import (
	"math"

	"kantor/losses"
)

// Defaults and limits of [Cones].
const (
	DefaultCones        = 64
	DefaultLearningRate = 2e-2
	DefaultSteps        = 1

	// MaxSteps is the most steps on one batch.
	MaxSteps = 10_000
	// MaxLearningRate is the longest step, in units of the batch's spread.
	MaxLearningRate = 1000
	// MaxNumbers is the most coordinates of the tips of one function, J·D. A state has those of two functions, with two moments each, so it is at most 32 MiB,
	// or 64 MiB with the heights of J cones in dimension 1.
	MaxNumbers = losses.MaxElements / 24
)

// largest bounds what points, tips and heights may be, so that no square of a distance and nothing that a step makes of it overflows.
const largest = 1e100

// Cones is a lower bound of W1 between the populations that source and target are batches of. By the duality of Kantorovich and Rubinstein (Villani 2003,
// theorem 1.14) E_a φ - E_b φ is one for every 1-Lipschitz φ, and these are 1-Lipschitz for all tips c and heights b:
//
//	φ⁻(z) = min_j |z - c_j| + b_j        φ⁺(z) = max_j b_j - |z - c_j|
//
// No 1-Lipschitz function is out of reach: both envelopes of its own cones, at enough points, come as close to it as one likes (McShane 1934).
//
// The value is E_a φ - E_b φ of the critic as it came, of the function that did better in the past, so that neither the critic nor the choice has seen the
// batch: of fresh samples its expectation is not above W1 (times the mass). Then the critic takes its steps on the batch, in O((N+M)·J·D) each, and comes
// back as the extra state; where nobody asks for that no step is taken. A critic that is new has seen the batch, which gave it its tips: its value is a lower bound of W1 between the samples, and says
// so by its estimand.
//
// A step is one of Adam (Kingma and Ba 2015, algorithm 1; β₁ = 0.9, β₂ = 0.99, ε = 1e-8) up the gradient of E_a φ - E_b φ in tips and heights, for both
// functions. Its length is LearningRate times the spread of the batch, the root of the mean squared deviation of a coordinate from the mean of source and
// target, half of each: so the critic of data in other units is the same critic in these units. β₂ is below its usual value because a cone's gradient
// changes as its neighbours move.
//
// Gradients hold the critic fixed: w_i ∇φ(x_i) in the source points, -w_j ∇φ(y_j) in the target points, 0 at a tip; those in weights are centred,
// <weights, gradient> = 0.
type Cones struct {
	Source, Target string   // names of the inputs
	State          string   // name of the critic; empty: a new one is made of this batch
	Cones          int      // of each function of a new critic; 0: DefaultCones
	LearningRate   *float64 // nil: DefaultLearningRate
	Steps          *int     // on this batch; nil: DefaultSteps; 0: the critic stays as it is
	At             string   // name of the measure at whose points the critic is wanted as an extra; empty: none
}

// Kind implements [losses.Loss].
func (Cones) Kind() string { return "cone_critic" }

// Uses implements [losses.Loss].
func (c Cones) Uses() []losses.Use {
	uses := []losses.Use{{Field: "source", Input: c.Source}, {Field: "target", Input: c.Target}}
	if c.State != "" {
		uses = append(uses, losses.Use{Field: "state", Input: c.State})
	}
	if c.At != "" {
		uses = append(uses, losses.Use{Field: "at", Input: c.At})
	}
	return uses
}

// Extras implements [losses.Loss]. Those at the points of an input are there if it is.
func (c Cones) Extras() []string {
	if c.At == "" {
		return []string{"state"}
	}
	return []string{"state", "critic", "critic_gradient"}
}

// NoBatch says that a critic has one problem at a time: the next batch needs the state that this one left.
func (Cones) NoBatch() {}

// Bind implements [losses.Loss].
func (c Cones) Bind(inputs losses.Inputs, seed losses.Seed) (losses.Problem, error) {
	p := &problem{seed: seed, count: DefaultCones, steps: DefaultSteps, learningRate: DefaultLearningRate}
	if err := c.parameters(p); err != nil {
		return nil, err
	}
	var err error
	if p.a, p.b, err = inputs.Pair(c.Source, c.Target, seed); err != nil {
		return nil, err
	}
	if err := losses.Balance(p.a, p.b); err != nil {
		return nil, err
	}
	if c.At != "" {
		if p.at, err = inputs.Cloud("at", c.At); err != nil {
			return nil, err
		}
	}
	if err := p.checkPoints(); err != nil {
		return nil, err
	}
	if c.State != "" {
		p.came, err = stateOf(inputs, c.State, p.a)
		return p, err
	}
	if most := MaxNumbers / p.a.D; p.count > most {
		return nil, losses.Badf("cones", "is %d, want at most %d in dimension %d", p.count, most, p.a.D)
	}
	return p, nil
}

// parameters checks the loss's own numbers.
func (c Cones) parameters(p *problem) error {
	if c.Cones < 0 {
		return losses.Badf("cones", "is %d, want a positive number, or 0 for %d", c.Cones, DefaultCones)
	}
	if c.Cones > 0 {
		p.count = c.Cones
	}
	if c.LearningRate != nil {
		p.learningRate = *c.LearningRate
	}
	if !(p.learningRate >= 0 && p.learningRate <= MaxLearningRate) {
		return losses.Badf("learning_rate", "is %v, want 0 to %d", p.learningRate, MaxLearningRate)
	}
	if c.Steps != nil {
		p.steps = *c.Steps
	}
	if p.steps < 0 || p.steps > MaxSteps {
		return losses.Badf("steps", "is %d, want 0 to %d", p.steps, MaxSteps)
	}
	return nil
}

// checkPoints refuses points whose distances could overflow, and points to evaluate at that are in another dimension.
func (p *problem) checkPoints() error {
	for _, c := range []struct {
		field string
		*losses.Cloud
	}{{"source", p.a}, {"target", p.b}, {"at", p.at}} {
		if c.Cloud == nil {
			continue
		}
		if c.D != p.a.D {
			return losses.Badf(c.field, "input %q has dimension %d, want %d, that of source %q", c.Name, c.D, p.a.D, p.a.Name)
		}
		for _, v := range c.X {
			if math.Abs(v) > largest {
				return losses.Badf(c.field, "input %q has a coordinate of %v, want at most %v: distances would overflow binary64", c.Name, v, float64(largest))
			}
		}
	}
	return nil
}
