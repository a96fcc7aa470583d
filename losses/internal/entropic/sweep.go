package entropic

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// sweep updates both potentials of a problem from where they both were with one exponential for every pair: with K_ij = exp((f_i + g_j - C_ij)/ε) the
// softmins are f_i - ε log Σ_j b_j K_ij and g_j - ε log Σ_i a_i K_ij. Of a cloud against itself, where f = g and K is symmetric, it takes half the pairs.
//
// That works while the sums are within the range of the number format, which potentials near those of a temperature a few times higher see to; where they are
// not, the sweep says so and the log domain has to do.
type sweep[T vec.Float] struct {
	*products[T]
	self           bool
	a, b           []T     // weights by the mass; b is [columns], 0 beyond the points
	massA, massB   float64 //
	partial        [][]T   // column sums of each group of rows, [columns]
	rows           []float64
	logs           []float64 // padded
	lowest, utmost float64   // what a sum may be
}

func newSweep[T vec.Float](x, y *losses.Cloud, self bool) *sweep[T] {
	s := &sweep[T]{products: newProducts[T](x, y), self: self, massA: x.Mass, massB: y.Mass, rows: make([]float64, x.N), lowest: 0x1p-900, utmost: 0x1p1000}
	if sizeOf[T]() == 4 {
		s.lowest, s.utmost = 0x1p-80, 0x1p100
	}
	s.a, s.b = make([]T, x.N), make([]T, s.columns)
	for i, w := range x.W {
		s.a[i] = T(w / x.Mass)
	}
	for j, w := range y.W {
		s.b[j] = T(w / y.Mass)
	}
	s.logs = make([]float64, pad(max(x.N, y.N)))
	work := s.work(s.n, s.columns)
	if s.self {
		work /= 2
	}
	s.partial = make([][]T, min(maxSweepGroups, s.strips(), 1+work/(4*parallel.TileCost)))
	for i := range s.partial {
		s.partial[i] = make([]T, s.columns)
	}
	return s
}

// sweepOffset is added to exponents: when the temperature falls, sums get smaller by more than they get larger.
const sweepOffset = 32

// maxSweepGroups bounds the partial sums.
const maxSweepGroups = 32

// strips is the number of runs of as many rows as a panel has columns.
func (s *sweep[T]) strips() int { return (s.n + vec.PanelColumns - 1) / vec.PanelColumns }

// run writes the softmins. It reports false where a sum is out of range, and what it wrote is then of no use. The error is the context's.
func (s *sweep[T]) run(ctx context.Context, softF, softG, f, g []float64, epsilon float64) (ok bool, err error) {
	if s.self {
		g = f
	}
	s.begin(g, nil, epsilon)
	for i, v := range f {
		s.shifts[i] = T((v-s.halfX[i])/epsilon*math.Log2E + sweepOffset)
	}
	// Strips go to groups in turn: those of a triangle differ in length.
	groups := len(s.partial)
	err = parallel.Rows(ctx, groups, parallel.TileCost, func(first, last int, gate *parallel.Gate) {
		scratch := new(sweepScratch[T])
		for group := first; group < last; group++ {
			clear(s.partial[group])
			for strip := group; strip < s.strips(); strip += groups {
				if !s.strip(gate, scratch, strip, s.partial[group]) {
					return
				}
			}
		}
	})
	if err != nil {
		return false, err
	}
	columns := s.logs[:len(g)]
	for j := range columns {
		total := 0.0
		for _, sums := range s.partial {
			total += float64(sums[j])
		}
		if s.self {
			total += s.rows[j]
		}
		columns[j] = total
	}
	if s.self {
		return s.finish(softF, f, columns, s.massB, epsilon), nil
	}
	ok = s.finish(softG, g, columns, s.massA, epsilon)
	return s.finish(softF, f, s.logs[:copy(s.logs, s.rows)], s.massB, epsilon) && ok, nil
}

// finish writes f - ε log(mass·sums). sums are the beginning of the logs.
func (s *sweep[T]) finish(soft, f, sums []float64, mass, epsilon float64) bool {
	for _, v := range sums {
		if !(v >= s.lowest && v <= s.utmost) {
			return false
		}
	}
	padded := s.logs[:pad(len(sums))]
	for i := len(sums); i < len(padded); i++ {
		padded[i] = 1
	}
	vec.LogRow(padded, padded)
	own := math.Log(mass) - sweepOffset*math.Ln2
	for i, v := range f {
		soft[i] = v - epsilon*(padded[i]+own)
	}
	return true
}

// sweepScratch is what a strip needs.
type sweepScratch[T vec.Float] struct {
	vec.Scratch[T]
	rows, zeros, unused [vec.PanelColumns]T
}

// strip sums a run of rows, and adds to the sums of columns. It reports false where the gate closes.
func (s *sweep[T]) strip(gate *parallel.Gate, scratch *sweepScratch[T], strip int, columns []T) bool {
	lo, hi := strip*vec.PanelColumns, min(s.n, (strip+1)*vec.PanelColumns)
	clear(s.rows[lo:hi])
	piece := func(sums, a []T, from, to int) {
		rows := scratch.rows[:hi-lo]
		vec.SweepProducts(&scratch.Scratch, rows, sums, s.scaled[lo*s.d:hi*s.d], s.d, s.shifts[lo:hi], a, s.y[from*s.d:to*s.d], s.heights[from:to], s.b[from:to])
		for i, v := range rows {
			s.rows[lo+i] += float64(v)
		}
	}
	from, segment, done := 0, s.stripSegment(hi-lo), 0
	if s.self {
		// The rows' own panel is on the diagonal: it has all of its pairs twice.
		from = lo + vec.PanelColumns
		piece(scratch.unused[:], scratch.zeros[:hi-lo], lo, from)
	}
	for ; from < s.columns; from += segment {
		to := min(s.columns, from+segment)
		if done += s.work(hi-lo, to-from); done > parallel.TileCost {
			if !gate.Open() {
				return false
			}
			done = 0
		}
		piece(columns[from:to], s.a[lo:hi], from, to)
	}
	return true
}

// stripSegment is the columns between two looks at the context.
func (s *sweep[T]) stripSegment(rows int) int {
	return max(1, min(s.segment(), parallel.TileCost/max(1, s.work(rows, 1)))/vec.PanelColumns) * vec.PanelColumns
}
