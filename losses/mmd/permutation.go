package mmd

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

const (
	// DefaultPermutations is how many random splits are looked at where nothing is said.
	DefaultPermutations = 999
	// maxMembers bounds permutations times points, which of each split are stored: 128 MiB.
	maxMembers = 1 << 24
)

// Permutation is the p-value of the hypothesis that two samples are of one distribution (Gretton et al. 2012, section 5): of the discrepancy T between the samples as
// they are, and those T_p between random splits of both together into the same sizes,
//
//	(1 + #{p: T_p ≥ T}) / (1 + P),
//
// which under the hypothesis is at most α with a probability of at most α, whatever the sizes (Phipson and Smyth 2010). T is the U-statistic, as [Discrepancy] has it.
// It is no loss, and has no gradient.
type Permutation struct {
	Source, Target string // names of two measures without weights, or of one and a prior
	Kernel         Kernel
	// Blur is the length scale of the kernel. nil: 1 for IMQ, elsewhere the root of the mean squared distance of all points to their mean: a scale that told
	// source from target would spoil the test.
	Blur         *float64
	Permutations int // P; 0: [DefaultPermutations]
}

// Kind implements [losses.Loss].
func (Permutation) Kind() string { return "permutation_test" }

// Uses implements [losses.Loss].
func (l Permutation) Uses() []losses.Use {
	return []losses.Use{{Field: "source", Input: l.Source}, {Field: "target", Input: l.Target}}
}

// Extras implements [losses.Loss]. statistic, [1], is T.
func (Permutation) Extras() []string { return []string{"statistic"} }

// Bind implements [losses.Loss].
func (l Permutation) Bind(inputs losses.Inputs, seed losses.Seed) (losses.Problem, error) {
	if l.Permutations < 0 {
		return nil, losses.Badf("permutations", "is %d, want a positive number, or 0 for %d", l.Permutations, DefaultPermutations)
	}
	for _, use := range l.Uses() {
		if m, ok := inputs[use.Input].(*losses.Measure); ok && m.Weights != nil {
			return nil, losses.Badf(use.Field, "input %q has weights, want none: every point counts the same", use.Input)
		}
	}
	bound, err := Discrepancy{Source: l.Source, Target: l.Target, Kernel: l.Kernel, Blur: l.Blur}.Bind(inputs, seed)
	if err != nil {
		return nil, err
	}
	a, b := bound.(*problem).a, bound.(*problem).b
	p := &permutation{n: a.N, m: b.N, count: l.Permutations, seed: seed}
	if p.count == 0 {
		p.count = DefaultPermutations
	}
	if points := a.N + b.N; points > maxMembers/(p.count+1) {
		return nil, losses.Badf("permutations", "are %d of %d points, want at most 2^24 points in all permutations together: take fewer permutations, or part of the samples",
			p.count, points)
	}
	p.points = &losses.Cloud{N: a.N + b.N, D: a.D, X: append(append(make([]float64, 0, len(a.X)+len(b.X)), a.X...), b.X...), W: make([]float64, a.N+b.N), Mass: 1}
	for i := range p.points.W {
		p.points.W[i] = 1 / float64(p.points.N)
	}
	blur := defaultBlur(l.Kernel, p.points, p.points)
	if l.Blur != nil {
		blur = *l.Blur
	}
	p.kernel = scalar(l.Kernel, blur, a.D)
	return p, nil
}

// scalar is a kernel as a function of the squared distance.
func scalar(kernel Kernel, blur float64, d int) func(square float64) float64 {
	switch kernel {
	case Gaussian:
		return func(square float64) float64 { return math.Exp(-square / (2 * blur * blur)) }
	case Laplacian:
		return func(square float64) float64 { return math.Exp(-math.Sqrt(square) / blur) }
	case IMQ:
		unit := 2 * float64(d) * blur * blur
		return func(square float64) float64 {
			total := 0.0
			for _, s := range imqScales {
				total += unit * s / (unit*s + square)
			}
			return total
		}
	}
	return func(square float64) float64 { return -math.Sqrt(square) }
}

// permutation is the test of n points and the m that follow.
type permutation struct {
	points *losses.Cloud
	n, m   int
	kernel func(square float64) float64
	count  int // of splits beside the one that is given
	seed   losses.Seed
}

// kernelRows is how many rows of the matrix of pairs are multiplied with each split while they are in the cache.
const kernelRows = 16

// width is how many numbers a row of pairs has with its padding.
func (p *permutation) width() int { return (p.n + p.m + vec.Pad - 1) / vec.Pad * vec.Pad }

// Work implements [losses.Problem].
func (p *permutation) Work() losses.Work {
	points := float64(p.n + p.m)
	stored := (p.count+1)*p.width() + parallel.GroupCount(p.n+p.m)*(kernelRows*p.width()+2*(p.count+1))
	return losses.Work{Pairs: points * points, Iterations: 1 + p.count, Bytes: 8 * int64(stored)}
}

