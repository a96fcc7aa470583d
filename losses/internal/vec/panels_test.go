package vec

import (
	"fmt"
	"math"
	"testing"
)

// panelled is rows of x against columns in panels, with what their kernels take and write.
type panelled[T Float] struct {
	scratch          Scratch[T]
	rows, columns, d int
	x, y, h, b       matrix[T]
	f, a             matrix[T]
	maxima, sums     matrix[T]
	columnSums       matrix[T]
}

func newPanelled[T Float](rows, panels, d int, spread float64) *panelled[T] {
	noise := normal(uint64(10000*rows + 100*panels + d))
	n, point := panels*PanelColumns, func() float64 { return spread * noise() / math.Sqrt(float64(max(1, d))) }
	return &panelled[T]{rows: rows, columns: n, d: d,
		x: row[T](rows*d, point), y: row[T](n*d, noise), h: row[T](n, func() float64 { return spread * noise() }),
		b: row[T](n, func() float64 { return math.Abs(noise()) }),
		f: row[T](rows, noise), a: row[T](rows, func() float64 { return math.Abs(noise()) }),
		maxima: row[T](rows, always(-1)), sums: row[T](rows, always(-1)), columnSums: row[T](n, func() float64 { return math.Abs(noise()) })}
}

func (p *panelled[T]) logSum() {
	LogSumProducts(&p.scratch, p.maxima.data, p.sums.data, p.x.data, p.d, p.y.data, p.h.data)
}

func (p *panelled[T]) sweep() {
	SweepProducts(&p.scratch, p.sums.data, p.columnSums.data, p.x.data, p.d, p.f.data, p.a.data, p.y.data, p.h.data, p.b.data)
}

// exponents are those of row i without its shift, in float64, and size bounds what their rounding is relative to.
func (p *panelled[T]) exponents(i int) (t []float64, size float64) {
	for j := range p.columns {
		s, panel := p.h.at(0, j), j/PanelColumns*PanelColumns*p.d+j%PanelColumns
		total := 0.0
		if !math.IsInf(s, 0) {
			total = math.Abs(s)
		}
		for k := range p.d {
			v := p.x.at(0, i*p.d+k) * p.y.at(0, panel+k*PanelColumns)
			s, total = s+v, total+math.Abs(v)
		}
		t, size = append(t, s), max(size, total)
	}
	return t, size
}

func (p *panelled[T]) check(t *testing.T) {
	t.Helper()
	for _, m := range []matrix[T]{p.x, p.y, p.h, p.b, p.f, p.a, p.maxima, p.sums, p.columnSums} {
		m.check(t)
	}
}

func TestLogSumProducts(t *testing.T) {
	each(t, func(t *testing.T) { testLogSumProducts[float64](t); testLogSumProducts[float32](t) })
}

func testLogSumProducts[T Float](t *testing.T) {
	for rows := 0; rows <= 20; rows++ {
		testLogSumProductsAt[T](t, rows, 2, 3, 10)
	}
	for panels := 0; panels <= 16; panels++ {
		testLogSumProductsAt[T](t, 7, panels, 5, 300)
	}
	for d := 0; d <= 130; d++ {
		testLogSumProductsAt[T](t, 6, 2, d, 30)
	}
	for _, spread := range []float64{0, 0.1, 1, 3000} {
		testLogSumProductsAt[T](t, 13, 3, 4, spread)
	}
}

func testLogSumProductsAt[T Float](t *testing.T, rows, panels, d int, spread float64) {
	t.Helper()
	what := fmt.Sprintf("%T, %d rows, %d panels, dimension %d, spread %v", T(0), rows, panels, d, spread)
	p := newPanelled[T](rows, panels, d, spread)
	for j := max(0, p.columns-5); j < p.columns; j++ {
		p.h.data[j] = T(math.Inf(-1)) // padding, whatever its points are
	}
	p.logSum()
	p.check(t)
	for i := range rows {
		got := p.maxima.at(0, i) + math.Log2(p.sums.at(0, i))
		exponents, size := p.exponents(i)
		if want := log2Sum(exponents); got != want && !(math.Abs(got-want) <= logSumError[T](p.columns, float64(d+2)*size)) {
			t.Fatalf("%s: row %d is %v, want %v", what, i, got, want)
		}
		// The same bits alone.
		alone := []T{-1, -1}
		LogSumProducts(&p.scratch, alone[:1], alone[1:], p.x.data[i*d:i*d+d], d, p.y.data, p.h.data)
		sameBits(t, what, alone, []T{p.maxima.data[i], p.sums.data[i]})
	}
}

