package mmd

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
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

// newSide lays a cloud out, relative to an origin. The error is the context's.
func newSide(ctx context.Context, c *losses.Cloud, origin frame, gradients bool) (*side, error) {
	s := &side{n: c.N, d: c.D, blocks: (c.N + block - 1) / block, wide: wideOf(c.D)}
	rows := s.blocks * block
	s.x, s.packed, s.w, s.squares = make([]float64, rows*s.d), make([]float64, rows*s.d), make([]float64, rows), make([]float64, rows)
	if gradients {
		s.images = make([]float64, rows*s.wide)
	}
	copy(s.w, c.W)
	err := parallel.Rows(ctx, s.blocks, 4*block*s.d, func(lo, hi int, gate *parallel.Gate) {
		for b := lo; b < hi; b++ {
			done := 0
			for k := 0; k < s.d; k += layoutStep {
				if done += 4 * block * layoutStep; done > parallel.TileCost {
					if !gate.Open() {
						return
					}
					done = 0
				}
				s.lay(c, origin, b, k, min(s.d, k+layoutStep))
			}
		}
	})
	for _, square := range s.squares {
		s.radius = max(s.radius, square)
	}
	s.radius = math.Sqrt(s.radius)
	return s, err
}

// layoutStep is how many dimensions of a block are laid out together: what stays in the first cache, so that lines and pages are not visited again and again.
const layoutStep = 32

// lay lays out the dimensions from..to of a block.
func (s *side) lay(c *losses.Cloud, origin frame, b, from, to int) {
	packed := s.packed[b*block*s.d:]
	for i := b * block; i < s.end(b); i++ {
		x, square := s.x[i*s.d:(i+1)*s.d], s.squares[i]
		for k := from; k < to; k++ {
			v := c.X[i*s.d+k] - origin[k]
			x[k] = v
			packed[k*block+i-b*block] = v
			square += v * v
		}
		s.squares[i] = square
		if s.images == nil {
			continue
		}
		image := s.images[i*s.wide:][:s.wide]
		for k := from; k < to; k++ {
			image[k] = s.w[i] * x[k]
		}
	}
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
