package sinkhorn

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/entropic"
)

// Defaults of the GeomLoss profile, those of SamplesLoss.
const (
	DefaultScaling = 0.5
	defaultBlur    = 0.05
	// nearestDistance is the least distance that SamplesLoss knows of: its |x-y| is √max(|x-y|², 1e-8).
	nearestDistance = 1e-4
	// leastDiameter is well above what has no square in binary64.
	leastDiameter = 1e-100
)

// GradientDiffers warns that the GeomLoss profile returns the right gradient where SamplesLoss has a wrong one.
const GradientDiffers = "GRADIENT_DIFFERS"

// solveGeomLoss runs the schedule of SamplesLoss and forms its value: <a, f_ab - f_aa> + <b, g_ab - g_bb> from the potentials after the last step. Its
// gradient flows through that step alone, with the potentials before it held fixed.
func (p *problem) solveGeomLoss(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	annealed, err := entropic.Annealing{Problem: p.cross, Blur: p.blur, Scaling: p.scaling, Diameter: p.diameter, Debias: p.debias == Self,
		Measure: p.withoutInterval}.Run(ctx)
	if err != nil {
		return losses.TermResult{}, err
	}
	all, err := p.boundAnnealed(ctx, annealed)
	if err != nil {
		return losses.TermResult{}, err
	}
	result := p.result(all)
	outcome := &result.Outcomes[0]
	outcome.Value = p.pair(p.cross.A, annealed.F, annealed.SelfF) + p.pair(p.cross.B, annealed.G, annealed.SelfG)
	if outcome.Interval != nil {
		outcome.Interval = entropic.Widen(outcome.Interval.Lower, outcome.Interval.Upper, 0, outcome.Value)
	}
	if p.cross.Rho > 0 && len(want.Gradients) > 0 {
		result.Warnings = append(result.Warnings, losses.Warning{Code: GradientDiffers, Message: fmt.Sprintf(
			"SamplesLoss scales its unbalanced gradient by (ρ+ε/2)/(ρ+ε) = %.3g; this one is that of the divergence",
			(p.cross.Rho+p.cross.Epsilon/2)/(p.cross.Rho+p.cross.Epsilon))})
	}
	if want.Extras["potentials"] {
		result.Extras = map[string]losses.Extra{"potentials": p.potentials(all)}
	}
	result.Gradients, err = p.annealedGradients(ctx, want, annealed)
	return result, err
}

// annealedGradients are those of [problem.gradients], from the last step of the schedule and the potentials before it.
func (p *problem) annealedGradients(ctx context.Context, want losses.Want, annealed *entropic.Annealed) (map[losses.Ref][]float64, error) {
	out := map[losses.Ref][]float64{}
	for i, s := range []struct {
		x, y       *losses.Cloud
		potentials []counted
	}{
		{p.cross.A, p.cross.B, []counted{{annealed.F, 1}, {annealed.SelfF, -1}}},
		{p.cross.B, p.cross.A, []counted{{annealed.G, 1}, {annealed.SelfG, -1}}},
	} {
		if ref := (losses.Ref{Input: s.x.Name, Field: "points"}); want.Gradients[ref] {
			g := make([]float64, s.x.N*s.x.D)
			if err := annealed.AddPointGradient(ctx, g, i == 1, p.scale); err != nil {
				return nil, err
			}
			p.accumulate(out, ref, i, 1, g, s.x.D)
		}
		if ref := (losses.Ref{Input: s.x.Name, Field: "weights"}); want.Gradients[ref] {
			p.accumulate(out, ref, i, 1, p.ofPotentials(s.x, s.y.Mass, s.potentials), 1)
		}
	}
	return out, nil
}

// boundAnnealed measures what the schedule did not: marginal errors and bounds, or without an interval nothing.
func (p *problem) boundAnnealed(ctx context.Context, annealed *entropic.Annealed) ([]*solved, error) {
	all := p.problems()
	for i, potentials := range [][2][]float64{{annealed.F, annealed.G}, {annealed.SelfF, annealed.SelfF}, {annealed.SelfG, annealed.SelfG}}[:len(all)] {
		s := all[i]
		s.Solution = &entropic.Solution{F: potentials[0], G: potentials[1], Iterations: annealed.Iterations, MarginalError: annealed.MarginalError,
			Strategy: annealed.Strategy()}
		if !p.withoutInterval {
			var err error
			if s.Bounds, s.MarginalError, err = entropic.Measure(ctx, s.Problem, s.Solution, p.options.Tolerance); err != nil {
				return nil, err
			}
			s.MarginalError = entropic.Saturated(s.MarginalError)
		}
		s.Converged = s.MarginalError <= p.options.Tolerance
	}
	return all, nil
}

// pair is one side of SamplesLoss's value: <w, f - self>, or with ρ  (ρ+½ε) <w, e^{-self/ρ} - e^{-f/ρ}>, and without self terms <w,f>, or
// (ρ+½ε) <w, 1 - e^{-f/ρ}>.
func (p *problem) pair(c *losses.Cloud, f, self []float64) float64 {
	rho := p.cross.Rho
	if rho == 0 {
		value := floats.Dot(c.W, f)
		if self != nil {
			value -= floats.Dot(c.W, self)
		}
		return value
	}
	total := 0.0
	for i, w := range c.W {
		if w == 0 {
			continue // nothing holds its potential above where e^{-f/ρ} overflows
		}
		own := 1.0
		if self != nil {
			own = math.Exp(-self[i] / rho)
		}
		total += w * (own - math.Exp(-f[i]/rho))
	}
	return (rho + p.cross.Epsilon/2) * total
}
