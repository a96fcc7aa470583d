package gaussian

import (
	"math"

	"kantor/losses"
)

// operand is one side of a problem.
type operand struct {
	name        string
	rows, d     int
	mean        []float64        // [rows,d]
	logVariance []float64        // [rows,d]; nil: the axes are not independent
	covariance  *losses.Array    // [rows,d,d], until its roots are taken
	roots       []root           // [rows]; nil: independent axes, or a measure
	cloud       *losses.Cloud    // of a measure, whose moments are computed when it is solved
	spread      string           // the name of the tensor that says how wide the rows are
	warnings    []losses.Warning // about the input
}

// root is a matrix L with LLᵀ times 4^exponent the covariance: no square of a number in it overflows.
type root struct {
	entries  []float64 // [d,d]
	exponent int
}

// newOperand takes an input for one side.
func newOperand(inputs losses.Inputs, field, name string) (*operand, error) {
	switch in := inputs[name].(type) {
	case *losses.Gaussian:
		o := &operand{name: name, rows: in.Mean.Shape[0], d: in.Mean.Shape[1], mean: in.Mean.Float64s(), covariance: in.Covariance, spread: "covariance"}
		if in.Covariance == nil {
			o.logVariance, o.spread = in.LogVariance.Float64s(), "log_variance"
		}
		return o, nil
	case *losses.Measure:
		c, err := inputs.Cloud(field, name)
		if err != nil {
			return nil, err
		}
		return newMeasure(field, c)
	}
	return nil, losses.Badf(field, "input %q is neither a Gaussian nor a measure", name)
}

// newMeasure takes a measure that has enough points.
func newMeasure(field string, c *losses.Cloud) (*operand, error) {
	count := 0
	for _, w := range c.W {
		if w > 0 {
			count++
		}
	}
	o := &operand{name: c.Name, rows: 1, d: c.D, cloud: c}
	switch {
	case count < leastPoints*c.D:
		return nil, losses.Badf(field, "input %q has %d points of dimension %d, want at least %d for a covariance: send larger batches, or rows of a Gaussian",
			c.Name, count, c.D, leastPoints*c.D)
	case count < fewPoints*c.D:
		o.warnings = []losses.Warning{{Code: losses.FewPoints, Message: "fewer than ten points a dimension: the eigenvalues of their covariance are spread " +
			"further than those of the distribution, and the value is too large"}}
	}
	return o, nil
}

// standardNormal is N(0, I).
func standardNormal(d int) *operand {
	return &operand{rows: 1, d: d, mean: make([]float64, d), logVariance: make([]float64, d)}
}

// diagonal reports whether the axes are independent.
func (o *operand) diagonal() bool { return o.logVariance != nil }

// row is the row that stands against row i of the posterior.
func (o *operand) row(i int) int {
	if o.rows == 1 {
		return 0
	}
	return i
}

// takeRoots takes the roots of covariances that were given, and refuses what has none.
func (o *operand) takeRoots(field string) error {
	if o.covariance == nil {
		return nil
	}
	precision := 0x1p-52
	if o.covariance.F32 != nil {
		precision = 0x1p-23
	}
	o.roots = make([]root, o.rows)
	for i := range o.rows {
		a := make([]float64, o.d*o.d)
		for j := range o.d {
			for k := range o.d {
				at := i * o.d * o.d
				a[j*o.d+k] = o.covariance.At(at+j*o.d+k)/2 + o.covariance.At(at+k*o.d+j)/2
			}
		}
		var least float64
		if o.roots[i], least = rootOf(a, o.d, precision); least < 0 {
			return losses.Badf(field, "input %q has a covariance with eigenvalue %.6g in row %d, want positive semidefinite matrices", o.name, least, i)
		}
	}
	o.covariance = nil
	return nil
}

// rootAt is the root of a row: of independent axes the diagonal of standard deviations. It reports whether those are finite.
func (o *operand) rootAt(i int) (root, bool) {
	if !o.diagonal() {
		return o.roots[o.row(i)], true
	}
	v := o.logVariance[o.row(i)*o.d : (o.row(i)+1)*o.d]
	out := root{entries: make([]float64, o.d*o.d)}
	finite := true
	for k, w := range v {
		out.entries[k*o.d+k] = math.Exp(0.5 * w)
		finite = finite && !math.IsInf(out.entries[k*o.d+k], 1)
	}
	return out.scaled(), finite
}

// scaled takes the exponent out of the largest entry.
func (r root) scaled() root {
	most := 0.0
	for _, v := range r.entries {
		most = max(most, math.Abs(v))
	}
	_, exponent := math.Frexp(most)
	for i, v := range r.entries {
		r.entries[i] = math.Ldexp(v, -exponent)
	}
	r.exponent += exponent
	return r
}
