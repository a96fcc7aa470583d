package losses

import (
	"fmt"
	"math"
)

// Array is a dense row-major array in one of two number formats. Exactly one of F32 and F64 is set, and its length is the product of Shape.
type Array struct {
	Shape []int
	F32   []float32
	F64   []float64
}

// NewArray returns an array of float64 that shares values.
func NewArray(values []float64, shape ...int) Array { return Array{Shape: shape, F64: values} }

// Len is the number of elements.
func (a Array) Len() int {
	if a.F32 != nil {
		return len(a.F32)
	}
	return len(a.F64)
}

// At returns element i of the flattened array.
func (a Array) At(i int) float64 {
	if a.F32 != nil {
		return float64(a.F32[i])
	}
	return a.F64[i]
}

// Float64s returns the elements as a new slice, so that writing to it never reaches the caller's data.
func (a Array) Float64s() []float64 {
	out := make([]float64, a.Len())
	if a.F32 == nil {
		copy(out, a.F64)
		return out
	}
	for i, v := range a.F32 {
		out[i] = float64(v)
	}
	return out
}

// withValues returns an array of a's shape and number format that holds values, rounded once.
func (a Array) withValues(values []float64) Array {
	out := Array{Shape: append([]int(nil), a.Shape...)}
	if a.F32 == nil {
		out.F64 = values
		return out
	}
	out.F32 = make([]float32, len(values))
	for i, v := range values {
		out.F32[i] = float32(v)
	}
	return out
}

// check reports whether a is a finite array of the given rank with at least one element: rank 2 with N,D within the limits, or rank 1. The path names it
// in the error.
func (a Array) check(path string, rank int) error {
	if len(a.Shape) == 3 && rank == 2 {
		return badf(path, "has shape %v, want [N,D]: batches of problems [B,N,D] are not supported", a.Shape)
	}
	if len(a.Shape) != rank {
		return badf(path, "has shape %v, want %s", a.Shape, [...]string{"", "[N]", "[N,D]"}[rank])
	}
	if (a.F32 != nil) == (a.F64 != nil) && a.Len() > 0 {
		return badf(path, "holds two number formats, want one")
	}
	n := 1
	for i, extent := range a.Shape {
		limit, name := MaxPoints, "rows"
		if i == 1 {
			limit, name = MaxDimension, "columns"
		}
		if extent < 1 {
			return badf(path, "has shape %v, want at least one element", a.Shape)
		}
		if extent > limit {
			return badf(path, "is too large: %d %s, want at most %d", extent, name, limit)
		}
		n *= extent
	}
	if a.Len() != n {
		return badf(path, "has %d elements, want %d for shape %v", a.Len(), n, a.Shape)
	}
	return a.checkFinite(path)
}

// checkFinite names the first element that is NaN or infinite.
func (a Array) checkFinite(path string) error {
	for i, n := 0, a.Len(); i < n; i++ {
		if v := a.At(i); math.IsNaN(v) || math.IsInf(v, 0) {
			return badf(path, "has %v at %s, want finite numbers", v, a.index(i))
		}
	}
	return nil
}

// index writes flat index i as a subscript.
func (a Array) index(i int) string {
	if len(a.Shape) == 2 {
		return fmt.Sprintf("[%d,%d]", i/a.Shape[1], i%a.Shape[1])
	}
	return fmt.Sprintf("[%d]", i)
}
