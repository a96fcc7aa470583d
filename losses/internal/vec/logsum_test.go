package vec

import (
	"fmt"
	"math"
	"testing"
)

func TestLogSumRow(t *testing.T) {
	each(t, func(t *testing.T) { testLogSumRow[float64](t); testLogSumRow[float32](t) })
}

// logSum2 is log₂ Σ 2^(h_j - c_j scale), in float64.
func logSum2[T Float](c, h []T, scale T) float64 {
	top, sum := math.Inf(-1), 0.0
	for j := range c {
		top = max(top, float64(h[j])-float64(c[j])*float64(scale))
	}
	if math.IsInf(top, -1) {
		return top
	}
	for j := range c {
		sum += math.Exp2(float64(h[j]) - float64(c[j])*float64(scale) - top)
	}
	return top + math.Log2(sum)
}

// logSumError is what a sum of n exponentials may be off in log₂: an exponent has roundings of its own size, each power is within 4 roundings (one more
// for each of a few references), and additions have one each.
func logSumError[T Float](n int, size float64) float64 {
	return epsilon[T]() * (4*size + float64(n) + 32)
}

func testLogSumRow[T Float](t *testing.T) {
	for n := 0; n <= 1024; n += 32 {
		for _, spread := range []float64{0.1, 1, 30, 3000} {
			noise := normal(uint64(n))
			c := row[T](n, func() float64 { return math.Abs(noise()) })
			h := row[T](n, func() float64 { return spread * noise() })
			most, sum := LogSumRow(c.data, h.data, T(spread))
			if n == 0 {
				if !math.IsInf(float64(most), -1) || sum != 0 {
					t.Fatalf("nothing: got %v, %v, want -Inf, 0", most, sum)
				}
				continue
			}
			got, want := float64(most)+math.Log2(float64(sum)), logSum2(c.data, h.data, T(spread))
			if !(math.Abs(got-want) <= logSumError[T](n, 10*spread)) {
				t.Fatalf("%T, %d columns, spread %v: got %v, want %v", T(0), n, spread, got, want)
			}
			if sum < 1-0x1p-20 || float64(sum) > float64(n) {
				t.Fatalf("%T, %d columns: the sum %v is not relative to the largest", T(0), n, sum)
			}
		}
	}
}

func TestLogSumExtremes(t *testing.T) {
	each(t, func(t *testing.T) { testLogSumExtremes[float64](t); testLogSumExtremes[float32](t) })
}

func testLogSumExtremes[T Float](t *testing.T) {
	inf := math.Inf(1)
	for _, tt := range []struct {
		name string
		h    func(j int) float64
		want float64
	}{
		{"all weights 0", func(int) float64 { return -inf }, -inf},
		{"one weight in a padded row", func(j int) float64 { return map[bool]float64{true: 2.5, false: -inf}[j == 70] }, 2.5},
		{"log-weights that stand for 0", func(j int) float64 { return map[bool]float64{true: 1, false: -100000}[j == 3] }, 1},
		{"only such log-weights", func(int) float64 { return -100000 }, -100000 + math.Log2(96)},
		{"far above the range of powers", func(int) float64 { return 1e4 }, 1e4 + math.Log2(96)},
		{"growing beyond every slack", func(j int) float64 { return 1000*float64(j) - 50000 }, 45000},
		{"growing inside the slack", func(j int) float64 { return float64(j / 2) }, 47 + 1 + math.Log2(2)},
		{"falling", func(j int) float64 { return 1e4 - 1000*float64(j) }, 1e4},
		{"powers that underflow", func(j int) float64 { return map[bool]float64{true: 0, false: -1022.5}[j == 0] }, 0},
	} {
		j := -1
		h := row[T](96, func() float64 { j++; return tt.h(j) })
		zero := row[T](96, always(0))
		most, sum := LogSumRow(zero.data, h.data, 3)
		got := float64(most) + math.Log2(float64(sum))
		if tt.want != got && !(math.Abs(got-tt.want) <= logSumError[T](96, math.Abs(tt.want))) {
			t.Errorf("%T, row, %s: got %v + log %v, want %v", T(0), tt.name, most, sum, tt.want)
		}
		// The same numbers down a column, for every column.
		maxima, sums := row[T](32, always(0)), row[T](32, always(0))
		InitLogSum(maxima.data, sums.data)
		c := newMatrix[T](96, 32, 32, always(0))
		LogSumColumns(maxima.data, sums.data, c.data, 32, 96, 32, h.data, 3)
		for j := range 32 {
			got := maxima.at(0, j) + math.Log2(sums.at(0, j))
			if tt.want != got && !(math.Abs(got-tt.want) <= logSumError[T](96, math.Abs(tt.want))) {
				t.Errorf("%T, column %d, %s: got %v + log %v, want %v", T(0), j, tt.name, maxima.at(0, j), sums.at(0, j), tt.want)
			}
		}
	}
}

// A NaN anywhere comes out as one, next to whatever else; so does an exponent of +Inf.
func TestLogSumShowsNaN(t *testing.T) {
	each(t, func(t *testing.T) { testLogSumShowsNaN[float64](t); testLogSumShowsNaN[float32](t) })
}

