package kantorovich

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/memory"
)

// The path of temperatures, relative to the mean cost: the gap between the bounds is about proportional to them.
const (
	firstTemperature = 0.25
	lastTemperature  = 1e-5
	// stageIterations are spent on one temperature at most: a lower one does more for the gap than a smaller marginal error.
	stageIterations = 250
	// underflow bounds what the upper bound allows for each entry of the plan that vanishes.
	underflow = 0x1p-980
)

// stored is how many bytes of pairs are stored while the problem is solved: the kernel, and costs for the upper bound.
func (p *problem) stored() int64 { return p.Stored(0, false) + p.StoredCosts() }

// fitEntropic follows entropic transport down to where the bounds are close.
func (p *problem) fitEntropic(ctx context.Context) (*fit, error) {
	release, err := memory.Acquire(ctx, p.stored())
	if err != nil {
		return nil, err
	}
	defer release()
	run := *p // its temperature falls; the problem itself stays as it was bound
	solution, h, err := run.descend(ctx)
	if err != nil {
		return nil, err
	}
	return &fit{potential: h, solve: losses.Solve{Converged: p.closed(h), Iterations: solution.Iterations, MarginalError: solution.MarginalError,
		Epsilon: run.Epsilon, Strategy: solution.Strategy}}, nil
}

// descend lowers the temperature until the bounds are close enough. It keeps the best potential and the best upper bound, which need not be the last.
func (p *problem) descend(ctx context.Context) (*entropic.Solution, *potential, error) {
	mean := entropic.MeanCost(p.Cost, p.A, entropic.Mean(p.B)) + entropic.MeanCost(p.Cost, p.B, entropic.Mean(p.B))
	if mean == 0 {
		mean = 1 // all points coincide
	}
	path := entropic.NewPath(p.Problem, 0) // in binary64: where W1 is 0, rounding is all that its bounds are apart
	defer path.Release()
	var best *potential
	for relative := firstTemperature; ; relative /= 2 {
		p.Epsilon = max(relative*mean, p.Resolution())
		options := entropic.Options{Tolerance: p.gap / 4, MaxIterations: min(p.maxIterations, path.Iterations()+stageIterations)}
		solution, err := path.Solve(ctx, p.Epsilon, options)
		if err != nil {
			return nil, nil, err
		}
		h, err := p.bound(ctx, solution)
		if err != nil {
			return nil, nil, err
		}
		best = h.better(best)
		if p.closed(best) || solution.Iterations >= p.maxIterations || relative < lastTemperature {
			return solution, best, nil
		}
	}
}

// closed reports whether the bounds are within the gap, or as close as rounding lets them come: where W1 is 0 no part of it is wide enough.
func (p *problem) closed(h *potential) bool { return h.upper-h.lower <= p.gap*h.upper+h.slack }

// bound makes h from the potentials of the target and evaluates it.
func (p *problem) bound(ctx context.Context, s *entropic.Solution) (*potential, error) {
	a, b := p.A, p.B
	h := &potential{tips: b, g: append([]float64(nil), s.G...)}
	// h is unique up to a constant. Heights around 0 keep the rounding small.
	floats.AddConst(-floats.Dot(b.W, h.g)/b.Mass, h.g)
	if err := h.evaluate(ctx, a, b); err != nil {
		return nil, err
	}
	upper, maxCost, err := entropic.TransportCost(ctx, p.Problem, s)
	if err != nil {
		return nil, err
	}
	rounding := p.rounding(h, maxCost)
	h.lower, h.upper = h.value-rounding, upper
	// The lower bound is that much below the value, and the upper one, of the same sums, up to some four times that above it.
	h.slack = 6*rounding + underflow*float64(a.N)*float64(b.N)
	return h, nil
}

// rounding bounds the error of the computed value of h: h is exactly 1-Lipschitz for the heights as they are, a distance is right to D+3 roundings, a
// minimum is as right as its candidates, and the sums add a rounding a summand.
func (p *problem) rounding(h *potential, maxCost float64) float64 {
	// maxCost is over the pairs of a and b; two points of b are at most twice as far apart.
	size := 2 * p.A.Mass * (2*maxCost + floats.Norm(h.g, math.Inf(1)))
	for i, v := range h.hx {
		size += p.A.W[i] * math.Abs(v)
	}
	for j, v := range h.hy {
		size += p.B.W[j] * math.Abs(v)
	}
	return 2 * entropic.Gamma(p.A.D+p.A.N+p.B.N+64) * size
}
