package exact

import (
	"context"
	"math"

	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// choose picks columns for every row from the plan at potentials f and g, in which P_ij is 2 to the power of (f_i + g_j - C_ij)/ε log₂e + log₂ b_j relative to the
// mass of the row: those with the largest entries, and some that are drawn in proportion to them, at even steps along the columns from a place that
// is the row's own. The error is the context's.
func choose(ctx context.Context, s *single, f, g []float64, demand []int64, total int64, epsilon float64) ([][]int32, error) {
	by := math.Log2E / epsilon
	heights := make([]float32, (s.m+tileColumns-1)/tileColumns*tileColumns)
	for j := range heights {
		heights[j] = float32(math.Inf(-1))
		if j < s.m {
			heights[j] = float32(g[j]*by + math.Log2(float64(demand[j])/float64(total)))
		}
	}
	out := make([][]int32, s.n)
	scale := float32(by / s.scale)
	blocks := (s.n + groupRows - 1) / groupRows
	err := parallel.Rows(ctx, blocks, groupRows*s.rowCost(), func(from, to int, gate *parallel.Gate) {
		scratch := make([]float32, groupRows*tileColumns)
		choices := make([]choice, groupRows)
		work := 0
		for block := from; block < to; block++ {
			lo, hi := block*groupRows, min(s.n, (block+1)*groupRows)
			for r := range hi - lo {
				choices[r].reset(lo + r)
			}
			for tile := range s.tiles() {
				if work += s.tileCost(hi - lo); work > parallel.TileCost {
					if work = 0; !gate.Open() {
						return
					}
				}
				columns := s.estimate(scratch, lo, hi, tile)
				padded := (columns + vec.Pad - 1) / vec.Pad * vec.Pad
				for r := range hi - lo {
					row := scratch[r*tileColumns:][:padded]
					vec.ExpRow(row, row, heights[tile*tileColumns:][:padded], scale, float32(f[lo+r]*by))
					choices[r].add(row, int32(tile*tileColumns))
				}
			}
			for r := range hi - lo {
				out[lo+r] = append([]int32(nil), choices[r].columns()...)
			}
		}
	})
	return out, err
}

// choice is the columns of a row so far.
type choice struct {
	best   []int32   // those with the largest entries, in descending order
	values []float32 // those entries
	least  float32   // of them, 0 while there are not all
	drawn  []int32
	mass   float32 // of the columns that were looked at
	next   float32 // mass at which a column is drawn
}

func (c *choice) reset(row int) {
	_, phase := math.Modf(float64(row+1) * (math.Phi - 1))
	*c = choice{best: c.best[:0], values: c.values[:0], drawn: c.drawn[:0], next: float32(phase) / float32(samples)}
}

// add looks at the entries of a run of columns.
func (c *choice) add(row []float32, from int32) {
	for at := 0; at < len(row); at += vec.Pad {
		part := row[at : at+vec.Pad]
		mass := vec.Sum(part)
		if mass > c.least {
			for j, v := range part {
				if v > c.least {
					c.insert(v, from+int32(at+j))
				}
			}
		}
		if c.mass+mass > c.next {
			c.draw(part, from+int32(at))
		}
		c.mass += mass
	}
}

// insert puts an entry among the largest.
func (c *choice) insert(v float32, column int32) {
	if len(c.best) < likeliest {
		c.best, c.values = append(c.best, column), append(c.values, v)
	}
	k := len(c.best) - 1
	for ; k > 0 && c.values[k-1] < v; k-- {
		c.best[k], c.values[k] = c.best[k-1], c.values[k-1]
	}
	c.best[k], c.values[k] = column, v
	if len(c.best) == likeliest {
		c.least = c.values[likeliest-1]
	}
}

// draw draws the columns at which the mass passes the next steps.
func (c *choice) draw(part []float32, from int32) {
	mass := c.mass
	for j, v := range part {
		if mass += v; mass > c.next {
			c.drawn = append(c.drawn, from+int32(j))
			c.next += 1 / float32(samples) * float32(1+int(min(4, mass-c.next)*float32(samples)))
			if c.next > 4 { // the row has far more mass than it should
				c.next = float32(math.Inf(1))
			}
		}
	}
}

// columns are all that were chosen.
func (c *choice) columns() []int32 { return append(c.best, c.drawn...) }
