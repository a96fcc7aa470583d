package sinkhorn

import (
	"context"
	"math"

	"kantor/losses"
)

// ExpectedShrink is the scale s of the source at which a divergence between batches of these sizes is least in expectation, if source and target are alike but for
// s: what the warning SELF_SHRINKS says, as a number, for ½|x-y|². 1 is right; 0 stands for less than a tenth, or a single point. It is known of [Self], by the
// table of this package, which begins at 16 points: of fewer it is that of 16, with a warning; and of [Split], whose scale is 1.
type ExpectedShrink struct {
	Source, Target string   // names of two measures, or of one and a prior
	Blur, Epsilon  *float64 // of the loss; neither: the default that the target sets
	Debias         Debias   // Self or Split
}

// Kind implements [losses.Loss].
func (ExpectedShrink) Kind() string { return "expected_shrink" }

// Uses implements [losses.Loss].
func (e ExpectedShrink) Uses() []losses.Use {
	return []losses.Use{{Field: "source", Input: e.Source}, {Field: "target", Input: e.Target}}
}

// Extras implements [losses.Loss]: [1] each, the points that tell as much as the source's weighted ones, the dimension of an isotropic target with the same first two
// moments of its spectrum, and the temperature.
func (ExpectedShrink) Extras() []string {
	return []string{"effective_points", "effective_dimension", "epsilon"}
}

// Bind implements [losses.Loss].
func (e ExpectedShrink) Bind(inputs losses.Inputs, seed losses.Seed) (losses.Problem, error) {
	if e.Debias == None {
		return nil, losses.Badf("debias", "is none, want self or split")
	}
	// What is bound decides the temperature and checks the inputs; that they may be split is asked of the loss itself.
	bound, err := Divergence{Source: e.Source, Target: e.Target, Blur: e.Blur, Epsilon: e.Epsilon}.Bind(inputs, seed)
	if err != nil {
		return nil, err
	}
	return &expectedShrink{problem: bound.(*problem), split: e.Debias == Split}, nil
}

type expectedShrink struct {
	*problem
	split bool
}

// Work implements [losses.Problem].
func (p *expectedShrink) Work() losses.Work {
	return losses.Work{Pairs: float64(p.cross.A.N + p.cross.B.N), Iterations: 1, Bytes: int64(8 * p.cross.B.D)}
}

// Solve implements [losses.Problem].
func (p *expectedShrink) Solve(ctx context.Context, _ losses.Want) (losses.TermResult, error) {
	if err := context.Cause(ctx); err != nil {
		return losses.TermResult{}, err
	}
	trace, dimension := shape(p.cross.B)
	points := effectivePoints(p.cross.A)
	epsilon := p.cross.Epsilon * p.scale
	result := losses.TermResult{Outcomes: []losses.Outcome{{Value: 1}}, Extras: map[string]losses.Extra{}}
	for name, v := range map[string]float64{"effective_points": points, "effective_dimension": dimension, "epsilon": epsilon} {
		extra := losses.NewArray([]float64{v}, 1)
		result.Extras[name] = &extra
	}
	switch {
	case p.split:
	case !(trace > 0 && dimension > 0) || math.IsInf(trace, 1):
		result.Outcomes[0].Value = math.Inf(1)
		result.Warnings = []losses.Warning{{Code: losses.InfiniteValue, Message: "the target is a single point, or too wide for binary64: there is no scale to compare with"}}
	default:
		s := shrunk(dimension, points, p.cross.Epsilon/trace)
		if s < 0.1 {
			s = 0
		}
		result.Outcomes[0].Value = s
		if points < shrinkPoints[0] {
			result.Warnings = []losses.Warning{{Code: losses.FewPoints, Message: "fewer than 16 points: the scale is that of 16, and too large"}}
		}
	}
	return result, nil
}
