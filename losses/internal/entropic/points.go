package entropic

import (
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/vec"
)

// frame is where the clouds of a problem lie: coordinates are taken relative to its center, so that a common offset costs no digits.
type frame struct {
	center []float64
	rx, ry []float64 // costs of the points to the center
}

func (p Problem) frame() *frame {
	center := Mean(p.B)
	f := &frame{center: center, ry: costsTo(p.Cost, p.B, center)}
	if f.rx = f.ry; p.A != p.B {
		f.rx = costsTo(p.Cost, p.A, center)
	}
	return f
}

// meanCost is the mean cost of both clouds to the center.
func (f *frame) meanCost(p Problem) float64 {
	return floats.Dot(f.rx, p.A.W)/p.A.Mass + floats.Dot(f.ry, p.B.W)/p.B.Mass
}

// points are two clouds in one number format, in the layout that the kernels of package vec take.
type points[T vec.Float] struct {
	cost    vec.Cost
	n, m, d int
	x       []T // [n,d]
	packed  []T // y in tiles of columns, [d,tile] each and one behind the other, dimension by dimension, 0 beyond its points
	width   int // columns of a tile, at most segmentSize
	tile    int // numbers of a dimension in a tile, padding included
	stride  int // columns, padding included
	*frame
}

func newPoints[T vec.Float](p Problem, f *frame) *points[T] {
	x, y, d := p.A, p.B, p.A.D
	stride := strideOf(y.N)
	// Tiles of about equal width, each in few pages of memory.
	tiles := (stride + segmentSize - 1) / segmentSize
	width := pad((stride + tiles - 1) / tiles)
	tile := strideOf(width)
	out := &points[T]{cost: p.Cost, n: x.N, m: y.N, d: d, x: make([]T, x.N*d), packed: make([]T, tiles*d*tile), width: width, tile: tile, stride: stride,
		frame: f}
	center := f.center[:d]
	for i := range x.N {
		to := out.x[i*d:][:d]
		for k, v := range x.X[i*d:][:d] {
			to[k] = T(v - center[k])
		}
	}
	for j := range y.N {
		at := out.place(j)
		for k, v := range y.X[j*d:][:d] {
			out.packed[at] = T(v - center[k])
			at += tile
		}
	}
	return out
}

// strideOf is how far rows of n numbers are apart: an odd number of Pads, so that the same column of many rows is not in the same few lines of a cache.
func strideOf(n int) int {
	pads := (n + vec.Pad - 1) / vec.Pad
	return (pads | 1) * vec.Pad
}

// costsTo are the costs of the points to one.
func costsTo(cost vec.Cost, c *losses.Cloud, point []float64) []float64 {
	r := make([]float64, c.N)
	for i := range r {
		r[i] = cost.Of(c.X[i*c.D:(i+1)*c.D], point)
	}
	return r
}

// place is where the first coordinate of a column's point is.
func (p *points[T]) place(j int) int { return j/p.width*p.d*p.tile + j%p.width }

// pairPart writes the part of the cost that depends on both points: -x·y of ½|x|² + ½|y|² - x·y but for its sign, or the distance. The columns are in one
// tile.
func (p *points[T]) pairPart(dst []T, ld, lo, hi, from, to int) {
	x, y := p.x[lo*p.d:hi*p.d], p.packed[p.place(from):]
	if p.cost == vec.HalfSquared {
		vec.Products(dst, ld, x, hi-lo, p.d, y, p.tile, to-from)
		return
	}
	vec.Costs(dst, ld, p.cost, x, hi-lo, p.d, y, p.tile, to-from)
}

// exponents are t_ij = (f_i + g_j - C_ij)/ε log₂e, in the number format of the points, in three parts: of the row, of the column and of both. That of
// both is a matrix product for squares, and its rounding is relative to |x||y| then, not to the cost.
type exponents[T vec.Float] struct {
	*points[T]
	heights []T // of the columns, -Inf beyond the points
	shifts  []T // of the rows
	scale   T   // of what pairPart writes, with the sign of a cost
	largest float64
	epsilon float64
}

func newExponents[T vec.Float](p *points[T]) *exponents[T] {
	return &exponents[T]{points: p, heights: heightsFor[T](p.stride), shifts: make([]T, p.n)}
}

func (e *exponents[T]) set(f, g []float64, epsilon float64) {
	e.epsilon = epsilon
	rx, ry := e.rx, e.ry
	e.scale = T(-math.Log2E / epsilon)
	if e.cost != vec.HalfSquared {
		rx, ry, e.scale = nil, nil, -e.scale
	}
	e.largest = setExponents(e.shifts, f, rx, epsilon) + setExponents(e.heights, g, ry, epsilon)
}