func testLogSumShowsNaN[T Float](t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Float64frombits(0xfff8000000000fff), math.Inf(1)} {
		for _, rest := range []float64{0, -100000, math.Inf(-1), 1e4} {
			for at := range 96 {
				for _, inCost := range []bool{false, true} {
					c, h := row[T](96, always(0)), row[T](96, always(rest))
					if inCost {
						c.data[at] = T(-bad)
					} else {
						h.data[at] = T(bad)
					}
					if inCost && math.IsInf(bad, 1) && math.IsInf(rest, -1) {
						continue // -Inf + Inf is a NaN of its own
					}
					if most, sum := LogSumRow(c.data, h.data, 1); !isNaN(sum) {
						t.Fatalf("%T, %v at %d among %v: got %v, %v", T(0), bad, at, rest, most, sum)
					}
				}
			}
		}
	}
}

func TestLogSumColumns(t *testing.T) {
	each(t, func(t *testing.T) { testLogSumColumns[float64](t); testLogSumColumns[float32](t) })
}

func testLogSumColumns[T Float](t *testing.T) {
	for rows := 0; rows <= 20; rows++ {
		testLogSumColumnsAt[T](t, rows, 32*(rows%5), 2)
	}
	for cols := 0; cols <= 1024; cols += 32 {
		testLogSumColumnsAt[T](t, 9, cols, 0)
	}
	testLogSumColumnsAt[T](t, 1000, 64, 5)
}

func testLogSumColumnsAt[T Float](t *testing.T, rows, cols, gap int) {
	t.Helper()
	const scale = 30
	noise := normal(uint64(1000*rows + cols))
	c := newMatrix[T](rows, cols, cols+gap, func() float64 { return math.Abs(noise()) })
	f := row[T](rows, func() float64 { return 100 * noise() })
	maxima, sums := row[T](cols, always(0)), row[T](cols, always(0))
	InitLogSum(maxima.data, sums.data)
	LogSumColumns(maxima.data, sums.data, c.data, c.ld, rows, cols, f.data, scale)
	c.check(t)
	maxima.check(t)
	sums.check(t)
	column := make([]T, rows)
	for j := range cols {
		for i := range rows {
			column[i] = c.data[i*c.ld+j]
		}
		got, want := maxima.at(0, j)+math.Log2(sums.at(0, j)), logSum2(column, f.data, scale)
		if got != want && !(math.Abs(got-want) <= logSumError[T](rows, 500)) {
			t.Fatalf("%T, %d x %d: column %d is %v, want %v", T(0), rows, cols, j, got, want)
		}
	}

	// The same bits in blocks of rows and of columns.
	maxima2, sums2 := row[T](cols, always(0)), row[T](cols, always(0))
	InitLogSum(maxima2.data, sums2.data)
	for j := 0; j < cols; j += 32 {
		for lo := 0; lo < rows; lo += 7 {
			n := min(7, rows-lo)
			LogSumColumns(maxima2.data[j:j+32], sums2.data[j:j+32], c.data[lo*c.ld+j:], c.ld, n, 32, f.data[lo:], scale)
		}
	}
	sameBits(t, fmt.Sprintf("%T, maxima of %d x %d in blocks", T(0), rows, cols), maxima2.data, maxima.data)
	sameBits(t, fmt.Sprintf("%T, sums of %d x %d in blocks", T(0), rows, cols), sums2.data, sums.data)
}

// A column with NaN, or one that grows, changes no bit of its neighbours.
func TestLogSumColumnsAreIndependent(t *testing.T) {
	each(t, func(t *testing.T) { testColumnsAreIndependent[float64](t); testColumnsAreIndependent[float32](t) })
}

func testColumnsAreIndependent[T Float](t *testing.T) {
	const rows, cols = 12, 64
	noise := normal(11)
	c := newMatrix[T](rows, cols, cols, func() float64 { return 400 * noise() })
	f := row[T](rows, func() float64 { return 10 * noise() })
	sum := func() (maxima, sums []T) {
		maxima, sums = make([]T, cols), make([]T, cols)
		InitLogSum(maxima, sums)
		LogSumColumns(maxima, sums, c.data, cols, rows, cols, f.data, 2)
		return maxima, sums
	}
	maxima, sums := sum()
	for _, bad := range []float64{math.NaN(), math.Inf(-1), 1e9, -1e9} {
		for at := range cols {
			kept := c.data[5*cols+at]
			c.data[5*cols+at] = T(bad)
			maxima2, sums2 := sum()
			if math.IsNaN(bad) != isNaN(sums2[at]) && !math.IsInf(bad, -1) {
				t.Fatalf("%T, %v in column %d: sum %v", T(0), bad, at, sums2[at])
			}
			maxima2[at], sums2[at] = maxima[at], sums[at]
			sameBits(t, fmt.Sprintf("%T, maxima beside %v", T(0), bad), maxima2, maxima)
			sameBits(t, fmt.Sprintf("%T, sums beside %v", T(0), bad), sums2, sums)
			c.data[5*cols+at] = kept
		}
	}
}