// Solve implements [losses.Problem].
func (p *permutation) Solve(ctx context.Context, _ losses.Want) (losses.TermResult, error) {
	members, err := p.splits(ctx)
	if err != nil {
		return losses.TermResult{}, err
	}
	inside, rows, total, err := p.sums(ctx, members)
	if err != nil {
		return losses.TermResult{}, err
	}
	statistics := make([]float64, p.count+1)
	for i := range statistics {
		statistics[i] = p.statistic(inside[i], rows[i], total)
	}
	// Splits that are the same but for the order of their points have the same statistic but for rounding, relative to the mean of the kernel.
	points := float64(p.n + p.m)
	rounding := 1e-12 * abs(total) / (points * (points - 1))
	as := 0
	for _, s := range statistics {
		if s >= statistics[0]-rounding {
			as++
		}
	}
	statistic := losses.NewArray(statistics[:1:1], 1)
	return losses.TermResult{
		Outcomes: []losses.Outcome{{Value: float64(as) / float64(p.count+1)}},
		Extras:   map[string]losses.Extra{"statistic": &statistic},
	}, nil
}

// statistic is the discrepancy of a split from the sum of the kernel over the pairs inside its first part, that over the pairs of which the first is in it, and
// that over all.
func (p *permutation) statistic(inside, rows, total float64) float64 {
	n, m := float64(p.n), float64(p.m)
	across := rows - inside
	return inside/(n*(n-1)) + (total-2*across-inside)/(m*(m-1)) - 2*across/(n*m)
}

// splits are the members of the first part of each split, as numbers 0 and 1, a row each; the first is the one that is given.
func (p *permutation) splits(ctx context.Context) ([]float64, error) {
	width, points := p.width(), p.n+p.m
	members := make([]float64, (p.count+1)*width)
	for i := range p.n {
		members[i] = 1
	}
	return members, parallel.Do(ctx, func(gate *parallel.Gate) {
		random, order := p.seed.Random(), make([]int, points)
		for i := range order {
			order[i] = i
		}
		step := max(1, parallel.TileCost/(16*points))
		for s := 1; s <= p.count; s++ {
			if s%step == 0 && !gate.Open() {
				return
			}
			split := members[s*width:]
			for i := range p.n { // the beginning of Fisher and Yates's shuffle
				j := i + random.IntN(points-i)
				order[i], order[j] = order[j], order[i]
				split[order[i]] = 1
			}
		}
	})
}

// sums returns for each split the sum of the kernel over the pairs inside its first part and over those of which the first is in it; and the sum over all pairs of
// two points. Each row of pairs is computed once.
func (p *permutation) sums(ctx context.Context, members []float64) (inside, rows []float64, total float64, err error) {
	points := p.n + p.m
	groups := make([]splitSums, parallel.GroupCount(points))
	err = parallel.Groups(ctx, points, func(group, lo, hi int, gate *parallel.Gate) {
		g := &groups[group]
		g.inside, g.rows, g.pairs = make([]float64, p.count+1), make([]float64, p.count+1), make([]float64, kernelRows*p.width())
		for at := lo; at < hi; at += kernelRows {
			if !p.block(g, members, at, min(hi, at+kernelRows), gate) {
				return
			}
		}
	})
	inside, rows = make([]float64, p.count+1), make([]float64, p.count+1)
	if err != nil {
		return nil, nil, 0, err
	}
	for _, g := range groups {
		total += g.total
		for s := range inside {
			inside[s] += g.inside[s]
			rows[s] += g.rows[s]
		}
	}
	return inside, rows, total, nil
}

// splitSums are the sums over some rows of pairs.
type splitSums struct {
	inside, rows []float64 // of each split
	total        float64
	pairs        []float64 // a few rows, padded with 0
}

// block adds the rows lo to hi. False: the gate is closed.
func (p *permutation) block(g *splitSums, members []float64, lo, hi int, gate *parallel.Gate) bool {
	width, points := p.width(), p.n+p.m
	var dots, sums [kernelRows]float64
	if !p.fill(g.pairs, lo, hi, gate) {
		return false
	}
	for i := range hi - lo {
		sums[i] = vec.Sum(g.pairs[i*width : (i+1)*width])
		g.total += sums[i]
	}
	step := max(1, parallel.TileCost/(kernelRows*points))
	for s := range p.count + 1 {
		if s > 0 && s%step == 0 && !gate.Open() {
			return false
		}
		split := members[s*width : (s+1)*width]
		vec.DotRows(dots[:hi-lo], g.pairs, width, split)
		for i := range hi - lo {
			if split[lo+i] != 0 {
				g.inside[s] += dots[i]
				g.rows[s] += sums[i]
			}
		}
	}
	return true
}

// fill computes the rows lo to hi of pairs, without those of a point with itself. False: the gate is closed.
func (p *permutation) fill(pairs []float64, lo, hi int, gate *parallel.Gate) bool {
	width, points, d := p.width(), p.n+p.m, p.points.D
	x, step := p.points.X, max(1, parallel.TileCost/(4*p.points.D+64))
	done := 0
	for i := lo; i < hi; i++ {
		row, a := pairs[(i-lo)*width:], x[i*d:(i+1)*d]
		for j := range points {
			if done++; done%step == 0 && !gate.Open() {
				return false
			}
			square := 0.0
			for k, v := range x[j*d : (j+1)*d] {
				delta := a[k] - v
				square += float64(delta * delta)
			}
			row[j] = p.kernel(square)
		}
		row[i] = 0
	}
	return true
}
