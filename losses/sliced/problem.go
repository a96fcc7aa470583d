package sliced

import (
	"context"
	"math"
	"sync"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/order"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// problem is a transport bound to its measures.
type problem struct {
	p, count      int
	aggregate     Aggregate
	maxIterations int
	seed          losses.Seed
	a, b          *losses.Cloud
}

const (
	// block is how many numbers the projections of the directions that are worked on at once take, unless atOnce directions take more.
	block  = 1 << 18
	atOnce = 4
	// pointCost is the work of sorting and matching a point, in units of [parallel.TileCost].
	pointCost = 24
)

// Work implements [losses.Problem].
func (p *problem) Work() losses.Work {
	n, d := stride(p.a.N)+stride(p.b.N), p.a.D
	passes := 1
	if p.aggregate == Max {
		passes = p.maxIterations
	}
	// Points, their gradients, projections and potentials of a block, and what is sorted, for each processor; the directions.
	bytes := 8 * (2*n*d + 2*n*p.blockSize() + 2*n*parallel.Slots() + p.count*d)
	return losses.Work{Pairs: float64(p.count) * float64(n), Iterations: passes, Bytes: int64(bytes)}
}

// blockSize is how many directions are worked on at once.
func (p *problem) blockSize() int {
	return min(p.count, max(atOnce, block/(stride(p.a.N)+stride(p.b.N))))
}

// Solve implements [losses.Problem].
func (p *problem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	l, err := newLines(ctx, p)
	if err != nil {
		return losses.TermResult{}, err
	}
	theta := sample(p.seed.Random(), p.count, p.a.D)
	result := losses.TermResult{Outcomes: make([]losses.Outcome, 1)}
	if p.aggregate == Max {
		a, err := l.ascend(ctx, theta)
		if err != nil {
			return losses.TermResult{}, err
		}
		theta = a.theta
		result.Outcomes[0].Solve = &losses.Solve{Converged: a.converged, Iterations: a.steps, Strategy: "ascent on the sphere"}
		if !a.converged {
			result.Warnings = append(result.Warnings, a.warning())
		}
	}
	g := p.wanted(want)
	costs, err := l.evaluate(ctx, theta, g)
	if err != nil {
		return losses.TermResult{}, err
	}
	value := floats.Sum(costs) / float64(len(costs)) * math.Pow(l.scale, float64(p.p))
	result.Outcomes[0].Value = value
	if math.IsInf(value, 1) {
		result.Warnings = append(result.Warnings, losses.Warning{Code: losses.InfiniteValue, Message: "the value overflows binary64: the points are too far apart"})
	}
	result.Gradients = p.gradients(want, g, l.scale, len(costs))
	if want.Extras["directions"] {
		extra := losses.NewArray(theta, len(costs), p.a.D)
		result.Extras = map[string]losses.Extra{"directions": &extra}
	}
	return result, nil
}

// sums are gradients summed over directions, in the frame; nil: nobody wants them.
type sums struct {
	points  [2][]float64 // of source and target, [D,stride]
	weights [2][]float64 // [N], [M]
}

// wanted makes the sums that the gradients need.
func (p *problem) wanted(want losses.Want) *sums {
	g := &sums{}
	for s, c := range []*losses.Cloud{p.a, p.b} {
		if want.Gradients[losses.Ref{Input: c.Name, Field: "points"}] {
			g.points[s] = make([]float64, c.D*stride(c.N))
		}
		if want.Gradients[losses.Ref{Input: c.Name, Field: "weights"}] {
			g.weights[s] = make([]float64, c.N)
		}
	}
	return g
}

// potentials reports whether gradients in weights are wanted.
func (g *sums) potentials() bool { return g.weights[0] != nil || g.weights[1] != nil }

// gradients are the means over count directions, out of the frame. An input that is both source and target gets the sum.
func (p *problem) gradients(want losses.Want, g *sums, scale float64, count int) map[losses.Ref][]float64 {
	out := map[losses.Ref][]float64{}
	for s, c := range []*losses.Cloud{p.a, p.b} {
		points, weights := losses.Ref{Input: c.Name, Field: "points"}, losses.Ref{Input: c.Name, Field: "weights"}
		if g.points[s] != nil {
			factor := math.Pow(scale, float64(p.p-1)) / float64(count)
			sum := slot(out, points, c.N*c.D)
			for k := range c.D {
				row := g.points[s][k*stride(c.N):]
				for i := range c.N {
					sum[i*c.D+k] += factor * row[i]
				}
			}
		}
		if f := g.weights[s]; f != nil {
			factor, mean := math.Pow(scale, float64(p.p))/float64(count), floats.Dot(f, c.W)/c.Mass
			sum := slot(out, weights, c.N)
			for i, v := range f {
				sum[i] += factor * (v - mean)
			}
		}
	}
	return out
}

// slot is the gradient of a tensor, made at its first use.
func slot(of map[losses.Ref][]float64, ref losses.Ref, n int) []float64 {
	if of[ref] == nil {
		of[ref] = make([]float64, n)
	}
	return of[ref]
}

// lines computes transport along directions.
type lines struct {
	*problem
	scale   float64 // of the frame
	clouds  [2]*cloud
	scratch sync.Pool // of *scratch
}

// scratch is what one direction at a time needs.
type scratch struct {
	order.Sorter
	sorted [2][]order.Item
}

func newLines(ctx context.Context, p *problem) (*lines, error) {
	f := newFrame(p.a, p.b)
	l := &lines{problem: p, scale: f.scale}
	for s, c := range []*losses.Cloud{p.a, p.b} {
		var err error
		if l.clouds[s], err = f.newCloud(ctx, c); err != nil {
			return nil, err
		}
	}
	l.scratch.New = func() any {
		return &scratch{sorted: [2][]order.Item{make([]order.Item, p.a.N), make([]order.Item, p.b.N)}}
	}
	return l, nil
}

// evaluate returns the cost along each of the directions theta, [L,D], and adds to the sums in the order of the directions, whatever the blocks are.
func (l *lines) evaluate(ctx context.Context, theta []float64, g *sums) ([]float64, error) {
	d := l.a.D
	costs := make([]float64, len(theta)/d)
	size := min(l.blockSize(), len(costs))
	var rows, potentials [2][]float64 // [size,stride]: projections, then slopes; what pads is 0, as its points are
	for s, c := range l.clouds {
		rows[s] = make([]float64, size*c.stride)
		if g.potentials() {
			potentials[s] = make([]float64, size*c.stride)
		}
	}
	work := (l.clouds[0].stride + l.clouds[1].stride) * (d/4 + pointCost)
	for from := 0; from < len(costs); from += size {
		count := min(size, len(costs)-from)
		here := theta[from*d : (from+count)*d]
		err := parallel.Rows(ctx, count, work, func(lo, hi int, gate *parallel.Gate) {
			l.some(gate, here, lo, hi, rows, potentials, costs[from:])
		})
		if err == nil {
			err = l.add(ctx, g, here, rows, potentials)
		}
		if err != nil {
			return nil, err
		}
	}
	return costs, nil
}

// some computes the directions lo to hi of a block.
func (l *lines) some(gate *parallel.Gate, theta []float64, lo, hi int, rows, potentials [2][]float64, costs []float64) {
	d := l.a.D
	own := l.scratch.Get().(*scratch)
	defer l.scratch.Put(own)
	for s, c := range l.clouds {
		if !c.project(gate, rows[s][lo*c.stride:], theta[lo*d:hi*d], hi-lo) {
			return
		}
	}
	for r := lo; r < hi; r++ {
		var sides [2]side
		for s, c := range l.clouds {
			row := rows[s][r*c.stride : (r+1)*c.stride]
			if !own.Sort(gate, own.sorted[s], row[:c.N]) {
				return
			}
			sides[s] = side{sorted: own.sorted[s], weights: c.W, uniform: c.uniform, slopes: row[:c.N]}
		}
		if costs[r] = transport(gate, l.p, sides[0], sides[1]); potentials[0] == nil {
			continue
		}
		f, h := potentials[0][r*l.clouds[0].stride:], potentials[1][r*l.clouds[1].stride:]
		addPotentials(gate, l.p, sides[0], sides[1], l.a.Mass, f[:l.a.N], h[:l.b.N])
	}
}

// add adds a block's slopes times its directions, and its potentials, to the sums.
func (l *lines) add(ctx context.Context, g *sums, theta []float64, rows, potentials [2][]float64) error {
	d := l.a.D
	count := len(theta) / d
	across := make([]float64, len(theta)) // [D,count]
	for r := range count {
		for k := range d {
			across[k*count+r] = theta[r*d+k]
		}
	}
	for s, c := range l.clouds {
		if sum := g.points[s]; sum != nil {
			err := parallel.Rows(ctx, d, c.stride*count/4, func(lo, hi int, _ *parallel.Gate) {
				vec.Images(sum[lo*c.stride:], c.stride, across[lo*count:], count, hi-lo, rows[s], c.stride, count)
			})
			if err != nil {
				return err
			}
		}
		if sum := g.weights[s]; sum != nil {
			err := parallel.Rows(ctx, c.N, count, func(lo, hi int, _ *parallel.Gate) {
				for r := range count {
					for i, v := range potentials[s][r*c.stride+lo : r*c.stride+hi] {
						sum[lo+i] += v
					}
				}
			})
			if err != nil {
				return err
			}
			clear(potentials[s])
		}
	}
	return nil
}
