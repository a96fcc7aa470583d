package kl

import (
	"kantor/losses"
)

// JensenShannon is ½KL(source, m) + ½KL(target, m), m the mean of both (Lin 1991): at most ln 2 for each row, bit or unit of mass, and the square of a metric
// (Endres, Schindelin 2003). The two inputs are of one kind: Categorical, the mean over rows; Bernoulli, the sum over bits and the mean over rows; or Measure, on
// points that agree as for [Discrete]. The gradients are ½ln(a/m), centred; where a probability is 0 that is infinite, and 0 is returned.
type JensenShannon struct {
	Source string // name of the input
	Target string // name of an input of the same kind with as many rows or one
}

// Kind implements [losses.Loss].
func (JensenShannon) Kind() string { return "jensen_shannon" }

// Uses implements [losses.Loss].
func (j JensenShannon) Uses() []losses.Use {
	return []losses.Use{{Field: "source", Input: j.Source}, {Field: "target", Input: j.Target}}
}

// Extras implements [losses.Loss]: the divergence of each row, [N], but of measures.
func (JensenShannon) Extras() []string { return []string{"per_row"} }

// Bind implements [losses.Loss].
func (j JensenShannon) Bind(inputs losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	p := &choicesProblem{sum: []summand{{false, (*pair).shannon}}, extras: j.Extras()}
	switch source := inputs[j.Source].(type) {
	case *losses.Categorical:
		target, ok := inputs[j.Target].(*losses.Categorical)
		if !ok {
			return nil, losses.Badf("target", "input %q is no Categorical, as source %q is", j.Target, j.Source)
		}
		p.sides[0] = newChoices(j.Source, source.Logits, source.Probabilities, false)
		p.sides[1] = newChoices(j.Target, target.Logits, target.Probabilities, false)
	case *losses.Bernoulli:
		target, ok := inputs[j.Target].(*losses.Bernoulli)
		if !ok {
			return nil, losses.Badf("target", "input %q is no Bernoulli, as source %q is", j.Target, j.Source)
		}
		p.sides[0] = newChoices(j.Source, source.Logits, source.Probabilities, true)
		p.sides[1] = newChoices(j.Target, target.Logits, target.Probabilities, true)
	case *losses.Measure:
		a, b, err := clouds(inputs, j.Source, j.Target)
		return &atomsProblem{a: a, b: b, sum: p.sum}, err
	default:
		return nil, losses.Badf("source", "input %q is no Categorical, Bernoulli or measure", j.Source)
	}
	return p, p.check("target")
}
