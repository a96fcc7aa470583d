package exact

import (
	"math"
	"sync"

	"kantor/losses"
	"kantor/losses/internal/vec"
)

// single is two clouds in binary32, relative to a center and scaled by a power of two, so that their numbers are of about 1 and a common offset costs no digits.
// Costs between them are estimates, whose error is bounded.
type single struct {
	cost    vec.Cost
	n, m, d int
	x       []float32 // [n,d]
	y       []float32 // tiles of columns, [d,tileStride] each, dimension by dimension
	scale   float64   // of costs: an estimate is near scale·C
	rx, ry  []float64 // lengths, scaled
	mostX   float64   // the largest of rx
	mostY   float64   // the largest of ry
}

const (
	tileColumns = 512
	tileStride  = tileColumns + vec.Pad // rows of it are in different lines of a cache
	groupRows   = 12
	singleUnit  = 0x1p-24
)

func newSingle(cost vec.Cost, a, b *losses.Cloud, center []float64, exponent int) *single {
	s := &single{cost: cost, n: a.N, m: b.N, d: a.D, x: make([]float32, a.N*a.D), rx: make([]float64, a.N), ry: make([]float64, b.N)}
	s.scale = math.Ldexp(1, exponent)
	if cost == vec.HalfSquared {
		s.scale = math.Ldexp(1, 2*exponent)
	}
	tiles := (b.N + tileColumns - 1) / tileColumns
	s.y = make([]float32, tiles*a.D*tileStride)
	by := math.Ldexp(1, exponent)
	for i := range a.N {
		square := 0.0
		for k := range a.D {
			v := (a.X[i*a.D+k] - center[k]) * by
			s.x[i*a.D+k] = float32(v)
			square += v * v
		}
		s.rx[i] = math.Sqrt(square)
		s.mostX = max(s.mostX, s.rx[i])
	}
	for j := range b.N {
		at, square := j/tileColumns*a.D*tileStride+j%tileColumns, 0.0
		for k := range a.D {
			v := (b.X[j*a.D+k] - center[k]) * by
			s.y[at+k*tileStride] = float32(v)
			square += v * v
		}
		s.ry[j] = math.Sqrt(square)
		s.mostY = max(s.mostY, s.ry[j])
	}
	return s
}

// scratches are for the estimates of a group of rows and a tile.
var scratches = sync.Pool{New: func() any { return new([groupRows * tileColumns]float32) }}

func newScratch() *[groupRows * tileColumns]float32 {
	return scratches.Get().(*[groupRows * tileColumns]float32)
}

// estimate writes the costs of the rows lo..hi to the columns of a tile, in rows of tileColumns, and returns how many columns count.
func (s *single) estimate(dst []float32, lo, hi, tile int) int {
	columns := min(tileColumns, s.m-tile*tileColumns)
	padded := (columns + vec.Pad - 1) / vec.Pad * vec.Pad
	vec.Costs(dst, tileColumns, s.cost, s.x[lo*s.d:hi*s.d], hi-lo, s.d, s.y[tile*s.d*tileStride:], tileStride, padded)
	return columns
}

func (s *single) tiles() int { return (s.m + tileColumns - 1) / tileColumns }

// rowCost is the work of a row in units of [parallel.TileCost].
func (s *single) rowCost() int { return s.m * (s.d + 16) / 4 }

// tileCost is that of rows against a tile.
func (s *single) tileCost(rows int) int { return rows * tileColumns * (s.d + 16) / 4 }

// error bounds |estimate - scale·C| for pairs of a row.
//
// A coordinate is rounded when it is centered and when it is narrowed, which moves a point by no more than 2 half-ulps of its length; the rest is relative to the
// distance, at most the sum of the lengths. Numbers below the smallest normal one add the constant.
func (s *single) error(i int) float64 {
	length := (s.rx[i] + s.mostY) * (1 + 0x1p-20)
	if s.cost == vec.Distance {
		return float64(s.d+8)*singleUnit*length + 0x1p-50
	}
	return float64(s.d+12)*singleUnit*length*length + 0x1p-100
}
