package kl

import (
	"context"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// Categorical is KL(posterior, prior) of choices among K classes, the mean over rows:
//
//	KL(q, p) = Σ_k q_k ln(q_k/p_k),    ∂/∂logit_k = q_k (ln(q_k/p_k) - KL)
//
// It is +Inf, with a warning and a gradient of 0, where the prior cannot choose a class that the posterior can. Probabilities may have any sum; the gradient is that
// of the distribution that they are after division by it, 0 where the slope at a probability of 0 is infinite.
type Categorical struct {
	Posterior string // name of a Categorical input
	Prior     string // name of a Categorical input with as many rows or one; empty: all classes are as likely
	Direction Direction
	Allowance // free bits are those of the mean
}

// Kind implements [losses.Loss].
func (Categorical) Kind() string { return "categorical_kl" }

// Uses implements [losses.Loss].
func (c Categorical) Uses() []losses.Use { return uses(c.Posterior, c.Prior) }

// Extras implements [losses.Loss]: the divergence of each row, [N].
func (Categorical) Extras() []string { return []string{"per_row"} }

// Bind implements [losses.Loss].
func (c Categorical) Bind(inputs losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	posterior, ok := inputs[c.Posterior].(*losses.Categorical)
	if !ok {
		return nil, losses.Badf("posterior", "input %q is no Categorical", c.Posterior)
	}
	p := &choicesProblem{Allowance: c.Allowance, sum: c.Direction.sum(), extras: c.Extras()}
	p.sides[0] = newChoices(c.Posterior, posterior.Logits, posterior.Probabilities, false)
	if c.Prior == "" {
		p.sides[1] = p.sides[0].even()
	} else if prior, ok := inputs[c.Prior].(*losses.Categorical); ok {
		p.sides[1] = newChoices(c.Prior, prior.Logits, prior.Probabilities, false)
	} else {
		return nil, losses.Badf("prior", "input %q is no Categorical", c.Prior)
	}
	return p, p.check("prior")
}

// Bernoulli is KL(posterior, prior) of vectors of independent bits: the sum over bits, the mean over rows. Each bit is a choice as of [Categorical], between the
// logits 0 and that of the bit.
type Bernoulli struct {
	Posterior string // name of a Bernoulli input
	Prior     string // name of a Bernoulli input with as many rows or one; empty: fair bits
	Direction Direction
	Allowance // free bits are those of each dimension
}

// Kind implements [losses.Loss].
func (Bernoulli) Kind() string { return "bernoulli_kl" }

// Uses implements [losses.Loss].
func (b Bernoulli) Uses() []losses.Use { return uses(b.Posterior, b.Prior) }

// Extras implements [losses.Loss]: the divergence of each row, [N], and of each dimension, [D], the mean over rows.
func (Bernoulli) Extras() []string { return []string{"per_row", "per_dimension"} }

// Bind implements [losses.Loss].
func (b Bernoulli) Bind(inputs losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	posterior, ok := inputs[b.Posterior].(*losses.Bernoulli)
	if !ok {
		return nil, losses.Badf("posterior", "input %q is no Bernoulli", b.Posterior)
	}
	p := &choicesProblem{Allowance: b.Allowance, sum: b.Direction.sum(), extras: b.Extras()}
	p.sides[0] = newChoices(b.Posterior, posterior.Logits, posterior.Probabilities, true)
	if b.Prior == "" {
		p.sides[1] = p.sides[0].even()
	} else if prior, ok := inputs[b.Prior].(*losses.Bernoulli); ok {
		p.sides[1] = newChoices(b.Prior, prior.Logits, prior.Probabilities, true)
	} else {
		return nil, losses.Badf("prior", "input %q is no Bernoulli", b.Prior)
	}
	return p, p.check("prior")
}

// sum is what a direction adds up.
func (d Direction) sum() []summand {
	forward := summand{false, (*pair).leibler}
	reverse := summand{true, (*pair).leibler}
	return [][]summand{{forward}, {reverse}, {forward, reverse}}[d]
}

// summand is a function of two distributions, in their order or swapped.
type summand struct {
	swapped bool
	value   func(*pair, *parallel.Gate) float64
}

// choicesProblem is a divergence between rows of choices.
type choicesProblem struct {
	Allowance
	sum    []summand
	sides  [2]*choices
	extras []string
}

// check checks the allowance, and the two sides against each other; field names the second.
func (p *choicesProblem) check(field string) error {
	if err := p.Allowance.check(); err != nil {
		return err
	}
	if a, b := p.sides[0], p.sides[1]; b.columns != a.columns || b.rows != 1 && b.rows != a.rows {
		return losses.Badf(field, "input %q has shape [%d,%d], want [%d,%d] or [1,%d]", b.name, b.rows, b.columns, a.rows, a.columns, a.columns)
	}
	return nil
}

// Work implements [losses.Problem].
func (p *choicesProblem) Work() losses.Work {
	a, b := p.sides[0], p.sides[1]
	numbers := 2*(len(a.values)+len(b.values)) + a.rows + (parallel.Slots()*9+32)*a.columns
	return losses.Work{Pairs: float64(len(a.values)), Iterations: 1, Bytes: int64(8 * numbers)}
}

// Solve implements [losses.Problem].
func (p *choicesProblem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	n := p.sides[0].rows
	out := answer{perRow: make([]float64, n), gradients: map[losses.Ref][]float64{}}
	partial := make([]part, parallel.GroupCount(n))
	gradients := [2][]float64{p.sides[0].wanted(want), p.sides[1].wanted(want)}
	err := parallel.Groups(ctx, n, func(group, lo, hi int, gate *parallel.Gate) {
		part := part{make([]float64, p.sides[0].cells()), gradients}
		if group > 0 && p.sides[1].rows == 1 { // which all rows add to
			part.gradients[1] = p.sides[1].wanted(want)
		}
		partial[group] = part
		p.solveRows(gate, lo, hi, part, out.perRow)
	})
	if err != nil {
		return losses.TermResult{}, err
	}
	out.perDimension = partial[0].perDimension
	for _, part := range partial[1:] {
		floats.Add(out.perDimension, part.perDimension)
		if p.sides[1].rows == 1 && part.gradients[1] != nil {
			floats.Add(gradients[1], part.gradients[1])
		}
	}
	floats.Scale(1/float64(n), out.perDimension)
	for s, side := range p.sides {
		if to := slot(out.gradients, want, side.name, side.field, len(side.values)); to != nil {
			floats.AddScaled(to, 1/float64(n), gradients[s])
		}
	}
	const infinite = "the divergence is infinite: one side gives a class or a value of a bit a probability of 0 that the other side gives more"
	return p.result(out, infinite, want, p.extras...), nil
}

// part is what a group of rows adds up.
type part struct {
	perDimension []float64    // sums
	gradients    [2][]float64 // of the sum over rows, in the two sides; nil: nobody wants it
}

// wanted makes the gradient in a side; nil: nobody wants it.
func (c *choices) wanted(want losses.Want) []float64 {
	if !want.Gradients[losses.Ref{Input: c.name, Field: c.field}] {
		return nil
	}
	return make([]float64, len(c.values))
}

// solveRows computes the rows lo to hi.
func (p *choicesProblem) solveRows(gate *parallel.Gate, lo, hi int, part part, perRow []float64) {
	a, b := p.sides[0], p.sides[1]
	forward := newPair(newDistribution(a.classes(), a.masses), newDistribution(b.classes(), b.masses))
	both := [2]*pair{forward, forward.swapped()}
	done := 0
	for i := lo; i < hi; i++ {
		for c := range a.cells() {
			if done += 4 * pieceCost * a.classes(); done > parallel.TileCost {
				if !gate.Open() {
					return
				}
				done = 0
			}
			a.load(i, c, forward.a, gate)
			if b.rows > 1 || b.cells() > 1 || i == lo {
				b.load(b.row(i), c, forward.b, gate)
			}
			value := p.solveCell(gate, both, i, c, part)
			perRow[i] += value
			part.perDimension[c] += value
		}
	}
}

// solveCell computes a choice, and adds its slopes to the gradients.
func (p *choicesProblem) solveCell(gate *parallel.Gate, both [2]*pair, i, c int, part part) float64 {
	value := 0.0
	for _, s := range p.sum {
		q := both[0]
		if s.swapped {
			q = both[1]
		}
		q.compare(gate)
		value += s.value(q, gate)
		for side, of := range p.sides {
			if to := part.gradients[side]; to != nil {
				of.pull(gate, to, i, c, both[0].side(side), q.slopes[slopeOf(side, s.swapped)])
			}
		}
	}
	return value
}

// slopeOf is which of a pair's slopes belongs to a side.
func slopeOf(side int, swapped bool) int {
	if swapped {
		return 1 - side
	}
	return side
}

func (p *pair) side(side int) *distribution { return [2]*distribution{p.a, p.b}[side] }

// swapped is the pair the other way round, of the same distributions.
func (p *pair) swapped() *pair { return newPair(p.b, p.a) }
