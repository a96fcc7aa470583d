package losses

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// allowance bounds what the extras of a batch hold together: what a problem returns may be many times what it was given, and of many problems more than
// there is memory.
type allowance struct{ numbers atomic.Int64 }

// keep counts what a problem returns, and lets go of it once there is too much.
func (a *allowance) keep(r *TermResult) {
	n := 0
	for _, extra := range r.Extras {
		switch e := extra.(type) {
		case *Array:
			n += e.Len()
		case *Plan:
			n += 2 * len(e.Mass)
		case *Measure:
			n += e.Points.Len() + e.Weights.Len()
		}
	}
	if a.numbers.Add(int64(n)) > MaxElements {
		r.Extras = nil
	}
}

// settle leaves the extras out of all results if together they were too much: which of them were kept depends on which problem ended first.
func (a *allowance) settle(results []TermResult) {
	n := a.numbers.Load()
	if n <= MaxElements {
		return
	}
	for b := range results {
		results[b].Extras = nil
	}
	results[0].Warnings = append(results[0].Warnings, Warning{Code: ExtraTooLarge,
		Message: fmt.Sprintf("the extras of all problems would have %d numbers, more than %d, and were left out: ask for them with fewer problems", n, MaxElements)})
}

// stack puts an extra of all problems under each other.
func (t boundTerm) stack(solved []TermResult, name string) Extra {
	switch first := solved[0].Extras[name].(type) {
	case *Potentials:
		field := func(get func(*Potentials) []float64, use string) []float64 {
			return stack(solved, t.widths[use], func(s TermResult) []float64 { return get(s.Extras[name].(*Potentials)) })
		}
		return &Potentials{
			Gauge:      first.Gauge,
			Source:     field(func(p *Potentials) []float64 { return p.Source }, "source"),
			Target:     field(func(p *Potentials) []float64 { return p.Target }, "target"),
			SourceSelf: field(func(p *Potentials) []float64 { return p.SourceSelf }, "source"),
			TargetSelf: field(func(p *Potentials) []float64 { return p.TargetSelf }, "target"),
			Batch:      t.batch,
		}
	case *Plan:
		return stackPlans(solved, name)
	case *Measure:
		return stackMeasures(solved, name)
	}
	return t.stackArrays(solved, name)
}

// stackArrays puts arrays under each other. Those with a row for each point of an input are as long as it.
func (t boundTerm) stackArrays(solved []TermResult, name string) *Array {
	first := solved[0].Extras[name].(*Array)
	shape := append([]int{t.batch}, first.Shape...)
	if first.rowsOf != "" {
		for _, s := range solved {
			shape[1] = max(shape[1], s.Extras[name].(*Array).Shape[0], t.widths[first.rowsOf])
		}
	}
	values := stack(solved, elements(shape[1:]), func(s TermResult) []float64 { return s.Extras[name].(*Array).Float64s() })
	return &Array{Shape: shape, F64: values}
}

// stack puts a vector of each problem under each other, padded with 0 to the longest of them and at least to width. Nil: the problems have none.
func stack(solved []TermResult, width int, get func(TermResult) []float64) []float64 {
	if get(solved[0]) == nil {
		return nil
	}
	for _, s := range solved {
		width = max(width, len(get(s)))
	}
	out := make([]float64, len(solved)*width)
	for b, s := range solved {
		copy(out[b*width:], get(s))
	}
	return out
}

// stackPlans puts plans one after the other.
func stackPlans(solved []TermResult, name string) *Plan {
	out := &Plan{}
	for _, s := range solved {
		p := s.Extras[name].(*Plan)
		out.Source, out.Target, out.Mass = append(out.Source, p.Source...), append(out.Target, p.Target...), append(out.Mass, p.Mass...)
		out.Sizes = append(out.Sizes, len(p.Mass))
	}
	return out
}

// stackMeasures makes a batch of measures, padded with 0 to the largest of them.
func stackMeasures(solved []TermResult, name string) *Measure {
	out, d := &Measure{}, 0
	for _, s := range solved {
		m := s.Extras[name].(*Measure)
		out.Sizes, d = append(out.Sizes, m.Points.Shape[0]), m.Points.Shape[1]
	}
	width := slices.Max(out.Sizes)
	points := stack(solved, width*d, func(s TermResult) []float64 { return s.Extras[name].(*Measure).Points.F64 })
	weights := NewArray(stack(solved, width, func(s TermResult) []float64 { return s.Extras[name].(*Measure).Weights.F64 }), len(solved), width)
	out.Points, out.Weights = NewArray(points, len(solved), width, d), &weights
	return out
}
