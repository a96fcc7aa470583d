package entropic

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// products are two clouds for the kernels that take half the squared distance as ½|x|² + ½|y|² - x·y, and keep none of it. Points are relative to the mean
// of the columns, so that an offset which all share costs no digits. The rounding of an exponent is relative to (|x|²+|y|²)/ε, not to C/ε: at most d+8
// half-ulps of it, where the square root of d is usual.
type products[T vec.Float] struct {
	n, m, d, columns int
	x                []T       // [n,d]
	y                []T       // in panels, 0 beyond the points
	halfX, halfY     []float64 // ½|x|² and ½|y|², of the numbers as they are in x and y
	center           []float64
	scaled           []T // x log₂e/ε
	heights          []T // [columns], -Inf beyond the points
	shifts           []T // [n]
}

// panelPad rounds up to whole panels.
func panelPad(n int) int { return (n + vec.PanelColumns - 1) / vec.PanelColumns * vec.PanelColumns }

// byProducts reports whether costs may be taken as products.
func (p Problem) byProducts() bool { return p.Cost == vec.HalfSquared && p.Nearest == 0 }

// panelAt is where coordinate k of point j is in panels.
func panelAt(j, k, d int) int {
	return (j/vec.PanelColumns*d+k)*vec.PanelColumns + j%vec.PanelColumns
}

func newProducts[T vec.Float](x, y *losses.Cloud) *products[T] {
	n, d, columns := x.N, x.D, panelPad(y.N)
	p := &products[T]{n: n, m: y.N, d: d, columns: columns, center: Mean(y)}
	numbers := make([]T, 2*n*d+columns*d+columns+n)
	take := func(k int) []T {
		s := numbers[:k:k]
		numbers = numbers[k:]
		return s
	}
	p.x, p.scaled, p.y, p.heights, p.shifts = take(n*d), take(n*d), take(columns*d), take(columns), take(n)
	halves := make([]float64, n+y.N)
	p.halfX, p.halfY = halves[:n], halves[n:]
	for at, v := range x.X {
		i := at / d
		p.x[at] = T(v - p.center[at%d])
		p.halfX[i] += float64(p.x[at]) * float64(p.x[at]) / 2
	}
	for at, v := range y.X {
		j, k := at/d, at%d
		t := T(v - p.center[k])
		p.y[panelAt(j, k, d)] = t
		p.halfY[j] += float64(t) * float64(t) / 2
	}
	for j := y.N; j < columns; j++ {
		p.heights[j] = T(math.Inf(-1))
	}
	return p
}

// begin sets what a pass at a temperature needs: with log-weights, or without.
func (p *products[T]) begin(g, logW []float64, epsilon float64) {
	scale := math.Log2E / epsilon
	by := T(scale)
	for i, v := range p.x {
		p.scaled[i] = v * by
	}
	for j, v := range g {
		p.heights[j] = T((v - p.halfY[j]) * scale)
		if logW != nil {
			p.heights[j] = T((v-p.halfY[j])*scale + logW[j]*math.Log2E)
		}
	}
}

// panelBytes is how much of the columns a pass over some rows works on, so that they stay in the second cache.
const panelBytes = 256 << 10

// segment is the number of columns of that.
func (p *products[T]) segment() int {
	return max(1, panelBytes/(vec.PanelColumns*max(1, p.d)*sizeOf[T]())) * vec.PanelColumns
}

// Rows of products are taken in tiles of at least so many: enough for a segment of columns to be read from the second cache only once for all of them.
const productRows = 48

// work is that of so many rows of so many columns, in units of [parallel.TileCost].
func (p *products[T]) work(rows, columns int) int { return rows * columns * (p.d + 8) / vectorSpeed }

// tiles calls body for runs of rows, at once, and in each for segments of columns, in order. Inside it are at most some rows between two looks at the context.
func (p *products[T]) tiles(ctx context.Context, body func(lo, hi int) func(rowLo, rowHi, from, to int)) error {
	size := min(p.n, max(productRows, parallel.TileCost/max(1, p.work(1, p.columns))/productRows*productRows))
	tiles := (p.n + size - 1) / size
	return parallel.Rows(ctx, tiles, parallel.TileCost, func(first, last int, gate *parallel.Gate) {
		for tile := first; tile < last; tile++ {
			lo, hi := tile*size, min(p.n, (tile+1)*size)
			piece, done := body(lo, hi), 0
			p.pieces(hi-lo, func(rowLo, rowHi, from, to int) bool {
				if done += p.work(rowHi-rowLo, to-from); done > parallel.TileCost {
					if !gate.Open() {
						return false
					}
					done = p.work(rowHi-rowLo, to-from)
				}
				piece(lo+rowLo, lo+rowHi, from, to)
				return true
			})
		}
	})
}

