package exact

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

const (
	// looseTolerance is the marginal error that entropic transport ends at, after that many iterations at the latest.
	looseTolerance = 0.1
	mostIterations = 60
	// temperature is that of entropic transport, as a part of the mean cost of both clouds to their own means.
	temperature = 0.01
	// likeliest and samples are how many pairs every point has on the list: those that the plan of entropic transport gives most, and some that are drawn from it.
	// Without the drawn ones a list need not hold any plan: in low dimensions many points have the same few as their best.
	likeliest = 8
	samples   = 6
	// firstPremium is the premium of a flow through the root at first, in units of the temperature: beyond what most pairs cost that a plan needs.
	firstPremium = 60
)

// short is a list of pairs, by row, with their reduced costs at the potentials of entropic transport, which it returns too. The error is the context's.
//
// Half the squared distance is that to the cloud moved to the other's mean, plus a part of each point alone, so that it is taken from there.
func (n *network) short(ctx context.Context) (f, g, reduced []float64, err error) {
	source := n.a
	var by []float64
	if n.problem.Cost == vec.HalfSquared {
		source, by = moved(n.a, n.center)
	}
	f, g, epsilon, err := n.soft(ctx, source)
	if err != nil {
		return nil, nil, nil, err
	}
	n.premium = firstPremium * epsilon
	rows, err := choose(ctx, newSingle(n.problem.Cost, source, n.b, n.center, n.exponent), f, g, n.demand, n.masses.total, epsilon)
	if err != nil {
		return nil, nil, nil, err
	}
	columns, err := choose(ctx, newSingle(n.problem.Cost, n.b, source, n.center, n.exponent), g, f, n.supply, n.masses.total, epsilon)
	if err != nil {
		return nil, nil, nil, err
	}
	if by != nil {
		n.moveBack(f, g, by)
	}
	pairs := joined(rows, columns)
	arcs := make([]arc, len(pairs))
	reduced = make([]float64, len(pairs))
	err = parallel.Rows(ctx, len(pairs), n.a.D+32, func(lo, hi int, _ *parallel.Gate) {
		for k := lo; k < hi; k++ {
			i, j := pairs[k][0], pairs[k][1]
			c := n.cost(int(i), int(j))
			arcs[k], reduced[k] = arc{i, int32(n.n) + j, c}, c-f[i]-g[j]
		}
	})
	n.simplex.arcs = arcs
	return f, g, reduced, err
}

// moved is a cloud with its mean at the center, and the vector from there back.
func moved(c *losses.Cloud, center []float64) (*losses.Cloud, []float64) {
	by := entropic.Mean(c)
	for k, v := range center {
		by[k] -= v
	}
	to := &losses.Cloud{Name: c.Name, N: c.N, D: c.D, X: make([]float64, len(c.X)), W: c.W, Mass: c.Mass, Single: c.Single}
	for i, v := range c.X {
		to.X[i] = v - by[i%c.D]
	}
	return to, by
}

// moveBack makes potentials for the source moved by -v those for the source: ½|x-y|² is ½|x-v-y|² + <v, x-c-½v> - <v, y-c> for any c.
func (n *network) moveBack(f, g, v []float64) {
	d := n.a.D
	for i := range f {
		for k, vk := range v {
			f[i] += vk * (n.a.X[i*d+k] - n.center[k] - vk/2)
		}
	}
	for j := range g {
		for k, vk := range v {
			g[j] -= vk * (n.b.X[j*d+k] - n.center[k])
		}
	}
}

// joined is the pairs of rows with their columns and of columns with their rows, each once, by row.
func joined(rows, columns []picks) [][2]int32 {
	start := make([]int32, len(rows)+1)
	total := 0
	for i := range rows {
		start[i+1] += int32(rows[i].count)
		total += rows[i].count
	}
	for j := range columns {
		for _, i := range columns[j].all() {
			start[i+1]++
		}
		total += columns[j].count
	}
	for i := range rows {
		start[i+1] += start[i]
	}
	all, at := make([]int32, total), append([]int32(nil), start...)
	for i := range rows {
		at[i] += int32(copy(all[at[i]:], rows[i].all()))
	}
	for j := range columns {
		for _, i := range columns[j].all() {
			all[at[i]] = int32(j)
			at[i]++
		}
	}
	pairs := make([][2]int32, 0, total)
	seen := make([]int32, len(columns)) // the last row that had the column, from 1
	for i := range rows {
		for _, j := range all[start[i]:start[i+1]] {
			if seen[j] != int32(i+1) {
				seen[j] = int32(i + 1)
				pairs = append(pairs, [2]int32{int32(i), j})
			}
		}
	}
	return pairs
}

// soft is potentials of entropic transport and their temperature. The error is the context's.
func (n *network) soft(ctx context.Context, source *losses.Cloud) (f, g []float64, epsilon float64, err error) {
	p := entropic.Problem{Cost: n.problem.Cost, A: n.scaled(source), B: n.scaled(n.b)}
	by := 1 / n.single.scale
	spread := entropic.MeanCost(p.Cost, p.A, entropic.Mean(p.A)) + entropic.MeanCost(p.Cost, p.B, entropic.Mean(p.B))
	p.Epsilon = max(temperature*spread, p.Resolution())
	if p.Epsilon == 0 { // all points coincide
		return make([]float64, n.n), make([]float64, n.m), by, nil
	}
	path := entropic.NewPath(p, looseTolerance)
	defer path.Release()
	solution, err := path.SolveCross(ctx, entropic.Options{Tolerance: looseTolerance, MaxIterations: mostIterations})
	if err != nil {
		return nil, nil, 0, err
	}
	return unscaled(solution.F, by), unscaled(solution.G, by), p.Epsilon * by, nil
}

// unscaled is potentials in the units of the problem. Any finite ones will do, so one that is not, of a point that no other could reach, is 0.
func unscaled(f []float64, by float64) []float64 {
	for i := range f {
		if f[i] *= by; math.IsInf(f[i], 0) || math.IsNaN(f[i]) {
			f[i] = 0
		}
	}
	return f
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
