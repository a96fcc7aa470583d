package exact

import (
	"context"
	"math"
	"slices"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/parallel"
)

const (
	// temperature is how far annealing goes, as a part of the mean cost.
	temperature = 0.01
	// looseTolerance is the marginal error that it ends at.
	looseTolerance = 0.1
	mostIterations = 60
)

// short is a list of pairs with the least reduced costs of every row and of every column, at the potentials of entropic transport.
func (n *network) short(ctx context.Context) (f, g, reduced []float64, err error) {
	f, g, err = n.soft(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	rows, err := nearest(ctx, n.single, f, g, shortlist)
	if err != nil {
		return nil, nil, nil, err
	}
	back := newSingle(n.problem.Cost, n.b, n.a, entropic.Mean(n.b), n.exponent)
	columns, err := nearest(ctx, back, g, f, shortlist)
	if err != nil {
		return nil, nil, nil, err
	}
	byRow := slices.Clone(rows)
	for j, is := range columns {
		for _, i := range is {
			if !slices.Contains(rows[i], int32(j)) {
				byRow[i] = append(byRow[i], int32(j))
			}
		}
	}
	for i, js := range byRow {
		for _, j := range js {
			c := n.cost(i, int(j))
			n.simplex.arcs = append(n.simplex.arcs, arc{int32(i), int32(n.n) + j, c})
			reduced = append(reduced, c-f[i]-g[j])
		}
	}
	return f, g, reduced, nil
}

// soft is potentials of entropic transport. The error is the context's.
func (n *network) soft(ctx context.Context) (f, g []float64, err error) {
	p := entropic.Problem{Cost: n.problem.Cost, A: n.scaled(n.a), B: n.scaled(n.b)}
	center := entropic.Mean(p.B)
	mean := entropic.MeanCost(p.Cost, p.A, center) + entropic.MeanCost(p.Cost, p.B, center)
	if mean == 0 {
		return make([]float64, n.n), make([]float64, n.m), nil // all points coincide
	}
	p.Epsilon = max(temperature*mean, p.Resolution())
	path := entropic.NewPath(p, looseTolerance)
	defer path.Release()
	solution, err := path.SolveCross(ctx, entropic.Options{Tolerance: looseTolerance, MaxIterations: mostIterations})
	if err != nil {
		return nil, nil, err
	}
	by := 1 / n.single.scale
	for i := range solution.F {
		solution.F[i] *= by
	}
	for j := range solution.G {
		solution.G[j] *= by
	}
	return solution.F, solution.G, nil
}

// scaled is a cloud whose numbers are of about 1.
func (n *network) scaled(c *losses.Cloud) *losses.Cloud {
	by := math.Ldexp(1, n.exponent)
	scaled := &losses.Cloud{Name: c.Name, N: c.N, D: c.D, X: make([]float64, len(c.X)), W: c.W, Mass: c.Mass, Single: true}
	for i, v := range c.X {
		scaled.X[i] = v * by
	}
	return scaled
}

// nearest is the columns of the count least estimated reduced costs of every row. The error is the context's.
func nearest(ctx context.Context, s *single, f, g []float64, count int) ([][]int32, error) {
	out := make([][]int32, s.n)
	count = min(count, s.m)
	g32 := make([]float32, s.m)
	for j, v := range g {
		g32[j] = float32(v * s.scale)
	}
	groups := (s.n + groupRows - 1) / groupRows
	err := parallel.Rows(ctx, groups, groupRows*s.rowCost(), func(from, to int, gate *parallel.Gate) {
		scratch := make([]float32, groupRows*tileColumns)
		lists := make([]nearestList, groupRows)
		for group := from; group < to; group++ {
			lo, hi := group*groupRows, min(s.n, (group+1)*groupRows)
			for r := range hi - lo {
				lists[r] = nearestList{most: count, worst: float32(math.Inf(1))}
			}
			for tile := range s.tiles() {
				if tile > 0 && tile%64 == 0 && !gate.Open() {
					return
				}
				columns := s.estimate(scratch, lo, hi, tile)
				for r := range hi - lo {
					lists[r].add(scratch[r*tileColumns:][:columns], g32[tile*tileColumns:][:columns], int32(tile*tileColumns))
				}
			}
			for r := range hi - lo {
				out[lo+r] = lists[r].at
			}
		}
	})
	return out, err
}

// nearestList is the least numbers so far, in ascending order.
type nearestList struct {
	most   int
	worst  float32
	values []float32
	at     []int32
}

func (l *nearestList) add(costs, g []float32, from int32) {
	g = g[:len(costs)]
	for j, c := range costs {
		if v := c - g[j]; v < l.worst {
			l.insert(v, from+int32(j))
		}
	}
}

func (l *nearestList) insert(v float32, at int32) {
	if len(l.values) < l.most {
		l.values, l.at = append(l.values, v), append(l.at, at)
	}
	k := len(l.values) - 1
	for ; k > 0 && l.values[k-1] > v; k-- {
		l.values[k], l.at[k] = l.values[k-1], l.at[k-1]
	}
	l.values[k], l.at[k] = v, at
	if len(l.values) == l.most {
		l.worst = l.values[l.most-1]
	}
}