func log2Sum(exponents []float64) float64 {
	top, sum := math.Inf(-1), 0.0
	for _, t := range exponents {
		top = max(top, t)
	}
	if math.IsInf(top, -1) {
		return top
	}
	for _, t := range exponents {
		sum += math.Exp2(t - top)
	}
	return top + math.Log2(sum)
}

func TestLogSumProductsExtremes(t *testing.T) {
	each(t, func(t *testing.T) { testLogSumProductsExtremes[float64](t); testLogSumProductsExtremes[float32](t) })
}

func testLogSumProductsExtremes[T Float](t *testing.T) {
	inf := math.Inf(1)
	for _, tt := range []struct {
		name string
		h    func(j int) float64
		want float64
	}{
		{"all weights 0", func(int) float64 { return -inf }, -inf},
		{"one weight", func(j int) float64 { return map[bool]float64{true: 2.5, false: -inf}[j == 70] }, 2.5},
		{"log-weights that stand for 0", func(j int) float64 { return map[bool]float64{true: 1, false: -100000}[j == 3] }, 1},
		{"only such log-weights", func(int) float64 { return -100000 }, -100000 + 7},
		{"far above the range of powers", func(int) float64 { return 1e4 }, 1e4 + 7},
		{"growing beyond every slack", func(j int) float64 { return 1000*float64(j) - 50000 }, 77000},
		{"growing inside the slack", func(j int) float64 { return float64(j / 4) }, 34 + math.Log2(1-0x1p-32)},
		{"falling", func(j int) float64 { return 1e4 - 1000*float64(j) }, 1e4},
	} {
		for _, d := range []int{0, 3} {
			p := newPanelled[T](8, 2, d, 1)
			clear(p.x.data)
			for j := range p.h.data {
				p.h.data[j] = T(tt.h(j))
			}
			p.logSum()
			for i := range p.rows {
				got := p.maxima.at(0, i) + math.Log2(p.sums.at(0, i))
				if got != tt.want && !(math.Abs(got-tt.want) <= logSumError[T](128, math.Abs(tt.want))) {
					t.Errorf("%T, dimension %d, %s: row %d is %v + log %v, want %v", T(0), d, tt.name, i, p.maxima.at(0, i), p.sums.at(0, i), tt.want)
				}
			}
		}
	}
}

// A NaN in a height or a coordinate comes out as one in every row that it belongs to, next to whatever else, and in no other; so does +Inf.
func TestLogSumProductsShowNaN(t *testing.T) {
	each(t, func(t *testing.T) { testLogSumProductsShowNaN[float64](t); testLogSumProductsShowNaN[float32](t) })
}

func testLogSumProductsShowNaN[T Float](t *testing.T) {
	const rows, d = 7, 2
	for _, bad := range []float64{math.NaN(), math.Float64frombits(0xfff8000000000fff), math.Inf(1)} {
		for _, rest := range []float64{0, -100000, math.Inf(-1), 1e4} {
			for at := range 128 {
				p := newPanelled[T](rows, 2, d, 1)
				for j := range p.h.data {
					p.h.data[j] = T(rest)
				}
				p.h.data[at] = T(bad)
				p.logSum()
				for i, s := range p.sums.data {
					if !isNaN(s) {
						t.Fatalf("%T, %v at %d among %v: row %d is %v, %v", T(0), bad, at, rest, i, p.maxima.data[i], s)
					}
				}
			}
		}
		for at := range rows {
			p := newPanelled[T](rows, 2, d, 1)
			p.x.data[at*d+1] = T(math.NaN())
			p.logSum()
			for i, s := range p.sums.data {
				if isNaN(s) != (i == at) {
					t.Fatalf("%T, a coordinate of row %d: row %d is %v", T(0), at, i, s)
				}
			}
		}
	}
}

func TestSweepProducts(t *testing.T) {
	each(t, func(t *testing.T) { testSweepProducts[float64](t); testSweepProducts[float32](t) })
}

func testSweepProducts[T Float](t *testing.T) {
	for rows := 0; rows <= 20; rows++ {
		testSweepProductsAt[T](t, rows, 2, 3, 2)
	}
	for panels := 0; panels <= 16; panels++ {
		testSweepProductsAt[T](t, 7, panels, 5, 10)
	}
	for d := 0; d <= 130; d++ {
		testSweepProductsAt[T](t, 6, 2, d, 3)
	}
	testSweepProductsAt[T](t, 1000, 1, 2, 1)
}

