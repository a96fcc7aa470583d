package diagnostics

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// ActiveUnits is the number of dimensions along which the posterior's mean varies over the rows by more than a threshold (Burda, Grosse, Salakhutdinov 2016,
// section 5.2), or the codes, where it is a measure. The variance is divided by the rows.
type ActiveUnits struct {
	Posterior string   // name of a Gaussian of two rows or more, or of a measure without weights
	Threshold *float64 // nil: 0.01
}

// Kind implements [losses.Loss].
func (ActiveUnits) Kind() string { return "active_units" }

// Uses implements [losses.Loss].
func (a ActiveUnits) Uses() []losses.Use {
	return []losses.Use{{Field: "posterior", Input: a.Posterior}}
}

// Extras implements [losses.Loss]. variance, [D], is that of each dimension.
func (ActiveUnits) Extras() []string { return []string{"variance"} }

// Bind implements [losses.Loss].
func (a ActiveUnits) Bind(inputs losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	p := &activeProblem{threshold: 0.01}
	if a.Threshold != nil {
		p.threshold = *a.Threshold
	}
	if !(p.threshold >= 0) || math.IsInf(p.threshold, 1) {
		return nil, losses.Badf("threshold", "is %v, want a non-negative number", p.threshold)
	}
	var rows losses.Array
	switch v := inputs[a.Posterior].(type) {
	case *losses.Gaussian:
		rows = v.Mean
	case *losses.Measure:
		rows = v.Points
	default:
		return nil, losses.Badf("posterior", "input %q is neither a Gaussian nor a measure", a.Posterior)
	}
	if err := unweighted(inputs, "posterior", a.Posterior); err != nil {
		return nil, err
	}
	n, d := rows.Shape[0], rows.Shape[1]
	if n < 2 {
		return nil, losses.Badf("posterior", "input %q has 1 row, want 2 or more: one has no variance", a.Posterior)
	}
	weights := make([]float64, n)
	for i := range weights {
		weights[i] = 1 / float64(n)
	}
	p.rows = &losses.Cloud{N: n, D: d, X: rows.Float64s(), W: weights, Mass: 1}
	return p, nil
}

type activeProblem struct {
	rows      *losses.Cloud
	threshold float64
}

// Work implements [losses.Problem].
func (p *activeProblem) Work() losses.Work {
	return losses.Work{Pairs: float64(p.rows.N * p.rows.D), Iterations: 1, Bytes: int64(8 * p.rows.N * p.rows.D)}
}

// Solve implements [losses.Problem].
func (p *activeProblem) Solve(ctx context.Context, _ losses.Want) (losses.TermResult, error) {
	variance, err := variances(ctx, p.rows)
	count := 0.0
	for _, v := range variance {
		if v > p.threshold {
			count++
		}
	}
	return outcome(count, map[string]*losses.Array{"variance": vector(variance)}), err
}

// variances are those of a cloud along the axes, by the mass, in two passes around the first point.
func variances(ctx context.Context, c *losses.Cloud) ([]float64, error) {
	mean, out := make([]float64, c.D), make([]float64, c.D)
	err := parallel.Do(ctx, func(gate *parallel.Gate) {
		step := max(1, parallel.TileCost/(8*c.D))
		for pass := range 2 {
			for i := range c.N {
				if i > 0 && i%step == 0 && !gate.Open() {
					return
				}
				w := c.W[i] / c.Mass
				for k, v := range c.X[i*c.D : (i+1)*c.D] {
					delta := v - c.X[k]
					if pass == 0 {
						mean[k] += w * delta
						continue
					}
					out[k] += w * (delta - mean[k]) * (delta - mean[k])
				}
			}
		}
	})
	return out, err
}

// EffectiveScale is √(tr Σ / tr T) of the covariances Σ of the source and T of the target: how wide the source is for the target. That of N(0, I) is known, other
// priors are sampled.
type EffectiveScale struct{ Source, Target string }

// Kind implements [losses.Loss].
func (EffectiveScale) Kind() string { return "effective_scale" }

// Uses implements [losses.Loss].
func (e EffectiveScale) Uses() []losses.Use {
	return []losses.Use{{Field: "source", Input: e.Source}, {Field: "target", Input: e.Target}}
}

// Extras implements [losses.Loss]. per_dimension, [D], is the ratio of the standard deviations along each axis.
func (EffectiveScale) Extras() []string { return []string{"per_dimension"} }

// Bind implements [losses.Loss].
func (e EffectiveScale) Bind(inputs losses.Inputs, seed losses.Seed) (losses.Problem, error) {
	p := &scaleProblem{}
	var err error
	if p.source, err = inputs.Cloud("source", e.Source); err != nil {
		return nil, err
	}
	if prior, ok := inputs[e.Target].(*losses.Prior); ok && prior.Family == (losses.StandardNormal{}) {
		return p, nil
	}
	p.target, err = inputs.Like("target", e.Target, p.source, seed)
	return p, err
}

type scaleProblem struct{ source, target *losses.Cloud } // target nil: N(0, I)

// Work implements [losses.Problem].
func (p *scaleProblem) Work() losses.Work {
	return losses.Work{Pairs: float64(p.source.N * p.source.D), Iterations: 1, Bytes: int64(16 * p.source.N * p.source.D)}
}

// Solve implements [losses.Problem].
func (p *scaleProblem) Solve(ctx context.Context, _ losses.Want) (losses.TermResult, error) {
	source, err := variances(ctx, p.source)
	if err != nil {
		return losses.TermResult{}, err
	}
	target := make([]float64, len(source))
	for k := range target {
		target[k] = 1
	}
	if p.target != nil {
		if target, err = variances(ctx, p.target); err != nil {
			return losses.TermResult{}, err
		}
	}
	ratios := make([]float64, len(source))
	var of, to float64
	for k, v := range source {
		ratios[k] = ratio(v, target[k])
		of += v
		to += target[k]
	}
	value := ratio(of, to)
	for _, v := range append([]float64{value}, ratios...) {
		if !finite(v) {
			return outcome(value, map[string]*losses.Array{"per_dimension": vector(ratios)},
				infinite("the target has no spread along an axis, or one of the two overflows binary64")), nil
		}
	}
	return outcome(value, map[string]*losses.Array{"per_dimension": vector(ratios)}), nil
}

// ratio is √(v/of), and +Inf where nothing can be told because both are 0.
func ratio(v, of float64) float64 {
	if of == 0 {
		return math.Inf(1)
	}
	return math.Sqrt(v / of)
}
