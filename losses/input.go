package losses

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Input is a named argument of a loss: *[Measure], *[Gaussian], *[Categorical], *[Bernoulli], *[VonMisesFisher], *[Prior] or *[ConeCriticState].
//
// With one more extent in front, B, its arrays are a batch: B problems that are computed each as if it were alone. An input without it is shared by all
// problems of a term.
type Input interface {
	kind() string
	// check reports the first thing that is wrong with it by itself; the name is its own.
	check(name string) error
}

// Measure is a weighted point cloud, or a batch of them.
type Measure struct {
	Points  Array  // [N,D] or [B,N,D], no extent 0
	Weights *Array // [N] or, of a batch, [B,N], non-negative with a positive sum in each problem; nil: one over the number of points each
	// Sizes is how many of the N rows of each problem of a batch count. The others are padding, which may hold anything and has a gradient of 0. Empty:
	// all rows count.
	Sizes []int
}

// Gaussian is one normal distribution per row, or a batch of such rows.
type Gaussian struct {
	Mean        Array  // [N,D] or [B,N,D]
	LogVariance Array  // the same, logarithms of the variances along the axes; empty where there are covariances
	Covariance  *Array // [N,D,D] or [B,N,D,D], symmetric; nil: the axes are independent
}

// ConeCriticState is what a cone critic has learnt: see the contract's message of this name. It belongs to the caller: it comes back as an extra and goes
// with the next request.
type ConeCriticState struct {
	Tips          Array // [2,J,D]
	Heights       Array // [2,J]
	TipMoments    Array // [2,2,J,D], the means of the gradient and of its square
	HeightMoments Array // [2,2,J]
	Averages      Array // [2]
	Step          int
}

func (*Measure) kind() string         { return "measure" }
func (*Gaussian) kind() string        { return "Gaussian" }
func (*Prior) kind() string           { return "prior" }
func (*ConeCriticState) kind() string { return "critic's state" }
func (*Categorical) kind() string     { return "categorical" }
func (*Bernoulli) kind() string       { return "Bernoulli" }
func (*VonMisesFisher) kind() string  { return "von Mises-Fisher" }

// Inputs are the arguments of an objective by name.
type Inputs map[string]Input

// Ref names one tensor of an input: {"source", "points"}.
type Ref struct{ Input, Field string }

func (r Ref) String() string { return r.Input + "." + r.Field }

// path is where the tensor stands in a request.
func (r Ref) path() string { return fmt.Sprintf("inputs[%q].%s", r.Input, r.Field) }

// check reports the first thing that is wrong with an input by itself, in the order of the names, so that the same request gives the same error.
func (in Inputs) check() error {
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if err := in[name].check(name); err != nil {
			return err
		}
	}
	return nil
}

func (m *Measure) check(name string) error {
	path := Ref{name, "points"}.path()
	if err := m.Points.check(path); err != nil {
		return err
	}
	if err := m.checkSizes(Ref{name, "sizes"}.path()); err != nil {
		return err
	}
	stride := m.Points.Len() / max(1, m.batch())
	for b := range max(1, m.batch()) {
		if err := m.Points.checkFinite(path, b*stride, b*stride+m.rows(b)*m.dimension()); err != nil {
			return err
		}
	}
	if m.Weights == nil {
		return nil
	}
	return m.checkWeights(Ref{name, "weights"}.path())
}

func (m *Measure) checkSizes(path string) error {
	switch {
	case len(m.Sizes) == 0:
		return nil
	case m.batch() == 0:
		return badf(path, "are given, but the points of shape %v are no batch [B,N,D]", m.Points.Shape)
	case len(m.Sizes) != m.batch():
		return badf(path, "has %d numbers, want %d, one per problem", len(m.Sizes), m.batch())
	}
	for b, size := range m.Sizes {
		if n := m.Points.Shape[1]; size < 1 || size > n {
			return badf(path, "has %d at [%d], want 1 to %d", size, b, n)
		}
	}
	return nil
}

func (m *Measure) checkWeights(path string) error {
	want := m.Points.Shape[:len(m.Points.Shape)-1]
	if len(want) == 1 && len(m.Weights.Shape) == 1 && m.Weights.Shape[0] != want[0] {
		return badf(path, "has %d weights, want %d, one per point", m.Weights.Shape[0], want[0])
	}
	if !slices.Equal(m.Weights.Shape, want) {
		return badf(path, "has shape %v, want %v, that of the points without the dimension", m.Weights.Shape, want)
	}
	if err := m.Weights.checkLen(path); err != nil {
		return err
	}
	stride := want[len(want)-1]
	for b := range max(1, m.batch()) {
		lo, hi := b*stride, b*stride+m.rows(b)
		if err := m.Weights.checkFinite(path, lo, hi); err != nil {
			return err
		}
		sum := 0.0
		for i := lo; i < hi; i++ {
			w := m.Weights.At(i)
			if w < 0 {
				return badf(path, "has %v at %s, want non-negative weights", w, m.Weights.index(i))
			}
			sum += w
		}
		if sum == 0 || math.IsInf(sum, 0) {
			return badf(path, "sum to %v%s, want a positive finite sum", sum, m.inProblem(b))
		}
	}
	return nil
}

// emptyLike returns an input of the same kind that holds nothing.
func emptyLike(in Input) Input {
	switch in.(type) {
	case *Measure:
		return &Measure{}
	case *Gaussian:
		return &Gaussian{}
	case *Categorical:
		return &Categorical{}
	case *Bernoulli:
		return &Bernoulli{}
	case *VonMisesFisher:
		return &VonMisesFisher{}
	}
	return nil
}

// tensor returns the array that r names, or an error that lists what can be named.
func (in Inputs) tensor(r Ref) (Array, error) {
	switch v := in[r.Input].(type) {
	case *Measure:
		switch {
		case r.Field == "points":
			return v.Points, nil
		case r.Field == "weights" && v.Weights != nil:
			return *v.Weights, nil
		case r.Field == "weights":
			return Array{Shape: v.Points.Shape[:len(v.Points.Shape)-1], F32: v.Points.F32, F64: v.Points.F64}, nil
		}
		return Array{}, fmt.Errorf("input %q is a measure, want points or weights", r.Input)
	case *Gaussian:
		switch r.Field {
		case "mean":
			return v.Mean, nil
		case "log_variance":
			if v.Covariance == nil {
				return v.LogVariance, nil
			}
		case "covariance":
			if v.Covariance != nil {
				return *v.Covariance, nil
			}
		}
		return Array{}, fmt.Errorf("input %q is a Gaussian, want mean or %s", r.Input, v.spread())
	case *Categorical:
		return choice(v.Logits, v.Probabilities).tensor(r, v)
	case *Bernoulli:
		return choice(v.Logits, v.Probabilities).tensor(r, v)
	case *VonMisesFisher:
		switch r.Field {
		case "mean":
			return v.Mean, nil
		case "concentration":
			return v.Concentration, nil
		}
		return Array{}, fmt.Errorf("input %q is a %s, want mean or concentration", r.Input, v.kind())
	case nil:
		return Array{}, fmt.Errorf("there is no input %q", r.Input)
	}
	return Array{}, fmt.Errorf("input %q is a %s, which has no gradient", r.Input, in[r.Input].kind())
}
