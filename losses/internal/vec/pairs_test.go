package vec

import (
	"fmt"
	"math"
	"testing"
)

func TestCosts(t *testing.T) {
	each(t, func(t *testing.T) { testCosts[float64](t); testCosts[float32](t) })
}
func TestProducts(t *testing.T) {
	each(t, func(t *testing.T) { testProducts[float64](t); testProducts[float32](t) })
}

// pairs is a problem of costs or products between rows and columns.
type pairs[T Float] struct {
	x, yt, dst    matrix[T]
	rows, d, cols int
}

func newPairs[T Float](rows, d, cols, gap int, offset float64) pairs[T] {
	n := normal(uint64(rows*100000 + d*1000 + cols))
	fill := func() float64 { return offset + n() }
	return pairs[T]{newMatrix[T](1, rows*d, rows*d, fill), newMatrix[T](d, cols, cols+gap, fill),
		newMatrix[T](rows, cols, cols+gap, always(-1)), rows, d, cols}
}

func (p pairs[T]) check(t *testing.T) {
	t.Helper()
	p.x.check(t)
	p.yt.check(t)
	p.dst.check(t)
}

func (p pairs[T]) costs(c Cost) {
	Costs(p.dst.data, p.dst.ld, c, p.x.data, p.rows, p.d, p.yt.data, p.yt.ld, p.cols)
}

// The errors allowed are d+3 half-ulps for squares of differences (the difference counts twice, the square once, and d-1 additions; halving is exact, and
// a root halves them and adds one), and as many in float64 for the numbers compared with.
func testCosts[T Float](t *testing.T) {
	for rows := 0; rows <= 20; rows++ {
		for d := 0; d <= 70; d++ {
			testCostsAt[T](t, newPairs[T](rows, d, 32*(d%4), 3, 0))
		}
	}
	for cols := 0; cols <= 1024; cols += 32 {
		testCostsAt[T](t, newPairs[T](7, 3, cols, 0, 0))
	}
	testCostsAt[T](t, newPairs[T](5, 600, 96, 0, 0))
	testCostsAt[T](t, newPairs[T](5, 9, 96, 0, 1e4)) // an offset cancels before the squares
}

func testCostsAt[T Float](t *testing.T, p pairs[T]) {
	t.Helper()
	allowed := float64(p.d+3) * epsilon[T]() / 2
	allowed += float64(p.d+3) * epsilon[float64]() / 2
	for _, c := range []Cost{HalfSquared, Distance} {
		p.costs(c)
		p.check(t)
		for r := range p.rows {
			for j := range p.cols {
				want := 0.0
				for k := range p.d {
					diff := p.x.at(0, r*p.d+k) - p.yt.at(k, j)
					want += diff * diff
				}
				if want *= 0.5; c == Distance {
					want = math.Sqrt(2 * want)
				}
				if got := p.dst.at(r, j); !(math.Abs(got-want) <= allowed*want) {
					t.Fatalf("%T, cost %d, %d rows of %d, %d columns: (%d,%d) is %v, want %v", T(0), c, p.rows, p.d, p.cols, r, j, got, want)
				}
			}
		}
	}
}

func testProducts[T Float](t *testing.T) {
	for rows := 0; rows <= 20; rows++ {
		for d := 0; d <= 70; d += 1 + d/8 {
			p := newPairs[T](rows, d, 32*(rows%4), 5, 0)
			Products(p.dst.data, p.dst.ld, p.x.data, rows, d, p.yt.data, p.yt.ld, p.cols)
			p.check(t)
			for r := range rows {
				for j := range p.cols {
					want, size := 0.0, 0.0
					for k := range d {
						v := p.x.at(0, r*d+k) * p.yt.at(k, j)
						want += v
						size += math.Abs(v)
					}
					if got := p.dst.at(r, j); !(math.Abs(got-want) <= float64(d+1)*epsilon[T]()*size) {
						t.Fatalf("%T, %d rows of %d: (%d,%d) is %v, want %v", T(0), rows, d, r, j, got, want)
					}
				}
			}
		}
	}
}

// An element has the same bits alone, in a block of rows and in a panel of columns.
func TestCostsDoNotDependOnGrouping(t *testing.T) {
	each(t, func(t *testing.T) { testGrouping[float64](t); testGrouping[float32](t) })
}

func testGrouping[T Float](t *testing.T) {
	for _, d := range []int{1, 2, 3, 17, 64, 301} {
		p := newPairs[T](13, d, 128, 0, 0)
		for _, c := range []Cost{HalfSquared, Distance} {
			p.costs(c)
			alone := newMatrix[T](1, 32, 32, always(0))
			for r := range p.rows {
				for j := 0; j < p.cols; j += 32 {
					Costs(alone.data, 32, c, p.x.data[r*d:], 1, d, p.yt.data[j:], p.yt.ld, 32)
					sameBits(t, fmt.Sprintf("%T, cost %d, dimension %d, row %d", T(0), c, d, r), p.dst.data[r*p.dst.ld+j:], alone.data)
				}
			}
		}
	}
}

func TestCostOfCoincidingPointsIsZero(t *testing.T) {
	each(t, func(t *testing.T) {
		for d := 1; d < 40; d++ {
			x := row[float64](d, normal(5))
			yt, dst := newMatrix[float64](d, 32, 32, always(0)), row[float64](32, always(-1))
			for k := range d {
				for j := range 32 {
					yt.data[k*32+j] = x.data[k]
				}
			}
			for _, c := range []Cost{HalfSquared, Distance} {
				Costs(dst.data, 32, c, x.data, 1, d, yt.data, 32, 32)
				sameBits(t, "points that coincide", dst.data, make([]float64, 32))
			}
		}
	})
}
