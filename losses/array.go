package losses

import (
	"fmt"
	"math"
	"strings"
)

// Array is a dense row-major array in one of two number formats. Exactly one of F32 and F64 is set, and its length is the product of Shape.
type Array struct {
	Shape []int
	F32   []float32
	F64   []float64

	rowsOf string // see RowsOf
}

// NewArray returns an array of float64 that shares values.
func NewArray(values []float64, shape ...int) Array { return Array{Shape: shape, F64: values} }

// RowsOf returns an array for an extra with a row for each point of the input that a loss's field names. In a batch whose problems have different numbers of
// points it is padded to the rows of that input, with 0.
func RowsOf(field string, values []float64, shape ...int) *Array {
	return &Array{Shape: shape, F64: values, rowsOf: field}
}

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

// empty returns an array of a's shape and number format without its elements, which nobody need keep for it.
func (a Array) empty() Array {
	out := Array{Shape: a.Shape}
	if a.F32 != nil {
		out.F32 = []float32{} // a slice of a's would keep all of it
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

// axes are the extents of points from the outside in, and what each is at most.
var axes = [...]struct {
	name  string
	limit int
}{{"problems", MaxProblems}, {"rows", MaxPoints}, {"columns", MaxDimension}}

// check reports whether a is [N,D] or [B,N,D] with at least one element and within the limits. The path names it in the error.
func (a Array) check(path string) error {
	if rank := len(a.Shape); rank != 2 && rank != 3 {
		return badf(path, "has shape %v, want [N,D] or, for a batch of problems, [B,N,D]", a.Shape)
	}
	for i, extent := range a.Shape {
		axis := axes[i+len(axes)-len(a.Shape)]
		if extent < 1 {
			return badf(path, "has shape %v, want at least one element", a.Shape)
		}
		if extent > axis.limit {
			return badf(path, "is too large: %d %s, want at most %d", extent, axis.name, axis.limit)
		}
	}
	return a.checkLen(path)
}

// checkLen reports whether a holds the elements of its shape, in one number format.
func (a Array) checkLen(path string) error {
	if (a.F32 != nil) == (a.F64 != nil) && a.Len() > 0 {
		return badf(path, "holds two number formats, want one")
	}
	if n := elements(a.Shape); a.Len() != n {
		return badf(path, "has %d elements, want %d for shape %v", a.Len(), n, a.Shape)
	}
	return nil
}

// elements is the product of a shape within the limits.
func elements(shape []int) int {
	n := 1
	for _, extent := range shape {
		n *= extent
	}
	return n
}

// checkFinite names the first of the elements lo to hi that is NaN or infinite.
func (a Array) checkFinite(path string, lo, hi int) error {
	if a.F32 != nil && finite(a.F32[lo:hi]) || a.F32 == nil && finite(a.F64[lo:hi]) {
		return nil
	}
	for i := lo; i < hi; i++ {
		if v := a.At(i); math.IsNaN(v) || math.IsInf(v, 0) {
			return badf(path, "has %v at %s, want finite numbers", v, a.index(i))
		}
	}
	return nil
}

// index writes flat index i as a subscript: "[3,1,0]".
func (a Array) index(i int) string {
	subscript := ""
	for axis := len(a.Shape) - 1; axis >= 0; axis-- {
		subscript = fmt.Sprintf(",%d%s", i%a.Shape[axis], subscript)
		i /= a.Shape[axis]
	}
	return "[" + strings.TrimPrefix(subscript, ",") + "]"
}
