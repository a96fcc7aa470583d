package vec

import (
	"fmt"
	"math"
	"testing"
)

func TestLinear(t *testing.T) {
	each(t, func(t *testing.T) { testLinear[float64](t); testLinear[float32](t) })
}

// Sums of n products are within n roundings of their size, whatever the order.
func testLinear[T Float](t *testing.T) {
	for n := 0; n <= 1024; n += 32 {
		noise := normal(uint64(n))
		x, y, dst := row[T](n, noise), row[T](n, noise), row[T](n, noise)
		before := append([]T(nil), dst.data...)
		const a = 0.75
		AddScaled(dst.data, a, x.data)
		dot, sum, size, sizeOfSum, top := 0.0, 0.0, 0.0, 0.0, math.Inf(-1)
		for j := range n {
			v, w := x.at(0, j), y.at(0, j)
			dot, size = dot+v*w, size+math.Abs(v*w)
			sum, sizeOfSum = sum+v, sizeOfSum+math.Abs(v)
			top = max(top, v)
			if want := float64(before[j]) + a*v; math.Abs(dst.at(0, j)-want) > 2*epsilon[T]()*(math.Abs(v)+math.Abs(want)) {
				t.Fatalf("%T, AddScaled of %d: number %d is %v, want %v", T(0), n, j, dst.data[j], want)
			}
		}
		bound := float64(n+1) * epsilon[T]()
		if got := float64(Dot(x.data, y.data)); !(math.Abs(got-dot) <= bound*size) {
			t.Errorf("%T, Dot of %d: got %v, want %v", T(0), n, got, dot)
		}
		if got := float64(Sum(x.data)); !(math.Abs(got-sum) <= bound*sizeOfSum) {
			t.Errorf("%T, Sum of %d: got %v, want %v", T(0), n, got, sum)
		}
		if got := float64(MaxOf(x.data)); got != top {
			t.Errorf("%T, MaxOf %d: got %v, want %v", T(0), n, got, top)
		}
		x.check(t)
		y.check(t)
		dst.check(t)
	}
}

// The short sums that bounds are made of.
func TestDotOfSixtyFour(t *testing.T) {
	each(t, func(t *testing.T) {
		for seed := range uint64(200) {
			noise := normal(seed)
			x, y := row[float32](64, noise), row[float32](64, noise)
			dot, size := 0.0, 0.0
			for j := range 64 {
				dot += x.at(0, j) * y.at(0, j)
				size += math.Abs(x.at(0, j) * y.at(0, j))
			}
			var got [1]float32
			DotRows(got[:], x.data, 64, y.data)
			if !(math.Abs(float64(got[0])-dot) <= 10*0x1p-24*size) {
				t.Errorf("got %v, want %v", got[0], dot)
			}
		}
	})
}

func TestRowsHaveTheBitsOfSingleRows(t *testing.T) {
	each(t, func(t *testing.T) { testRows[float64](t); testRows[float32](t) })
}

func testRows[T Float](t *testing.T) {
	for rows := 0; rows <= 20; rows++ {
		for _, cols := range []int{0, 32, 64, 96, 1024} {
			what := fmt.Sprintf("%T, %d x %d", T(0), rows, cols)
			noise := normal(uint64(rows))
			k, v := newMatrix[T](rows, cols, cols+3, noise), row[T](cols, noise)
			dots, u, sums := row[T](rows, always(-1)), row[T](rows, noise), row[T](cols, noise)
			wantDots, wantSums := make([]T, rows), append([]T(nil), sums.data...)
			for i := range rows {
				ki := k.data[i*k.ld : i*k.ld+cols]
				wantDots[i] = Dot(ki, v.data)
				AddScaled(wantSums, u.data[i], ki)
			}
			DotRows(dots.data, k.data, k.ld, v.data)
			AddRows(sums.data, u.data, k.data, k.ld)
			sameBits(t, what+", DotRows", dots.data, wantDots)
			sameBits(t, what+", AddRows", sums.data, wantSums)
			for _, m := range []matrix[T]{k, v, dots, u, sums} {
				m.check(t)
			}
		}
	}
}

// Squares are within four roundings and half the grain, never subnormal, and what does not square to a finite number says so.
func TestSquareRow(t *testing.T) {
	each(t, func(t *testing.T) { testSquareRow[float64](t); testSquareRow[float32](t) })
}

func testSquareRow[T Float](t *testing.T) {
	grain := float64(squareGrain[T]())
	for n := 0; n <= 1024; n += 32 {
		noise := normal(uint64(n))
		k, v := row[T](n, noise), row[T](n, noise)
		for j := range k.data {
			if j%3 == 0 {
				k.data[j] *= T(math.Sqrt(grain)) // squares near the grain
			}
		}
		before := append([]T(nil), k.data...)
		const s = 0.75
		SquareRow(k.data, v.data, s)
		for j, x := range before {
			want := float64(x) * v.at(0, j) * s
			want *= want
			if got := k.at(0, j); !(math.Abs(got-want) <= 8*epsilon[T]()*(want+grain)) || got != 0 && got < grain*epsilon[T]() {
				t.Fatalf("%T, SquareRow of %d: number %d is %v, want %v", T(0), n, j, got, want)
			}
		}
		k.check(t)
		v.check(t)
	}
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Sqrt(math.MaxFloat64) * 2} {
		k, v := row[T](32, always(x)), row[T](32, always(1))
		SquareRow(k.data, v.data, 1)
		if got := k.at(0, 31); got == got && !math.IsInf(got, 1) {
			t.Errorf("%T, the square of %v is %v", T(0), x, got)
		}
	}
}

func TestMaxOfExtremes(t *testing.T) {
	each(t, func(t *testing.T) { testMaxOf[float64](t); testMaxOf[float32](t) })
}

func testMaxOf[T Float](t *testing.T) {
	inf := math.Inf(1)
	for _, rest := range []float64{-inf, -3, 0, inf} {
		for at := range 96 {
			for _, v := range []float64{-inf, -7, 5, inf, math.NaN()} {
				x := row[T](96, always(rest))
				x.data[at] = T(v)
				got, want := float64(MaxOf(x.data)), max(rest, v)
				if got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
					t.Fatalf("%T, %v at %d among %v: got %v, want %v", T(0), v, at, rest, got, want)
				}
			}
		}
	}
}
