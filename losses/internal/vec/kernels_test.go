package vec

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// each runs a test once per implementation that this CPU has.
func each(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	for _, i := range implementations() {
		t.Run(i.name, func(t *testing.T) {
			use(t, i)
			body(t)
		})
	}
}

// use makes an implementation the chosen one until the test ends.
func use(t testing.TB, i implementation) {
	before := chosen
	chosen = i
	t.Cleanup(func() { chosen = before })
}

// epsilon is the distance from 1 to the next number.
func epsilon[T Float]() float64 {
	if _, ok := any(T(0)).(float32); ok {
		return 0x1p-23
	}
	return 0x1p-52
}

func isNaN[T Float](v T) bool { return v != v }

// matrix is rows of numbers, ld apart, in a buffer whose other numbers are NaN: a stray read shows in the result, a stray write in the buffer.
type matrix[T Float] struct {
	rows, cols, ld int
	buffer, data   []T
}

const border = 80 // more than a vector, and not a multiple of one

func newMatrix[T Float](rows, cols, ld int, fill func() float64) matrix[T] {
	n := 0
	if rows > 0 {
		n = (rows-1)*ld + cols
	}
	m := matrix[T]{rows: rows, cols: cols, ld: ld, buffer: make([]T, n+2*border)}
	for i := range m.buffer {
		m.buffer[i] = T(math.NaN())
	}
	m.data = m.buffer[border : border+n : border+n]
	for r := range rows {
		for j := range cols {
			m.data[r*ld+j] = T(fill())
		}
	}
	return m
}

// row is a matrix of one row.
func row[T Float](n int, fill func() float64) matrix[T] { return newMatrix[T](1, n, n, fill) }

func (m matrix[T]) at(r, j int) float64 { return float64(m.data[r*m.ld+j]) }

// check fails where something was written outside the rows.
func (m matrix[T]) check(t *testing.T) {
	t.Helper()
	for i, v := range m.buffer {
		at := i - border
		inside := at >= 0 && at < len(m.data) && at%max(1, m.ld) < m.cols
		if !inside && !isNaN(v) {
			t.Fatalf("%d numbers from the start of %d x %d, %d apart, %v was written", at, m.rows, m.cols, m.ld, v)
		}
	}
}

// fills for matrices.

func normal(seed uint64) func() float64 { return rand.New(rand.NewPCG(seed, 7)).NormFloat64 }

func always(v float64) func() float64 { return func() float64 { return v } }

// sameBits fails where two results differ, NaN and the sign of 0 included.
func sameBits[T Float](t *testing.T, what string, got, want []T) {
	t.Helper()
	for i := range want {
		if math.Float64bits(float64(got[i])) != math.Float64bits(float64(want[i])) {
			t.Fatalf("%s: number %d is %v, want the bits of %v", what, i, got[i], want[i])
		}
	}
}

func TestChoose(t *testing.T) {
	from := []implementation{{name: "avx2"}, {name: "generic"}}
	if got := choose("", from).name; got != "avx2" {
		t.Errorf("nothing forced: got %s, want the first", got)
	}
	if got := choose("generic", from).name; got != "generic" {
		t.Errorf("generic forced: got %s", got)
	}
	defer func() {
		if v, _ := recover().(string); !strings.Contains(v, `KANTOR_VEC is "avx512"`) || !strings.Contains(v, "avx2, generic") {
			t.Errorf("one that is not there: got %q", v)
		}
	}()
	choose("avx512", from)
}

func TestLengthsThatDoNotFitPanic(t *testing.T) {
	v, scratch := make([]float64, 64), new(Scratch[float64])
	for name, call := range map[string]func(){
		"not padded":              func() { Sum(v[:33]) },
		"two lengths":             func() { Dot(v, v[:32]) },
		"rows closer than wide":   func() { DotRows(v[:2], v, 16, v[:32]) },
		"too few costs":           func() { Costs(v, 32, HalfSquared, v, 3, 1, v, 32, 32) },
		"too few coordinates":     func() { Costs(v, 32, HalfSquared, v[:1:1], 2, 1, v, 32, 32) },
		"too few columns' points": func() { Costs(v, 32, HalfSquared, v, 2, 3, v, 32, 32) },
		"images not padded":       func() { Images(v, 16, v, 2, 2, v, 15, 2) },
		"too few images":          func() { Images(v[:31:31], 16, v, 2, 2, v, 16, 2) },
		"too few image weights":   func() { Images(v, 16, v[:3:3], 2, 2, v, 16, 2) },
		"too few image points":    func() { Images(v, 16, v, 2, 2, v[:31:31], 16, 2) },
		"narrow of two lengths":   func() { ExpRowNarrow(make([]float32, 32), v, v, 1, 0) },
		"panels not padded":       func() { LogSumProducts(scratch, v[:1], v[:1], v, 1, v, v[:32]) },
		"too few panels":          func() { LogSumProducts(scratch, v[:1], v[:1], v, 2, v, v) },
		"too few panel rows":      func() { LogSumProducts(scratch, v[:2], v[:2], v[:1:1], 1, v, v) },
		"too few row shifts":      func() { SweepProducts(scratch, v[:2], v, v, 1, v[:1], v[:2], v, v, v) },
		"too few column sums":     func() { SweepProducts(scratch, v[:2], v[:32], v, 1, v[:2], v[:2], v, v, v) },
		"too few residues":        func() { Poles(v, v, v, 1, v[:2], v[:3]) },
		"too few row weights":     func() { LogSumColumns(v[:32], v[:32], v, 32, 2, 32, v[:1:1], 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}

func TestKernelsDoNotAllocate(t *testing.T) {
	each(t, func(t *testing.T) {
		scratch := new(Scratch[float64])
		a, b, c, narrow := make([]float64, 64), make([]float64, 64), make([]float64, 64), make([]float32, 64)
		if n := testing.AllocsPerRun(10, func() {
			Costs(a, 32, Distance, b, 2, 2, c, 32, 32)
			LogSumRow(a, b, 1)
			LogSumColumns(b[:32], c[:32], a, 32, 2, 32, a[:2], 1)
			ExpRow(c, a, b, 1, 0)
			LogRow(c, c)
			Dot(a, b)
			AddRows(a[:32], b[:2], c, 32)
			ExpRowNarrow(narrow, a, b, 1, 0)
			Images(a, 16, b, 2, 2, c, 16, 2)
			LogSumProducts(scratch, a[:1], a[1:2], b, 1, c, b)
			SweepProducts(scratch, a[:1], c, b, 1, b[:1], b[:1], b, b, b)
			Poles(a, b, c, 1, c[:3], c[:3])
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
