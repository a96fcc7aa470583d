package mmd

import (
	"math"

	"kantor/losses"
	"kantor/losses/internal/vec"
)

const (
	// block is how many points are taken together: pairs of blocks are what is computed at once. It is an odd number of pads, so that the dimensions of a block
	// do not compete for the same lines of a cache.
	block = 3 * vec.Pad
	// stripRows is how many rows of a block are filled before they are used, so that they are still in the first cache, and fewRows in the dimensions above
	// many, so that a strip is a few milliseconds at most. Kernels take 4 or 6 rows together.
	stripRows, fewRows = 12, 4
	many               = 1 << 13
)

// frame is what points are taken relative to.
type frame []float64

// frameOf returns an origin near the clouds. Where a coordinate's offset is more than its spread, in all of them, it is their middle, and the difference of
// two numbers within a factor of 2 is exact (Sterbenz 1974, theorem 4.3.1), so that nothing is lost by it; elsewhere it is 0, and would gain nothing.
func frameOf(clouds ...*losses.Cloud) frame {
	d := clouds[0].D
	lo, hi := make([]float64, d), make([]float64, d)
	copy(lo, clouds[0].X[:d])
	copy(hi, lo)
	for _, c := range clouds {
		c.Box(lo, hi)
	}
	origin := make(frame, d)
	for k := range origin {
		middle := lo[k] + (hi[k]-lo[k])/2
		if near, far := min(math.Abs(lo[k]), math.Abs(hi[k])), max(math.Abs(lo[k]), math.Abs(hi[k])); near >= math.Abs(middle)/2 && far <= 2*math.Abs(middle) {
			origin[k] = middle
		}
	}
	return origin
}

// side is a cloud in the layouts that the kernels of package vec take. Beyond its points there are points at the origin of weight 0.
type side struct {
	n, d, blocks int
	wide         int       // numbers of a row of images
	x            []float64 // [blocks·block,d]
	packed       []float64 // the same, block by block and dimension by dimension: [blocks,d,block]
	w            []float64 // [blocks·block]
	squares      []float64 // [blocks·block], |x|²
	images       []float64 // [blocks·block,wide], w_i x_i; nil: no gradients are wanted
	radius       float64   // the largest |x|
}

func newSide(c *losses.Cloud, origin frame, gradients bool) *side {
	s := &side{n: c.N, d: c.D, blocks: (c.N + block - 1) / block, wide: wideOf(c.D)}
	rows := s.blocks * block
	s.x, s.packed, s.w, s.squares = make([]float64, rows*s.d), make([]float64, rows*s.d), make([]float64, rows), make([]float64, rows)
	copy(s.w, c.W)
	if gradients {
		s.images = make([]float64, rows*s.wide)
	}
	for i, w := range c.W {
		to, at, square := s.x[i*s.d:(i+1)*s.d], i/block*block*s.d+i%block, 0.0
		for k, v := range c.X[i*s.d : (i+1)*s.d] {
			v -= origin[k]
			to[k] = v
			s.packed[at+k*block] = v
			square += v * v
			if s.images != nil {
				s.images[i*s.wide+k] = w * v
			}
		}
		s.squares[i] = square
		s.radius = max(s.radius, square)
	}
	s.radius = math.Sqrt(s.radius)
	return s
}

func wideOf(d int) int { return (d + vec.ImagePad - 1) / vec.ImagePad * vec.ImagePad }

// columns is how many columns of a block are computed, padding included.
func (s *side) columns(b int) int {
	return min(block, (s.n-b*block+vec.Pad-1)/vec.Pad*vec.Pad)
}

// end is the end of the rows of a block.
func (s *side) end(b int) int { return min(s.n, (b+1)*block) }

// stripRows is how many rows are filled together.
func (s *side) stripRows() int {
	if s.d > many {
		return fewRows
	}
	return stripRows
}

// point is point i.
func (s *side) point(i int) []float64 { return s.x[i*s.d : (i+1)*s.d] }
