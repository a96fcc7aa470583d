package vec

import (
	"math"
	"testing"
)

func TestPoles(t *testing.T) {
	each(t, func(t *testing.T) { testPoles[float64](t); testPoles[float32](t) })
}

// Of positive numbers: four roundings in a summand, of the square six, and one in each addition.
func testPoles[T Float](t *testing.T) {
	for n := 0; n <= 512; n += 32 {
		for count := range 8 {
			noise := normal(uint64(n + count))
			positive := func() float64 { return math.Abs(noise()) + 0.1 }
			x, residues, at := row[T](n, positive), row[T](count, positive), row[T](count, positive)
			value, slope := row[T](n, always(-1)), row[T](n, always(-1))
			const scale = 0.75
			Poles(value.data, slope.data, x.data, scale, residues.data, at.data)
			for j := range n {
				sum, squares := 0.0, 0.0
				for s := range count {
					r := 1 / (x.at(0, j)*scale + at.at(0, s))
					sum += residues.at(0, s) * r
					squares += residues.at(0, s) * r * r
				}
				bound := float64(count+6) * epsilon[T]()
				if got := value.at(0, j); !(math.Abs(got-sum) <= bound*sum) {
					t.Fatalf("%T, %d numbers, %d poles: value %d is %v, want %v", T(0), n, count, j, got, sum)
				}
				if got := slope.at(0, j); !(math.Abs(got-squares) <= bound*squares) {
					t.Fatalf("%T, %d numbers, %d poles: slope %d is %v, want %v", T(0), n, count, j, got, squares)
				}
			}
			before := append([]T(nil), value.data...)
			Poles(x.data, slope.data, x.data, scale, residues.data, at.data)
			sameBits(t, "in place", x.data, before)
			for _, m := range []matrix[T]{x, residues, at, value, slope} {
				m.check(t)
			}
		}
	}
	zero, value, slope := row[T](32, always(0)), row[T](32, always(0)), row[T](32, always(0))
	Poles(value.data, slope.data, zero.data, 1, []T{1}, []T{0})
	if got := value.at(0, 31); !math.IsInf(got, 1) {
		t.Errorf("%T, at the pole: got %v, want +Inf", T(0), got)
	}
}
