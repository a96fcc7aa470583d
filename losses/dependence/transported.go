package dependence

import (
	"context"

	"kantor/losses"
	"kantor/losses/sinkhorn"
)

// permuted is the name of the permuted codes among the inputs of the divergence, which no input of a request can have.
const permuted = "codes permuted"

// transported is the divergence between codes and permuted codes.
type transported struct {
	losses.Problem
	codes string
	n, d  int
	from  []int32 // [n,d], the row that each coordinate of the permuted codes came from
}

// bindTransported draws the permutations and binds the divergence.
func (t TotalCorrelation) bindTransported(codes *losses.Measure, seed losses.Seed) (losses.Problem, error) {
	for _, f := range []struct {
		field string
		given bool
	}{
		{"posterior", t.Posterior != ""},
		{"dataset_size", t.DatasetSize != 0},
		{"mutual_information", t.MutualInformation != nil},
		{"correlation", t.Correlation != nil},
		{"dimension_wise_kl", t.DimensionWiseKl != nil},
	} {
		if f.given {
			return nil, losses.Badf(f.field, "is given with estimator transport, which is of the codes alone")
		}
	}
	p := &transported{codes: t.Codes, n: codes.Points.Shape[0], d: codes.Points.Shape[1]}
	p.permute(seed)
	loss := sinkhorn.Divergence{Source: t.Codes, Target: permuted, Blur: t.Blur, Tolerance: t.Tolerance}
	if t.Debias != nil {
		loss.Debias = *t.Debias
	}
	var err error
	p.Problem, err = loss.Bind(losses.Inputs{t.Codes: codes, permuted: p.target(codes)}, seed)
	if bad, ok := err.(*losses.InputError); ok && (bad.Field == "source" || bad.Field == "target") {
		return nil, losses.Badf("codes", "%s", bad.Reason)
	}
	return p, err
}

// permute draws a permutation of the rows for every column.
func (p *transported) permute(seed losses.Seed) {
	seed.Term += " columns" // a name that no term has: the divergence draws by the term's own
	random := seed.Random()
	p.from = make([]int32, p.n*p.d)
	for k := range p.d {
		for i, row := range random.Perm(p.n) {
			p.from[i*p.d+k] = int32(row)
		}
	}
}

// target is the measure of the permuted codes, in the codes' number format.
func (p *transported) target(codes *losses.Measure) *losses.Measure {
	out := losses.Array{Shape: []int{p.n, p.d}}
	if codes.Points.F32 != nil {
		out.F32 = gather(codes.Points.F32, p.from, p.d)
	} else {
		out.F64 = gather(codes.Points.F64, p.from, p.d)
	}
	return &losses.Measure{Points: out}
}

func gather[T any](values []T, from []int32, d int) []T {
	out := make([]T, len(values))
	for at, row := range from {
		out[at] = values[int(row)*d+at%d]
	}
	return out
}

// Solve implements [losses.Problem]. Every coordinate is in both measures, so it gets the gradient of both.
func (p *transported) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	codes := losses.Ref{Input: p.codes, Field: "points"}
	both := losses.Want{Gradients: map[losses.Ref]bool{codes: true, {Input: permuted, Field: "points"}: true}}
	if !want.Gradients[codes] {
		both.Gradients = nil
	}
	result, err := p.Problem.Solve(ctx, both)
	if err != nil || both.Gradients == nil {
		return result, err
	}
	gradient := result.Gradients[codes]
	for at, v := range result.Gradients[losses.Ref{Input: permuted, Field: "points"}] {
		gradient[int(p.from[at])*p.d+at%p.d] += v
	}
	// The weights are nobody's: the codes have none of their own.
	result.Gradients = map[losses.Ref][]float64{codes: gradient}
	return result, nil
}
