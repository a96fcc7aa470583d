package kantorovich

import (
	"context"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/exact"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/split"
)

// divided is split-batch debiased transport: six problems between four batches.
type divided struct {
	ground
	halves split.Halves
}

// Work implements [losses.Problem].
func (p *divided) Work() losses.Work {
	total := losses.Work{Iterations: 1}
	for _, pair := range split.Pairs {
		w := p.work(p.halves[pair.A].Cloud, p.halves[pair.B].Cloud)
		total.Pairs += w.Pairs
		total.Bytes += w.Bytes
	}
	return total
}

// Solve implements [losses.Problem].
func (p *divided) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	var solved [len(split.Pairs)]*exact.Solution
	err := parallel.Each(ctx, len(solved), func(i int) (err error) {
		solved[i], err = exact.Solve(ctx, p.between(p.halves[split.Pairs[i].A].Cloud, p.halves[split.Pairs[i].B].Cloud))
		return err
	})
	if err != nil {
		return losses.TermResult{}, err
	}
	solve := losses.Solve{Converged: true, Strategy: solved[0].Strategy}
	out := collect(want)
	for i, pair := range split.Pairs {
		solve.Iterations += solved[i].Pivots
		if err := p.addTerm(ctx, out, pair, solved[i]); err != nil {
			return losses.TermResult{}, err
		}
	}
	value, interval := p.combine(solved)
	return losses.TermResult{Outcomes: []losses.Outcome{{Value: value, Estimand: losses.Empirical, Interval: interval, Solve: &solve}}, Gradients: out.sums}, nil
}

// combine returns U and the interval [¼ΣL - ½(U_X+U_Y), ¼ΣU - ½(L_X+L_Y)], L and U the ends of those of the problems.
func (p *divided) combine(solved [len(split.Pairs)]*exact.Solution) (value float64, interval *losses.Interval) {
	lower, upper, size := 0.0, 0.0, 0.0
	for i, pair := range split.Pairs {
		s, share := solved[i], p.scale*pair.Share
		value += share * s.Value
		lower += min(share*s.Lower, share*s.Upper)
		upper += max(share*s.Lower, share*s.Upper)
		size = max(size, p.scale*s.Upper)
	}
	return value, entropic.Widen(lower, upper, size, value)
}

// addTerm adds what one of the six problems is to the gradients of the inputs. Its weights may change only so that each half keeps its mass, so the gradient in
// them is centred in each half.
func (p *divided) addTerm(ctx context.Context, out gradients, pair split.Pair, s *exact.Solution) error {
	a, b := p.halves[pair.A], p.halves[pair.B]
	sides := [2]split.Half{a, b}
	var points [2][]float64
	for i, h := range sides {
		if out.slot(h.Name, "points", h.Whole()*h.D) != nil {
			points[i] = make([]float64, h.N*h.D)
		}
	}
	if err := p.addPoints(ctx, points[0], points[1], a.Cloud, b.Cloud, s.Plan); err != nil {
		return err
	}
	for i, h := range sides {
		if points[i] != nil {
			h.AddRows(out.slot(h.Name, "points", h.Whole()*h.D), pair.Share, points[i], h.D)
		}
		if into := out.slot(h.Name, "weights", h.Whole()); into != nil {
			potential := [][]float64{s.F, s.G}[i]
			floats.AddConst(-floats.Dot(h.W, potential)/h.Mass, potential)
			// A half has the mass of the whole, so its weights are more than the input's by as much as the whole has more points.
			h.AddRows(into, pair.Share*p.scale*float64(h.Whole())/float64(h.N), potential, 1)
		}
	}
	return nil
}
