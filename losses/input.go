package losses

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Input is a named argument of a loss: *[Measure], *[Gaussian] or *[Prior].
type Input interface{ input() }

// Measure is a weighted point cloud.
type Measure struct {
	Points  Array  // [N,D], N and D at least 1
	Weights *Array // [N], non-negative with a positive sum; nil: 1/N each
}

// Gaussian is one normal distribution per row.
type Gaussian struct {
	Mean        Array // [N,D]
	LogVariance Array // [N,D], logarithms of the variances along the axes
}

// Prior is a distribution that is sampled here. The seed of the request and the name of the input decide the samples.
type Prior struct {
	Family Family
	Size   int // number of samples; 0: as many as the measure it is compared with
}

// Family is a distribution that a [Prior] can name.
type Family int

// StandardNormal is N(0, I) in the dimension of the measure it is compared with.
const StandardNormal Family = 1

func (*Measure) input()  {}
func (*Gaussian) input() {}
func (*Prior) input()    {}

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
		var err error
		switch v := in[name].(type) {
		case *Measure:
			err = v.check(name)
		case *Gaussian:
			err = v.check(name)
		case *Prior:
			err = v.check(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *Measure) check(name string) error {
	if err := m.Points.check(Ref{name, "points"}.path(), 2); err != nil {
		return err
	}
	if m.Weights == nil {
		return nil
	}
	path := Ref{name, "weights"}.path()
	if err := m.Weights.check(path, 1); err != nil {
		return err
	}
	if n := m.Points.Shape[0]; m.Weights.Len() != n {
		return badf(path, "has %d weights, want %d, one per point", m.Weights.Len(), n)
	}
	sum := 0.0
	for i, n := 0, m.Weights.Len(); i < n; i++ {
		w := m.Weights.At(i)
		if w < 0 {
			return badf(path, "has %v at [%d], want non-negative weights", w, i)
		}
		sum += w
	}
	if sum == 0 || math.IsInf(sum, 0) {
		return badf(path, "sum to %v, want a positive finite sum", sum)
	}
	return nil
}

func (g *Gaussian) check(name string) error {
	if err := g.Mean.check(Ref{name, "mean"}.path(), 2); err != nil {
		return err
	}
	path := Ref{name, "log_variance"}.path()
	if err := g.LogVariance.check(path, 2); err != nil {
		return err
	}
	if !slices.Equal(g.Mean.Shape, g.LogVariance.Shape) {
		return badf(path, "has shape %v, want that of the mean, %v", g.LogVariance.Shape, g.Mean.Shape)
	}
	return nil
}

func (p *Prior) check(name string) error {
	if p.Family != StandardNormal {
		return badf(fmt.Sprintf("inputs[%q].prior", name), "names no distribution, want standard_normal")
	}
	if p.Size < 0 || p.Size > MaxPoints {
		return badf(fmt.Sprintf("inputs[%q].prior.size", name), "is %d, want 0 (as many as the other measure) to %d", p.Size, MaxPoints)
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
			return Array{Shape: v.Points.Shape[:1], F32: v.Points.F32, F64: v.Points.F64}, nil
		}
		return Array{}, fmt.Errorf("input %q is a measure, want points or weights", r.Input)
	case *Gaussian:
		switch r.Field {
		case "mean":
			return v.Mean, nil
		case "log_variance":
			return v.LogVariance, nil
		}
		return Array{}, fmt.Errorf("input %q is a Gaussian, want mean or log_variance", r.Input)
	case *Prior:
		return Array{}, fmt.Errorf("input %q is a prior, which has no gradient", r.Input)
	}
	return Array{}, fmt.Errorf("there is no input %q", r.Input)
}
