package kl

import (
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// choices is one side: rows of one choice among its columns, or of one between two for each column, a bit.
type choices struct {
	name, field   string
	rows, columns int
	values        []float64 // [rows,columns]
	masses        bool      // probabilities, not logits
	bits          bool
}

// newChoices takes the one parameter of an input that is given.
func newChoices(name string, logits, probabilities *losses.Array, bits bool) *choices {
	c := &choices{name: name, field: "logits", bits: bits}
	of := logits
	if logits == nil {
		of, c.field, c.masses = probabilities, "probabilities", true
	}
	c.rows, c.columns, c.values = of.Shape[0], of.Shape[1], of.Float64s()
	return c
}

// even is a row of choices of as many classes or bits, all as likely.
func (c *choices) even() *choices {
	return &choices{rows: 1, columns: c.columns, values: make([]float64, c.columns), bits: c.bits}
}

// cells is the number of choices of a row, classes that of the classes of each.
func (c *choices) cells() int {
	if c.bits {
		return c.columns
	}
	return 1
}

func (c *choices) classes() int {
	if c.bits {
		return 2
	}
	return c.columns
}

// row is the row that stands for row i of the first side.
func (c *choices) row(i int) int {
	if c.rows == 1 {
		return 0
	}
	return i
}

// load makes a distribution of a choice.
func (c *choices) load(i, cell int, to *distribution, gate *parallel.Gate) {
	values := c.values[i*c.columns : (i+1)*c.columns]
	switch v := values[cell]; {
	case !c.bits:
		copy(to.given, values)
	case c.masses:
		to.given[0], to.given[1] = 1-v, v
	default: // 0 and v, less the larger, so that infinities are certain bits
		to.given[0], to.given[1] = -math.Max(v, 0), math.Min(v, 0)
	}
	to.normalise(gate)
}

// pull adds the gradient of a choice.
func (c *choices) pull(gate *parallel.Gate, to []float64, i, cell int, of *distribution, slopes []float64) {
	at := c.row(i) * c.columns
	switch {
	case !c.bits:
		of.pull(gate, to[at:at+c.columns], slopes, 1)
	case !c.masses:
		to[at+cell] += of.p[0]*slopes[1] - of.p[1]*slopes[0]
	case math.IsInf(slopes[0], 0) || math.IsInf(slopes[1], 0): // at a bit that is certain
	default:
		to[at+cell] += slopes[1] - slopes[0]
	}
}