func testSweepProductsAt[T Float](t *testing.T, rows, panels, d int, spread float64) {
	t.Helper()
	what := fmt.Sprintf("%T, %d rows, %d panels, dimension %d", T(0), rows, panels, d)
	p := newPanelled[T](rows, panels, d, spread)
	for j := max(0, p.columns-5); j < p.columns; j++ {
		p.h.data[j] = T(math.Inf(-1))
	}
	columns, worst := make([]float64, p.columns), 0.0
	for j := range columns {
		columns[j] = p.columnSums.at(0, j)
	}
	p.sweep()
	p.check(t)
	for i := range rows {
		exponents, size := p.exponents(i)
		// What an exponent is off by multiplies its power; sums have a rounding for each summand.
		bound := epsilon[T]() * (float64(d+4)*(size+math.Abs(p.f.at(0, i))) + float64(p.columns+rows) + 8)
		worst = max(worst, bound)
		total := 0.0
		for j, v := range exponents {
			power := math.Exp2(v + p.f.at(0, i))
			total += p.b.at(0, j) * power
			columns[j] += p.a.at(0, i) * power
		}
		if got := p.sums.at(0, i); !(math.Abs(got-total) <= bound*total) {
			t.Fatalf("%s: row %d is %v, want %v", what, i, got, total)
		}
	}
	for j, want := range columns {
		if got := p.columnSums.at(0, j); !(math.Abs(got-want) <= worst*want) {
			t.Fatalf("%s: column %d is %v, want %v", what, j, got, want)
		}
	}
}

// What is not finite shows in its row and its column, and what is below the range is 0.
func TestSweepProductsExtremes(t *testing.T) {
	each(t, func(t *testing.T) { testSweepProductsExtremes[float64](t); testSweepProductsExtremes[float32](t) })
}

func testSweepProductsExtremes[T Float](t *testing.T) {
	const rows = 8
	inf := math.Inf(1)
	for _, tt := range []struct{ h, want float64 }{{-inf, 0}, {-100000, 0}, {1e4, inf}, {inf, inf}, {math.NaN(), inf}} {
		for at := range 128 {
			p := newPanelled[T](rows, 2, 2, 1)
			clear(p.x.data)
			for j := range p.h.data {
				p.h.data[j], p.b.data[j], p.columnSums.data[j] = 3, 1, 0
			}
			for i := range rows {
				p.f.data[i], p.a.data[i] = -1, 1
			}
			p.h.data[at] = T(tt.h)
			p.sweep()
			for i := range rows {
				if got, want := p.sums.at(0, i), 127*4+tt.want; got != want && !(math.IsNaN(got) && math.IsInf(want, 1)) {
					t.Fatalf("%T, %v at %d: row %d is %v, want %v", T(0), tt.h, at, i, got, want)
				}
			}
			for j := range 128 {
				want := 4.0 * rows
				if j == at {
					want = tt.want
				}
				if got := p.columnSums.at(0, j); got != want && !(math.IsNaN(got) && math.IsInf(want, 1)) {
					t.Fatalf("%T, %v at %d: column %d is %v, want %v", T(0), tt.h, at, j, got, want)
				}
			}
		}
	}
}

// Points far from 0 in a direction that heights make up for, as offsets do: what is left is the exponents' rounding and nothing else.
func TestProductsUnderAnOffset(t *testing.T) {
	each(t, func(t *testing.T) {
		const rows, d, offset = 9, 3, 1e4
		p := newPanelled[float64](rows, 2, d, 1)
		near := newPanelled[float64](rows, 2, d, 1)
		for j := range p.columns {
			panel := j/PanelColumns*PanelColumns*d + j%PanelColumns
			for k := range d {
				p.y.data[panel+k*PanelColumns] += offset
			}
		}
		near.logSum()
		p.logSum()
		for i := range rows {
			shift := 0.0
			for k := range d {
				shift += offset * p.x.at(0, i*d+k)
			}
			got, want := p.maxima.at(0, i)+math.Log2(p.sums.at(0, i)), shift+near.maxima.at(0, i)+math.Log2(near.sums.at(0, i))
			_, size := p.exponents(i)
			if math.Abs(got-want) > logSumError[float64](p.columns, float64(d+2)*size) {
				t.Errorf("row %d: got %v, want %v", i, got, want)
			}
		}
	})
}
