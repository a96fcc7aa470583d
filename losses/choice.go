package losses

import (
	"fmt"
	"math"
)

// Categorical is one distribution over K classes per row, or a batch of such rows, by one of two parameters.
type Categorical struct {
	// Logits, [N,K] or [B,N,K], are the logarithms of the probabilities up to a constant in each row. -Inf is a probability of 0; one at least of each row is
	// finite.
	Logits *Array
	// Probabilities, of the same shape, are up to a factor in each row: non-negative with a positive sum.
	Probabilities *Array
}

// Bernoulli is D independent bits per row, or a batch of such rows, by one of two parameters.
type Bernoulli struct {
	Logits        *Array // [N,D] or [B,N,D], the logarithms of the odds of a one; -Inf and Inf are certain bits
	Probabilities *Array // the same, of a one, from 0 to 1
}

// VonMisesFisher is one distribution on the unit sphere per row, or a batch of such rows.
type VonMisesFisher struct {
	Mean          Array // [N,D] or [B,N,D], directions of length 1, D at least 2
	Concentration Array // [N] or [B,N], non-negative; 0: uniform
}

// parameter is an array by the name of its field.
type parameter struct {
	*Array
	name string
}

// choice is the parameter that is given, or none.
func choice(logits, probabilities *Array) parameter {
	if logits != nil {
		return parameter{logits, "logits"}
	}
	return parameter{probabilities, "probabilities"}
}

// tensor returns the array, where it is the one that r names.
func (p parameter) tensor(r Ref, of Input) (Array, error) {
	if r.Field == p.name {
		return *p.Array, nil
	}
	return Array{}, fmt.Errorf("input %q is a %s by its %s, want %s", r.Input, of.kind(), p.name, p.name)
}

// checkChoice refuses what is not one array of rows.
func checkChoice(name string, logits, probabilities *Array) error {
	if (logits == nil) == (probabilities == nil) {
		return badf(fmt.Sprintf("inputs[%q]", name), "has %s, want logits or probabilities", map[bool]string{true: "neither", false: "both"}[logits == nil])
	}
	p := choice(logits, probabilities)
	return p.check(Ref{name, p.name}.path())
}

func (c *Categorical) check(name string) error {
	if err := checkChoice(name, c.Logits, c.Probabilities); err != nil {
		return err
	}
	p := choice(c.Logits, c.Probabilities)
	path, k := Ref{name, p.name}.path(), p.Shape[len(p.Shape)-1]
	for row := 0; row < p.Len(); row += k {
		sum := 0.0
		for i := row; i < row+k; i++ {
			v := p.At(i)
			switch {
			case math.IsNaN(v) || math.IsInf(v, 1):
				return badf(path, "has %v at %s, want numbers below Inf", v, p.index(i))
			case c.Logits != nil && !math.IsInf(v, -1):
				sum = 1
			case c.Logits == nil && v < 0:
				return badf(path, "has %v at %s, want non-negative probabilities", v, p.index(i))
			case c.Logits == nil:
				sum += v
			}
		}
		if sum == 0 || math.IsInf(sum, 0) {
			return badf(path, "has no possible class in the row of %s, want one whose probability is positive, and a finite sum", p.index(row))
		}
	}
	return nil
}

func (b *Bernoulli) check(name string) error {
	if err := checkChoice(name, b.Logits, b.Probabilities); err != nil {
		return err
	}
	p := choice(b.Logits, b.Probabilities)
	path := Ref{name, p.name}.path()
	for i := range p.Len() {
		v := p.At(i)
		if math.IsNaN(v) {
			return badf(path, "has %v at %s, want numbers", v, p.index(i))
		}
		if b.Logits == nil && (v < 0 || v > 1) {
			return badf(path, "has %v at %s, want probabilities from 0 to 1", v, p.index(i))
		}
	}
	return nil
}

// offSphere is how far from 1 the length of a direction may be: what rounding in binary32 leaves.
const offSphere = 1e-4

func (f *VonMisesFisher) check(name string) error {
	mean, concentration := Ref{name, "mean"}.path(), Ref{name, "concentration"}.path()
	if err := f.Mean.check(mean); err != nil {
		return err
	}
	if err := f.Mean.checkFinite(mean, 0, f.Mean.Len()); err != nil {
		return err
	}
	rank := len(f.Mean.Shape)
	d := f.Mean.Shape[rank-1]
	if d < 2 {
		return badf(mean, "has shape %v, want directions in dimension 2 or more", f.Mean.Shape)
	}
	for row := 0; row < f.Mean.Len(); row += d {
		length := 0.0
		for i := row; i < row+d; i++ {
			length = math.Hypot(length, f.Mean.At(i))
		}
		if math.Abs(length-1) > offSphere {
			return badf(mean, "has length %v in the row of %s, want directions of length 1", length, f.Mean.index(row))
		}
	}
	if want := f.Mean.Shape[:rank-1]; fmt.Sprint(want) != fmt.Sprint(f.Concentration.Shape) {
		return badf(concentration, "has shape %v, want %v, that of the means without the dimension", f.Concentration.Shape, want)
	}
	if err := f.Concentration.checkLen(concentration); err != nil {
		return err
	}
	if err := f.Concentration.checkFinite(concentration, 0, f.Concentration.Len()); err != nil {
		return err
	}
	for i := range f.Concentration.Len() {
		if v := f.Concentration.At(i); v < 0 {
			return badf(concentration, "has %v at %s, want non-negative numbers", v, f.Concentration.index(i))
		}
	}
	return nil
}

// chosen is problem b of the parameter that is given.
func chosen(p parameter, b int) (logits, probabilities *Array) {
	part := p.problem(b, p.Shape[1])
	if p.name == "logits" {
		return &part, nil
	}
	return nil, &part
}

func (c *Categorical) problem(b int) Input {
	logits, probabilities := chosen(choice(c.Logits, c.Probabilities), b)
	return &Categorical{logits, probabilities}
}

func (b *Bernoulli) problem(i int) Input {
	logits, probabilities := chosen(choice(b.Logits, b.Probabilities), i)
	return &Bernoulli{logits, probabilities}
}

func (f *VonMisesFisher) problem(b int) Input {
	n := f.Mean.Shape[1]
	return &VonMisesFisher{Mean: f.Mean.problem(b, n), Concentration: f.Concentration.problem(b, n)}
}
