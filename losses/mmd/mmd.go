// Package mmd computes discrepancies between measures by the means of a kernel: the maximum mean discrepancy between two, among them the energy distance, and
// the kernel Stein discrepancy of one to N(0, I). Both are sums over pairs of points, computed in one pass of which nothing is stored: time grows with N²,
// memory with N·D.
package mmd

import (
	"math"

	"kantor/losses"
)

// Convention says which multiple is meant.
type Convention int

const (
	// MMD2 is E k(x,x') + E k(y,y') - 2 E k(x,y).
	MMD2 Convention = iota
	// Half is half of it, as GeomLoss has it.
	Half
)

// Discrepancy is the squared distance between the kernel means of two measures a and b (Gretton et al. 2012, lemma 6),
//
//	m_a² E k(x,x') + m_b² E k(y,y') - 2 m_a m_b E k(x,y),
//
// with the masses m_a and m_b, which have to agree for the energy alone, since its kernel is positive definite only between measures of equal mass. With the
// kernel -d it is the energy distance 2E|x-y| - E|x-x'| - E|y-y'| (Székely and Rizzo 2013). It is an exact sum, with the rounding of a sum of N·M numbers.
//
// Gradients: points and weights, at a fixed length scale. A point has no pull on another in the same place where the kernel has a tip. A gradient in weights is
// that of all changes of the weights, so that <weights, gradient> over both measures is twice the value; for the energy it is centred, <weights, gradient> = 0. A
// prior's mass follows that of the other measure, which the gradient in that one's weights includes. In the points a smooth kernel's pull, at most about 1/blur
// for a pair, is right to some 2^-50 R/blur of that, where R is how far the clouds extend.
type Discrepancy struct {
	Source, Target string // names of the inputs
	Kernel         Kernel
	Blur           *float64 // length scale of the kernel; nil: that of defaultBlur
	Statistic      Statistic
	Convention     Convention
	ClosedForm     bool // integrates over the target exactly; it has to be a prior N(0, I), the kernel not Laplacian
}

// Kind implements [losses.Loss].
func (Discrepancy) Kind() string { return "mmd" }

// Uses implements [losses.Loss].
func (d Discrepancy) Uses() []losses.Use {
	return []losses.Use{{Field: "source", Input: d.Source}, {Field: "target", Input: d.Target}}
}

// Extras implements [losses.Loss]. witness, [N], is the kernel mean of the source less that of the target at the source's points, pairs of a point with itself
// included whatever the statistic: Σ_j a_j k(x_i,x_j) - Σ_j b_j k(x_i,y_j). It has the kernel's units, whatever the convention.
func (Discrepancy) Extras() []string { return []string{"witness"} }

// Bind implements [losses.Loss].
func (d Discrepancy) Bind(inputs losses.Inputs, seed losses.Seed) (losses.Problem, error) {
	p := &problem{kernel: d.Kernel, factor: 1}
	if d.Convention == Half {
		p.factor = 0.5
	}
	if err := checkBlur(d.Blur); err != nil {
		return nil, err
	}
	if d.Blur != nil && d.Kernel == Energy {
		return nil, losses.Badf("blur", "is %v, but the kernel is energy, which has no length scale", *d.Blur)
	}
	if err := d.bindClouds(p, inputs, seed); err != nil {
		return nil, err
	}
	if err := checkSpread(p.a, p.b); err != nil {
		return nil, err
	}
	p.blur = defaultBlur(d.Kernel, p.a, p.b)
	if d.Blur != nil {
		p.blur = *d.Blur
	}
	p.radial = radialOf(d.Kernel, p.blur, p.a.D)
	diagonal := func([]float64) float64 { return p.atZero }
	p.selfA = newSelf(p.a, d.Statistic, diagonal)
	if err := p.selfA.check("source"); err != nil {
		return nil, err
	}
	if p.b == nil {
		return p, nil
	}
	p.selfB = newSelf(p.b, d.Statistic, diagonal)
	return p, p.selfB.check("target")
}

