package mmd

import (
	"context"
	"sync"

	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// nearPart is the distance, relative to the radius of the clouds, up to which the gradient of a kernel that is not smooth at 0 is taken from the difference
// of two points: farther apart, the difference of two sums loses no more than its inverse in digits.
const nearPart = 1.0 / (1 << 10)

// pairs are sums over the pairs of two clouds, or of one with itself, a point with itself left out. Their factors in [radial] are left out too.
type pairs struct {
	radial
	x, y *side
	self bool // y is x
	near float64
	// What is wanted beside the sums of x: those of y, and gradients in both. A cloud with itself has all of its own in x.
	sumsOfY, inX, inY bool

	sumX, sumY   []float64 // Σ_j w_j k_ij and Σ_i w_i k_ij
	pullX, pullY []float64 // the same of t; nil: no gradients are wanted
	imageX       []float64 // [·,wide], Σ_j w_j g_ij y_j
	imageY       []float64 // [·,wide], Σ_i w_i g_ij x_i
}

func newPairs(k radial, x, y *side, sumsOfY, inX, inY bool) *pairs {
	p := &pairs{radial: k, x: x, y: y, self: x == y, near: nearPart * max(x.radius, y.radius), sumsOfY: sumsOfY, inX: inX, inY: inY}
	p.sumX, p.sumY = make([]float64, len(x.w)), make([]float64, len(y.w))
	if inX {
		p.pullX, p.imageX = make([]float64, len(x.w)), make([]float64, len(x.images))
	}
	if inY && !p.self {
		p.pullY, p.imageY = make([]float64, len(y.w)), make([]float64, len(y.images))
	}
	if p.self {
		p.sumY, p.pullY, p.imageY = p.sumX, p.pullX, p.imageX
	}
	return p
}

// bytes is what n points take with themselves and in a cross problem, the gradient included.
func bytes(n, d int) int64 { return 8 * int64(n) * int64(5*d+4*wideOf(d)+16) }

// compute takes the sums of all pairs in rounds. In a round no two tiles share a block of the same side, so that they write to different sums; in the order of
// the rounds the sums are the same whatever the threads, and nothing is kept of pairs. The error is the context's.
func compute(ctx context.Context, all ...*pairs) error {
	count, rounds, work := 0, 0, 0.0
	for _, p := range all {
		count += p.x.blocks
		rounds = max(rounds, p.x.blocks, p.y.blocks)
		work += float64(p.x.n) * float64(p.stripCost(p.y.n))
	}
	round := 0
	body := func(at int, gate *parallel.Gate) {
		for _, p := range all {
			if at < p.x.blocks {
				if j, ok := p.partner(at, round); ok {
					p.tile(at, j, gate)
				}
				return
			}
			at -= p.x.blocks
		}
	}
	if work < parallel.TileCost { // not worth another goroutine
		return parallel.Do(ctx, func(gate *parallel.Gate) {
			for ; round < rounds; round++ {
				for at := range count {
					body(at, gate)
				}
			}
		})
	}
	loop := parallel.NewLoop(count, body)
	for ; round < rounds; round++ {
		if err := loop.Run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stripCost is the work of a row of so many columns in units of [parallel.TileCost].
func (p *pairs) stripCost(columns int) int { return columns * (p.x.d + 16) / 2 }

// partner is the block of y that block i of x meets in a round: every pair of blocks meets once. A block of a cloud with itself meets those from itself on:
// in round r those meet whose numbers sum to r, up to a multiple of their count.
func (p *pairs) partner(i, round int) (j int, ok bool) {
	if p.self {
		j = ((round-i)%p.x.blocks + p.x.blocks) % p.x.blocks
		return j, round < p.x.blocks && j >= i
	}
	rounds := max(p.x.blocks, p.y.blocks)
	j = (i + round) % rounds
	return j, round < rounds && j < p.y.blocks
}

type stripMatrix = [stripRows * block]float64

// scratch is room for the strips of one tile.
type scratch struct {
	k, t, g stripMatrix
	turned  stripMatrix // g by columns
	hits    [stripRows * block]int32
	unit    []float64
	strip   strip
	sums    [stripRows]float64
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// tile adds the pairs of block i of x and block j of y.
func (p *pairs) tile(i, j int, gate *parallel.Gate) {
	room := scratches.Get().(*scratch)
	defer func() {
		room.strip = strip{} // which would keep the clouds
		scratches.Put(room)
	}()
	cols, done := p.y.columns(j), 0
	for lo := i * block; lo < p.x.end(i); lo += p.x.stripRows() {
		hi := min(p.x.end(i), lo+p.x.stripRows())
		if done += (hi - lo) * p.stripCost(cols); done > parallel.TileCost && lo > i*block {
			if !gate.Open() {
				return
			}
			done = 0
		}
		p.strip(room, lo, hi, j)
	}
}

// strip adds the pairs of the rows lo..hi of x and block j of y.
func (p *pairs) strip(room *scratch, lo, hi, j int) {
	x, y, d := p.x, p.y, p.x.d
	from, rows := j*block, hi-lo
	s := &room.strip
	*s = strip{rows: rows, cols: y.columns(j), near: p.near, rx: x.squares[lo:hi], ry: y.squares[from:], k: room.k[:], hits: room.hits[:0], spare: room.turned[:]}
	if p.inX || p.inY {
		s.t, s.g = room.t[:], room.t[:]
		if p.two {
			s.g = room.g[:]
		}
	}
	vec.Costs(s.k, block, p.cost, x.x[lo*d:hi*d], rows, d, y.packed[j*block*d:(j+1)*block*d], block, s.cols)
	p.fill(s)
	diagonal := p.self && lo/block == j
	if diagonal {
		for i := range rows {
			at := i*block + lo + i - from
			s.k[at] = 0
			if s.t != nil {
				s.t[at], s.g[at] = 0, 0
			}
		}
	}
	p.addRows(room, s, lo, j)
	if !diagonal {
		p.addColumns(room, s, lo, j)
	}
	if p.tip != nil {
		p.addNear(room, s, lo, j, diagonal)
	}
}

// addRows adds what the columns are to the rows.
func (p *pairs) addRows(room *scratch, s *strip, lo, j int) {
	w := p.y.w[j*block : j*block+s.cols]
	add := func(dst, matrix []float64) {
		sums := room.sums[:s.rows]
		vec.DotRows(sums, matrix, block, w)
		for i, v := range sums {
			dst[i] += v
		}
	}
	add(p.sumX[lo:], s.k)
	if !p.inX {
		return
	}
	add(p.pullX[lo:], s.t)
	wide := p.x.wide
	vec.Images(p.imageX[lo*wide:], wide, s.g, block, s.rows, p.y.images[j*block*wide:], wide, p.y.end(j)-j*block)
}

// addColumns adds what the rows are to the columns.
func (p *pairs) addColumns(room *scratch, s *strip, lo, j int) {
	from, w := j*block, p.x.w[lo:lo+s.rows]
	if p.sumsOfY {
		vec.AddRows(p.sumY[from:from+s.cols], w, s.k, block)
	}
	if !p.inY {
		return
	}
	vec.AddRows(p.pullY[from:from+s.cols], w, s.t, block)
	turn(&room.turned, (*stripMatrix)(s.g))
	wide := p.y.wide
	vec.Images(p.imageY[from*wide:], wide, room.turned[:], stripRows, p.y.end(j)-from, p.x.images[lo*wide:], wide, s.rows)
}

// turn writes a strip by columns.
func turn(dst, src *stripMatrix) {
	for j := range block {
		to := (*[stripRows]float64)(dst[j*stripRows:])
		for i := range to {
			to[i] = src[i*block+j]
		}
	}
}

// addGradientX adds scale·f_i Σ_j w_j ∇₁k(x_i,y_j), factors included, for the points of x. The error is the context's.
func (p *pairs) addGradientX(ctx context.Context, dst []float64, scale float64, f []float64) error {
	return p.x.addGradient(ctx, dst, -scale*p.pull, f, p.pullX, p.imageX)
}

// addGradientY is the same for the points of y.
func (p *pairs) addGradientY(ctx context.Context, dst []float64, scale float64, f []float64) error {
	return p.y.addGradient(ctx, dst, -scale*p.pull, f, p.pullY, p.imageY)
}

// addGradient adds scale·f_i (x_i pulls_i - images_i).
func (s *side) addGradient(ctx context.Context, dst []float64, scale float64, f, pulls, images []float64) error {
	return parallel.Rows(ctx, s.n, 4*s.d, func(lo, hi int, _ *parallel.Gate) {
		for i := lo; i < hi; i++ {
			by, pull := scale*f[i], pulls[i]
			to, image := dst[i*s.d:(i+1)*s.d], images[i*s.wide:]
			for k, v := range s.point(i) {
				to[k] += by * (v*pull - image[k])
			}
		}
	})
}

// addNear adds the gradients of near pairs from the differences of their points: a unit vector times t·d. Two points in the same place have none.
func (p *pairs) addNear(room *scratch, s *strip, lo, j int, diagonal bool) {
	x, y := p.x, p.y
	for _, hit := range s.hits {
		i, at := lo+int(hit)/block, j*block+int(hit)%block
		if at >= y.n || diagonal && i == at {
			continue
		}
		if len(room.unit) != x.d {
			room.unit = make([]float64, x.d)
		}
		clear(room.unit)
		vec.Distance.AddGradient(room.unit, p.tip(s.k[hit]), x.point(i), y.point(at))
		for k, v := range room.unit {
			if p.inX {
				p.imageX[i*x.wide+k] -= y.w[at] * v
			}
			if p.inY && !diagonal {
				p.imageY[at*y.wide+k] += x.w[i] * v
			}
		}
	}
}
