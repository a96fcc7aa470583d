package kl

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
)

// Direction says which way a divergence looks.
type Direction int

const (
	// Forward is KL(posterior, prior), the default, that of the evidence lower bound.
	Forward Direction = iota
	// Reverse is KL(prior, posterior).
	Reverse
	// Symmetric is the sum of both (Jeffreys 1946).
	Symmetric
)

// Allowance is what of a divergence costs nothing. At most one of the two is given; nil: none.
type Allowance struct {
	// FreeBits, in nats, is what a dimension counts as whose mean over rows is less, with a gradient of 0 (Kingma, Salimans, Jozefowicz, Chen, Sutskever,
	// Welling 2016, appendix C.8).
	FreeBits *float64
	// Capacity C, in nats, makes the value |KL - C| (Burgess et al. 2018, equation 8), with a gradient of 0 where they are equal.
	Capacity *float64
}

// check refuses numbers that mean nothing. The error is relative to the loss.
func (a Allowance) check() error {
	for _, f := range []struct {
		field string
		value *float64
	}{{"free_bits", a.FreeBits}, {"capacity", a.Capacity}} {
		if f.value != nil && (!(*f.value >= 0) || math.IsInf(*f.value, 1)) {
			return losses.Badf(f.field, "is %v, want a finite number, 0 or more", *f.value)
		}
	}
	if a.FreeBits != nil && a.Capacity != nil {
		return losses.Badf("capacity", "is given together with free_bits, want one of them")
	}
	return nil
}

// answer is what a divergence between rows is before an allowance is made.
type answer struct {
	perRow       []float64 // [n]
	perDimension []float64 // [d], the means over rows, whose sum is the value; one number where nothing is divided into dimensions
	// gradients are those of the sum of perDimension. Where there are several dimensions, the last extent of each is theirs.
	gradients map[losses.Ref][]float64
}

// infinite reports whether a divergence is. It has no direction of descent then.
func (a answer) infinite() bool { return math.IsInf(floats.Sum(a.perDimension), 1) }

// allow makes the allowance: it returns the value and leaves its gradients in the answer.
func (a Allowance) allow(of *answer) float64 {
	value := floats.Sum(of.perDimension)
	switch {
	case math.IsInf(value, 1):
		of.gradients = nil
	case a.FreeBits != nil:
		value = 0
		for j, v := range of.perDimension {
			value += max(v, *a.FreeBits)
			if v < *a.FreeBits {
				of.drop(j)
			}
		}
	case a.Capacity != nil:
		sign := 0.0
		if value != *a.Capacity {
			sign = math.Copysign(1, value-*a.Capacity)
		}
		for _, g := range of.gradients {
			floats.Scale(sign, g)
		}
		value = math.Abs(value - *a.Capacity)
	}
	return value
}

// drop sets the gradients in a dimension to 0.
func (a *answer) drop(dimension int) {
	for _, g := range a.gradients {
		for k := dimension; k < len(g); k += len(a.perDimension) {
			g[k] = 0
		}
	}
}

// result makes the result of an answer. The extras are those that the loss has for its inputs; a wanted one of another name is left out, with a warning.
func (a Allowance) result(of answer, infinite string, want losses.Want, extras ...string) losses.TermResult {
	perDimension := slices.Clone(of.perDimension)
	result := losses.TermResult{Outcomes: []losses.Outcome{{Value: a.allow(&of)}}, Extras: map[string]losses.Extra{}}
	if result.Gradients = of.gradients; math.IsInf(result.Outcomes[0].Value, 1) {
		result.Warnings = []losses.Warning{{Code: losses.InfiniteValue, Message: infinite}}
	}
	for name, values := range map[string][]float64{"per_row": of.perRow, "per_dimension": perDimension} {
		if want.Extras[name] && slices.Contains(extras, name) {
			extra := losses.NewArray(values, len(values))
			result.Extras[name] = &extra
		}
	}
	for _, name := range []string{"per_row", "per_dimension"} {
		if want.Extras[name] && !slices.Contains(extras, name) {
			result.Warnings = append(result.Warnings, losses.Warning{Code: losses.ExtraUnavailable, Message: name + " is left out: inputs of this kind have none"})
		}
	}
	return result
}

// expm is e^x - 1 and e^x - 1 - x. Near 0 the terms of the second cancel, so there it is the series ½x²(1 + x/3(1 + x/4(…))), whose 12 factors reach
// binary64 for |x| < ½; and the first is x more, which saves an exponential.
func expm(x float64) (less1, less2 float64) {
	if math.Abs(x) >= 0.5 {
		if less1 = math.Expm1(x); math.IsInf(less1, 1) {
			return less1, less1 // not ∞ - ∞
		}
		return less1, less1 - x
	}
	sum := 1.0
	for k := len(reciprocals) - 1; k >= 0; k-- {
		sum = 1 + sum*(x*reciprocals[k])
	}
	less2 = 0.5 * x * x * sum
	return x + less2, less2
}

// reciprocals are those of 3 to 14: a product takes a fifth of a quotient's time.
var reciprocals = [...]float64{1. / 3, 1. / 4, 1. / 5, 1. / 6, 1. / 7, 1. / 8, 1. / 9, 1. / 10, 1. / 11, 1. / 12, 1. / 13, 1. / 14}

// slot returns the place of a wanted gradient, made if it is not there; nil: nobody wants it. An input that is on both sides has one place.
func slot(into map[losses.Ref][]float64, want losses.Want, input, field string, n int) []float64 {
	ref := losses.Ref{Input: input, Field: field}
	if !want.Gradients[ref] {
		return nil
	}
	if into[ref] == nil {
		into[ref] = make([]float64, n)
	}
	return into[ref]
}

// addAt adds v to dst[i]; a nil dst is a gradient that nobody wants.
func addAt(dst []float64, i int, v float64) {
	if dst != nil {
		dst[i] += v
	}
}
