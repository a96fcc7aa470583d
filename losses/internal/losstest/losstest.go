// Package losstest holds what the tests of several losses share: random measures, one evaluation in one line, and finite differences of any gradient.
package losstest

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/diff/fd"

	"kantor/losses"
)

// Random is a generator that every run seeds the same way.
func Random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x6b616e746f72)) }

// Normal returns n points of dimension d from N(shift, scale²).
func Normal(r *rand.Rand, n, d int, scale, shift float64) losses.Array {
	x := make([]float64, n*d)
	for i := range x {
		x[i] = scale*r.NormFloat64() + shift
	}
	return losses.NewArray(x, n, d)
}

// Weights returns n weights in (½,3/2) scaled to the given mass.
func Weights(r *rand.Rand, n int, mass float64) *losses.Array {
	w, sum := make([]float64, n), 0.0
	for i := range w {
		w[i] = 0.5 + r.Float64()
		sum += w[i]
	}
	for i := range w {
		w[i] *= mass / sum
	}
	a := losses.NewArray(w, n)
	return &a
}

// Cloud is a measure from rows, with uniform weights.
func Cloud(rows ...[]float64) *losses.Measure {
	var x []float64
	for _, row := range rows {
		x = append(x, row...)
	}
	return &losses.Measure{Points: losses.NewArray(x, len(rows), len(rows[0]))}
}

// Weighted is a measure on the line.
func Weighted(points, weights []float64) *losses.Measure {
	w := losses.NewArray(weights, len(weights))
	return &losses.Measure{Points: losses.NewArray(points, len(points), 1), Weights: &w}
}

// Evaluate binds and evaluates one term with the given gradients.
func Evaluate(t *testing.T, loss losses.Loss, inputs losses.Inputs, gradients ...string) *losses.Result {
	t.Helper()
	return EvaluateObjective(t, losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}, Gradients: gradients}, inputs)
}

// EvaluateObjective binds and evaluates.
func EvaluateObjective(t *testing.T, o losses.Objective, inputs losses.Inputs) *losses.Result {
	t.Helper()
	evaluation, err := o.Bind(inputs, 0)
	if err != nil {
		t.Fatal(err)
	}
	result, err := evaluation.Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// Outcome is the outcome of the only term.
func Outcome(t *testing.T, loss losses.Loss, inputs losses.Inputs) losses.Outcome {
	t.Helper()
	return Evaluate(t, loss, inputs).Terms[0].Outcomes[0]
}

// Tensor finds "source.points" in the inputs.
func Tensor(inputs losses.Inputs, name string) *losses.Array {
	input, field, _ := strings.Cut(name, ".")
	switch v := inputs[input].(type) {
	case *losses.Measure:
		if field == "points" {
			return &v.Points
		}
		return v.Weights
	case *losses.Gaussian:
		switch field {
		case "mean":
			return &v.Mean
		case "covariance":
			return v.Covariance
		}
		return &v.LogVariance
	case *losses.Categorical:
		if field == "logits" {
			return v.Logits
		}
		return v.Probabilities
	case *losses.Bernoulli:
		if field == "logits" {
			return v.Logits
		}
		return v.Probabilities
	case *losses.VonMisesFisher:
		if field == "mean" {
			return &v.Mean
		}
		return &v.Concentration
	}
	return nil
}

// Directional returns the derivative along direction of the tensor's gradient and by central differences of order 4 at the given step. The tensor is
// moved and put back.
func Directional(t *testing.T, loss losses.Loss, inputs losses.Inputs, name string, direction []float64, step float64) (analytic, numeric float64) {
	t.Helper()
	input, field, _ := strings.Cut(name, ".")
	gradient := Evaluate(t, loss, inputs, name).Gradients[losses.Ref{Input: input, Field: field}].F64
	for i, v := range direction {
		analytic += gradient[i] * v
	}
	x := Tensor(inputs, name).F64
	start := append([]float64(nil), x...)
	defer copy(x, start)
	along := func(s float64) float64 {
		for i := range x {
			x[i] = start[i] + s*direction[i]
		}
		return Evaluate(t, loss, inputs).Value
	}
	fourth := fd.Formula{Derivative: 1, Step: step,
		Stencil: []fd.Point{{Loc: -2, Coeff: 1. / 12}, {Loc: -1, Coeff: -2. / 3}, {Loc: 1, Coeff: 2. / 3}, {Loc: 2, Coeff: -1. / 12}}}
	return analytic, fd.Derivative(along, 0, &fd.Settings{Formula: fourth, Step: step})
}

// Unit returns a random direction of norm 1.
func Unit(r *rand.Rand, n int) []float64 {
	v, square := make([]float64, n), 0.0
	for i := range v {
		v[i] = r.NormFloat64()
		square += v[i] * v[i]
	}
	return scaled(v, square)
}

// UnitBalanced returns a random direction of norm 1 whose entries sum to 0 and are 0 where keep is 0: a change of weights that keeps the mass.
func UnitBalanced(r *rand.Rand, keep []float64) []float64 {
	v, sum, count := make([]float64, len(keep)), 0.0, 0.0
	for i, k := range keep {
		if k != 0 {
			v[i] = r.NormFloat64()
			sum += v[i]
			count++
		}
	}
	square := 0.0
	for i, k := range keep {
		if k != 0 {
			v[i] -= sum / count
			square += v[i] * v[i]
		}
	}
	return scaled(v, square)
}

// scaled divides v by the root of its squared norm.
func scaled(v []float64, square float64) []float64 {
	for i := range v {
		v[i] /= math.Sqrt(square)
	}
	return v
}

// Ptr returns a pointer to v, for optional parameters.
func Ptr(v float64) *float64 { return &v }