// bindClouds sets what is compared: two clouds, or one with N(0, I) itself.
func (d Discrepancy) bindClouds(p *problem, inputs losses.Inputs, seed losses.Seed) (err error) {
	if !d.ClosedForm {
		if p.a, p.b, err = inputs.Pair(d.Source, d.Target, seed); err != nil || d.Kernel != Energy {
			return err
		}
		return losses.Balance(p.a, p.b)
	}
	if d.Kernel == Laplacian {
		return losses.Badf("closed_form", "is set, but the kernel is laplacian, want energy, gaussian or imq")
	}
	if p.a, err = inputs.Cloud("source", d.Source); err != nil {
		return err
	}
	prior, _ := inputs[d.Target].(*losses.Prior)
	if prior == nil || prior.Family != (losses.StandardNormal{}) {
		return losses.Badf("target", "input %q is no prior of the family standard_normal, which closed_form integrates over", d.Target)
	}
	return nil
}

// checkBlur says what is wrong with a length scale that was given. Its square and the square of a distance in its units are numbers.
func checkBlur(blur *float64) error {
	if blur != nil && !(*blur >= 0x1p-400 && *blur <= 0x1p400) {
		return losses.Badf("blur", "is %v, want a positive number, at least 2^-400 and at most 2^400", *blur)
	}
	return nil
}

// checkSpread says whether squared distances can be computed, among them those of the origin where b is nil.
func checkSpread(a, b *losses.Cloud) error {
	lo, hi := make([]float64, a.D), make([]float64, a.D)
	if b != nil {
		copy(lo, a.X)
		copy(hi, a.X)
		b.Box(lo, hi)
	}
	a.Box(lo, hi)
	square := 0.0
	for k := range lo {
		square += (hi[k] - lo[k]) * (hi[k] - lo[k])
	}
	if square <= math.MaxFloat64/1e8 {
		return nil
	}
	if b == nil {
		return losses.Badf("source", "the points of %q are too far from the origin: squared distances overflow binary64", a.Name)
	}
	return losses.Badf("source", "the points of %q and %q are too far apart: squared distances overflow binary64", a.Name, b.Name)
}

// defaultBlur is the length scale where none is given: 1 for IMQ, whose scales are multiples of the squared distances in a measure of unit variance, elsewhere
// the root of the target's mean squared distance to its mean, of the source's to the target's mean where that is 0, else 1. b nil is N(0, I).
func defaultBlur(kernel Kernel, a, b *losses.Cloud) float64 {
	if kernel == IMQ || kernel == Energy {
		return 1
	}
	if b == nil {
		return math.Sqrt(float64(a.D))
	}
	mean := make([]float64, b.D)
	for j, w := range b.W {
		for k, v := range b.X[j*b.D : (j+1)*b.D] {
			mean[k] += w / b.Mass * v
		}
	}
	for _, c := range []*losses.Cloud{b, a} {
		square := 0.0
		for i, w := range c.W {
			for k, v := range c.X[i*c.D : (i+1)*c.D] {
				square += w / c.Mass * (v - mean[k]) * (v - mean[k])
			}
		}
		// All points in one place are off their mean by its rounding.
		if size := norm(mean); square > 1e-28*size*size && square > 0x1p-800 {
			return math.Sqrt(square)
		}
	}
	return 1
}

func norm(v []float64) float64 {
	square := 0.0
	for _, x := range v {
		square += x * x
	}
	return math.Sqrt(square)
}

// check says whether a U-statistic has pairs, and whether the square of the mass is a number. The error is relative to a loss.
func (s *self) check(field string) error {
	if m := s.cloud.Mass; !(m >= 0x1p-400 && m <= 0x1p400) {
		return losses.Badf(field, "input %q has mass %v, want at least 2^-400 and at most 2^400", s.cloud.Name, m)
	}
	if s.part > 0 {
		return nil
	}
	return losses.Badf(field, "input %q has one point of positive weight, want two or more for STATISTIC_U", s.cloud.Name)
}
