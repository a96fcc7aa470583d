package kl_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kl"
)

// close reports whether two numbers agree relative to the second.
func near(got, want, relative float64) bool { return math.Abs(got-want) <= relative*math.Abs(want) }

// allow has free bits, or a capacity; negative: none.
func allow(freeBits, capacity float64) kl.Allowance {
	var out kl.Allowance
	if freeBits >= 0 {
		out.FreeBits = &freeBits
	}
	if capacity >= 0 {
		out.Capacity = &capacity
	}
	return out
}

func array(values []float64, shape ...int) *losses.Array {
	a := losses.NewArray(values, shape...)
	return &a
}

func logits(k int, values ...float64) *losses.Categorical {
	return &losses.Categorical{Logits: array(values, len(values)/k, k)}
}

func probabilities(k int, values ...float64) *losses.Categorical {
	return &losses.Categorical{Probabilities: array(values, len(values)/k, k)}
}

func bitLogits(d int, values ...float64) *losses.Bernoulli {
	return &losses.Bernoulli{Logits: array(values, len(values)/d, d)}
}

func bitProbabilities(d int, values ...float64) *losses.Bernoulli {
	return &losses.Bernoulli{Probabilities: array(values, len(values)/d, d)}
}

// positive is n numbers from ½ to 3/2, unit n from .1 to .9.
func positive(r *rand.Rand, n int) []float64 { return losstest.Weights(r, n, float64(n)).F64 }

func unit(r *rand.Rand, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 0.1 + 0.8*r.Float64()
	}
	return out
}

// full is rows of Gaussians with covariances.
func full(n, d int, mean, covariance []float64) *losses.Gaussian {
	return &losses.Gaussian{Mean: losses.NewArray(mean, n, d), Covariance: array(covariance, n, d, d)}
}

// randomFull has covariances GGᵀ/k of d x k normal matrices: singular where k < d.
func randomFull(r *rand.Rand, n, d, k int) *losses.Gaussian {
	c := make([]float64, n*d*d)
	for i := range n {
		g := mat.NewDense(d, k, losstest.Normal(r, d, k, 1, 0).F64)
		var a mat.Dense
		a.Mul(g, g.T())
		for j := range d {
			for l := range d {
				c[(i*d+j)*d+l] = a.At(max(j, l), min(j, l)) / float64(k)
			}
		}
	}
	return full(n, d, losstest.Normal(r, n, d, 1, 0.3).F64, c)
}

// promoted is a Gaussian with its variances on the diagonals of covariances.
func promoted(g *losses.Gaussian) *losses.Gaussian {
	n, d := g.Mean.Shape[0], g.Mean.Shape[1]
	c := make([]float64, n*d*d)
	for i, v := range g.LogVariance.F64 {
		c[i*d+i%d] = math.Exp(v)
	}
	return full(n, d, g.Mean.F64, c)
}

func value(t *testing.T, loss losses.Loss, in losses.Inputs) float64 {
	t.Helper()
	return losstest.Evaluate(t, loss, in).Value
}

// gradient is that of one tensor.
func gradient(t *testing.T, loss losses.Loss, in losses.Inputs, input, field string) []float64 {
	t.Helper()
	return losstest.Evaluate(t, loss, in, input+"."+field).Gradients[losses.Ref{Input: input, Field: field}].F64
}

// slopes checks the gradients of tensors along random directions, by differences of order 4 at 1e-3: truncation 1e-12 of a fifth derivative of order 1e2,
// rounding 1e-15/1e-3.
func slopes(t *testing.T, name string, loss losses.Loss, in losses.Inputs, tensors ...string) {
	t.Helper()
	r := losstest.Random(99)
	for _, tensor := range tensors {
		along := losstest.Unit(r, losstest.Tensor(in, tensor).Len())
		analytic, numeric := losstest.Directional(t, loss, in, tensor, along, 1e-3)
		if math.Abs(analytic-numeric) > 1e-9*(1+math.Abs(numeric)) {
			t.Errorf("%s, %s: got %v, by differences %v", name, tensor, analytic, numeric)
		}
	}
}

// infinite checks that a value is, with a warning and without slopes.
func infinite(t *testing.T, name string, loss losses.Loss, in losses.Inputs, tensors ...string) {
	t.Helper()
	result := losstest.Evaluate(t, loss, in, tensors...)
	if term := result.Terms[0]; !math.IsInf(result.Value, 1) || len(term.Warnings) != 1 || term.Warnings[0].Code != losses.InfiniteValue {
		t.Errorf("%s: got %v with %v, want +Inf and a warning", name, result.Value, term.Warnings)
	}
	for ref, g := range result.Gradients {
		for i := range g.Len() {
			if g.At(i) != 0 {
				t.Errorf("%s: the gradient in %v is %v at %d, want 0", name, ref, g.At(i), i)
			}
		}
	}
}

// extra evaluates a term with an extra, and returns what it came with.
func extra(t *testing.T, loss losses.Loss, in losses.Inputs, name string) ([]float64, losses.TermResult) {
	t.Helper()
	result := losstest.EvaluateObjective(t, losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}, Extras: []string{loss.Kind() + "." + name}}, in)
	if a, ok := result.Terms[0].Extras[name].(*losses.Array); ok {
		return a.F64, result.Terms[0]
	}
	return nil, result.Terms[0]
}

// refused checks the field of an error, and that its words are there.
func refused(t *testing.T, loss losses.Loss, in losses.Inputs, field string) {
	t.Helper()
	_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}}.Bind(in, 0)
	bad, ok := err.(*losses.InputError)
	if want := "objective.terms[0]." + loss.Kind() + "." + field; !ok || bad.Field != want {
		t.Errorf("got %v, want an error at %s", err, want)
	}
}

var directions = map[string]kl.Direction{"forward": kl.Forward, "reverse": kl.Reverse, "symmetric": kl.Symmetric}