// setExponents writes (f - r)/ε log₂e and returns the largest finite one in absolute value.
func setExponents[T vec.Float](dst []T, f, r []float64, epsilon float64) (largest float64) {
	by := math.Log2E / epsilon
	for i, v := range f {
		if r != nil {
			v -= r[i]
		}
		v *= by
		dst[i] = T(v)
		if size := math.Abs(v); size > largest && !math.IsInf(v, -1) {
			largest = size
		}
	}
	return largest
}

// rounding bounds the error of an exponent, times log 2: so the relative error that it is of a power.
//
// Coordinates are rounded twice, their D products and sums each once, scale once, and the three parts and their sum twice more. For distances the first two
// move a point by no more than its own length, and the rest is relative to the distance.
func (e *exponents[T]) rounding() float64 {
	u := unitOf[T]()
	mixed := 2 * math.Sqrt(largest(e.rx)*largest(e.ry)) // |x||y|
	if e.cost != vec.HalfSquared {
		mixed = largest(e.rx) + largest(e.ry)
	}
	mixed *= math.Log2E / e.epsilon
	lengths := (largest(e.rx) + largest(e.ry)) * math.Log2E / e.epsilon
	return float64(e.d+8)*u*mixed + 4*u*e.largest + float64(e.d+8)*unit*(e.largest+2*lengths)
}

// unitOf is half an ulp of 1.
func unitOf[T vec.Float]() float64 {
	if sizeOf[T]() == 4 {
		return 1.0 / (1 << 24)
	}
	return unit
}

// rowCost counts what a kernel of vec does in the time of one plain operation as one.
func (e *exponents[T]) rowCost() int { return e.stride * (e.d + 8) / vectorSpeed }

// entries are those of the Gibbs kernel K_ij = exp((f_i + g_j - C_ij)/ε), at potentials and a temperature that were set, in the format K.
type entries[K vec.Float] interface {
	set(f, g []float64, epsilon float64)
	// write writes the rows lo..hi in the columns from..to, multiples of Pad. Columns beyond the points are 0.
	write(dst []K, ld, lo, hi, from, to int)
	// relativeError bounds |δ| where an entry is exp((f_i + g_j - C_ij)/ε)(1+δ). One below the smallest normal number may be 0.
	relativeError() float64
	// format names the number formats.
	format() string
	// rowCost is the work of a row in units of [parallel.TileCost].
	rowCost() int
}

// powers are entries in the format of the points.
type powers[T vec.Float] struct{ *exponents[T] }

func (p powers[T]) write(dst []T, ld, lo, hi, from, to int) {
	for at, end := from, 0; at < to; at = end {
		end = min(to, (at/p.width+1)*p.width)
		p.pairPart(dst[at-from:], ld, lo, hi, at, end)
		for i := range hi - lo {
			row := dst[i*ld+at-from : i*ld+end-from]
			vec.ExpRow(row, row, p.heights[at:end], p.scale, p.shifts[lo+i])
		}
	}
}

func (p powers[T]) format() string { return formatOf[T]() + " kernel" }

func formatOf[T vec.Float]() string {
	if sizeOf[T]() == 4 {
		return "float32"
	}
	return "float64"
}

func (p powers[T]) relativeError() float64 { return p.rounding() + 4*unitOf[T]() }

// narrowPowers are entries in binary32 of exponents in binary64: what a kernel needs where the costs are many times the temperature, since its entries are
// far better known than the exponents that they come from.
type narrowPowers struct{ *exponents[float64] }

func (p narrowPowers) write(dst []float32, ld, lo, hi, from, to int) {
	scratch := newBuffer[float64]((hi - lo) * segmentSize)
	defer freeBuffer(scratch)
	for at, end := from, 0; at < to; at = end {
		end = min(to, (at/p.width+1)*p.width)
		p.pairPart(scratch, segmentSize, lo, hi, at, end)
		for i := range hi - lo {
			vec.ExpRowNarrow(dst[i*ld+at-from:i*ld+end-from], scratch[i*segmentSize:i*segmentSize+end-at], p.heights[at:end], p.scale, p.shifts[lo+i])
		}
	}
}

func (p narrowPowers) format() string { return "float32 kernel of float64 exponents" }

func (p narrowPowers) relativeError() float64 { return p.rounding() + 4e-7 }