// pieces calls body for segments of columns and, in each, runs of rows that are no longer than a tile's work.
func (p *products[T]) pieces(rows int, body func(rowLo, rowHi, from, to int) bool) {
	segment := p.segment()
	for from := 0; from < p.columns; from += segment {
		to := min(p.columns, from+segment)
		step := max(6, min(rows, parallel.TileCost/max(1, p.work(6, to-from))*6))
		for lo := 0; lo < rows; lo += step {
			if !body(lo, min(rows, lo+step), from, to) {
				return
			}
		}
	}
}

// softmin writes f_i = -ε log Σ_j b_j exp((g_j - C_ij)/ε) with the logarithms of the weights b.
func (p *products[T]) softmin(ctx context.Context, f, g, logW []float64, epsilon float64, sums []logSum) error {
	p.begin(g, logW, epsilon)
	for i := range sums {
		sums[i] = emptyLogSum()
	}
	err := p.tiles(ctx, func(lo, hi int) func(rowLo, rowHi, from, to int) {
		scratch, results := new(vec.Scratch[T]), make([]T, 2*(hi-lo))
		return func(lo, hi, from, to int) {
			top, sum := results[:hi-lo], results[hi-lo:2*(hi-lo)]
			vec.LogSumProducts(scratch, top, sum, p.scaled[lo*p.d:hi*p.d], p.d, p.y[from*p.d:to*p.d], p.heights[from:to])
			for i := range top {
				sums[lo+i] = sums[lo+i].add(logSum{float64(top[i]), float64(sum[i])})
			}
		}
	})
	for i, sum := range sums {
		f[i] = p.halfX[i] - epsilon*math.Ln2*sum.log2()
	}
	return err
}

// SoftminPass is one pass of softmins over all pairs in binary32, nothing stored, ready to be run again and again: what benchmarks time.
func SoftminPass(x, y *losses.Cloud, epsilon float64) func(ctx context.Context) error {
	p := newProducts[float32](x, y)
	f, g, sums, logW := make([]float64, x.N), make([]float64, y.N), make([]logSum, x.N), newSide(y).logW
	return func(ctx context.Context) error { return p.softmin(ctx, f, g, logW, epsilon, sums) }
}

// addBarycentric adds marginal_i (x_i - T(x_i)) to dst, [N,D], T the barycentric map of the plan's rows and soft their softmins: with the rows of the plan, each scaled to sum to 1.
func (p *products[T]) addBarycentric(ctx context.Context, dst, marginal, soft, g, logW []float64, epsilon float64) error {
	p.begin(g, logW, epsilon)
	width := (p.d + vec.ImagePad - 1) / vec.ImagePad * vec.ImagePad
	points := p.rowMajor(width)
	mass, image := make([]float64, p.n), make([]float64, p.n*p.d)
	const rows, columns = 12, 512
	err := p.tiles(ctx, func(int, int) func(rowLo, rowHi, from, to int) {
		weights, images := make([]T, rows*columns), make([]T, rows*width)
		block := func(lo, hi, from, to int) {
			for at := from; at < to; at += vec.PanelColumns {
				vec.Products(weights[at-from:], columns, p.scaled[lo*p.d:hi*p.d], hi-lo, p.d, p.y[at*p.d:], vec.PanelColumns, vec.PanelColumns)
			}
			clear(images)
			for i := lo; i < hi; i++ {
				w := weights[(i-lo)*columns : (i-lo)*columns+to-from]
				vec.ExpRow(w, w, p.heights[from:to], -1, T((soft[i]-p.halfX[i])/epsilon*math.Log2E))
				mass[i] += float64(vec.Sum(w))
			}
			vec.Images(images, width, weights, columns, hi-lo, points[from*width:], width, to-from)
			for i := lo; i < hi; i++ {
				for k, v := range images[(i-lo)*width : (i-lo)*width+p.d] {
					image[i*p.d+k] += float64(v)
				}
			}
		}
		return func(lo, hi, from, to int) {
			for ; from < to; from += columns {
				for i := lo; i < hi; i += rows {
					block(i, min(hi, i+rows), from, min(to, from+columns))
				}
			}
		}
	})
	if err != nil {
		return err
	}
	for at := range dst {
		i := at / p.d
		dst[at] += marginal[i] * (float64(p.x[at]) - image[at]/mass[i])
	}
	return nil
}

// rowMajor is the columns' points, [columns,width].
func (p *products[T]) rowMajor(width int) []T {
	points := make([]T, p.columns*width)
	for j := range p.m {
		for k := range p.d {
			points[j*width+k] = p.y[panelAt(j, k, p.d)]
		}
	}
	return points
}
