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
func choose(ctx context.Context, s *single, f, g []float64, demand []int64, total int64, epsilon float64) ([]picks, error) {
	by := math.Log2E / epsilon
	heights := make([]float32, (s.m+tileColumns-1)/tileColumns*tileColumns)
	for j := range heights {
		heights[j] = float32(math.Inf(-1))
		if j < s.m {
			heights[j] = float32(g[j]*by + math.Log2(float64(demand[j])/float64(total)))
		}
	}
	out := make([]picks, s.n)
	scale := float32(by / s.scale)
	blocks := (s.n + groupRows - 1) / groupRows
	// Tiles are of some 30 µs, so that small problems have several.
	err := parallel.Rows(ctx, blocks, 32*groupRows*s.rowCost(), func(from, to int, gate *parallel.Gate) {
		scratch := newScratch()
		var choices [groupRows]choice
		defer scratches.Put(scratch)
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
				columns := s.estimate(scratch[:], lo, hi, tile)
				padded := (columns + vec.Pad - 1) / vec.Pad * vec.Pad
				for r := range hi - lo {
					row := scratch[r*tileColumns:][:padded]
					vec.ExpRow(row, row, heights[tile*tileColumns:][:padded], scale, float32(f[lo+r]*by))
					choices[r].add(row, int32(tile*tileColumns))
				}
			}
			for r := range hi - lo {
				out[lo+r] = choices[r].picks()
			}
		}
	})
	return out, err
}

// picks is the columns of a row.
type picks struct {
	count   int
	columns [likeliest + samples]int32
}

func (p *picks) all() []int32 { return p.columns[:p.count] }

// choice is the columns of a row so far.
type choice struct {
	values [likeliest]float32 // the largest entries, in descending order, 0 beyond those there are
	best   [likeliest]int32   // their columns
	drawn  [samples]int32
	draws  int
	mass   float32 // of the columns that were looked at
	next   float32 // mass at which a column is drawn
}

func (c *choice) reset(row int) {
	_, phase := math.Modf(float64(row+1) * (math.Phi - 1))
	*c = choice{next: float32(phase) / samples}
}

// add looks at the entries of a run of columns.
func (c *choice) add(row []float32, from int32) {
	for at := 0; at < len(row); at += vec.Pad {
		part := row[at : at+vec.Pad]
		mass := vec.Sum(part)
		if mass > c.values[likeliest-1] {
			for j, v := range part {
				if v > c.values[likeliest-1] {
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
	k := likeliest - 1
	for ; k > 0 && c.values[k-1] < v; k-- {
		c.values[k], c.best[k] = c.values[k-1], c.best[k-1]
	}
	c.values[k], c.best[k] = v, column
}

// draw draws the columns at which the mass passes the next steps.
func (c *choice) draw(part []float32, from int32) {
	mass := c.mass
	for j, v := range part {
		// Columns that pad have no mass, but rounding may leave the next step behind it.
		if mass += v; v > 0 && mass > c.next && c.draws < samples {
			c.drawn[c.draws] = from + int32(j)
			c.draws++
			c.next += float32(1+int(min(samples, (mass-c.next)*samples))) / samples
		}
	}
}

// picks is all that was chosen.
func (c *choice) picks() (p picks) {
	for p.count < likeliest && c.values[p.count] > 0 {
		p.columns[p.count] = c.best[p.count]
		p.count++
	}
	p.count += copy(p.columns[p.count:], c.drawn[:c.draws])
	return p
}
