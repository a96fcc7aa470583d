package losses

import (
	"context"
	"fmt"
	"slices"

	"kantor/losses/internal/parallel"
)

// Evaluation is an objective bound to its inputs, checked and ready.
type Evaluation struct {
	terms     []boundTerm
	gradients map[Ref]target
	kinds     Inputs // an empty one of the kind of each input that has a gradient
	perTerm   bool   // each term's own gradients are wanted too
}

// target is a tensor whose gradient is wanted.
type target struct {
	like  Array // has its shape and number format, and no numbers
	batch int   // problems of the input that it is of; 0: a term's problems share it
}

// start is where the part of problem b begins.
func (t target) start(b int) int {
	if t.batch == 0 {
		return 0
	}
	return b * (elements(t.like.Shape) / t.batch)
}

// add returns the sum, which may be nil, with weight times the gradient of problem b added. It takes over both: often there is one gradient alone, and large.
func (t target) add(sum, gradient []float64, b int, weight float64) []float64 {
	total := elements(t.like.Shape)
	if sum == nil && len(gradient) == total {
		for i, v := range gradient {
			gradient[i] = 0 + float64(weight*v) // as it is added below: the sum of 0 and -0 is 0
		}
		return gradient
	}
	if sum == nil {
		sum = make([]float64, total)
	}
	part := sum[t.start(b):]
	for i, v := range gradient {
		part[i] += float64(weight * v)
	}
	return sum
}

// rounded returns a sum, which may be nil, in the tensor's number format.
func (t target) rounded(sum []float64) Array {
	if sum == nil {
		sum = make([]float64, elements(t.like.Shape))
	}
	return t.like.withValues(sum)
}

// boundTerm is a term bound to its inputs, one problem for each of a batch.
type boundTerm struct {
	name     string
	weight   float64
	want     Want
	batch    int // of the inputs; 0: none of them is a batch, and there is one problem
	problems []Problem
	widths   map[string]int // rows of each batched input, by the parameter that names it
}

// bind binds a loss to every problem of its inputs by itself.
func (t *boundTerm) bind(loss Loss, inputs Inputs, seed Seed) error {
	uses := loss.Uses()
	if t.batch = inputs.batchOf(uses); t.batch == 0 {
		problem, err := loss.Bind(inputs, seed)
		t.problems = []Problem{problem}
		return err
	}
	t.widths = map[string]int{}
	for _, use := range uses {
		if m, ok := inputs[use.Input].(*Measure); ok && m.batch() > 0 {
			t.widths[use.Field] = m.Points.Shape[1]
		}
	}
	t.problems = make([]Problem, t.batch)
	for b := range t.problems {
		var err error
		if t.problems[b], err = loss.Bind(inputs.problem(uses, b, t.batch), seed); err != nil {
			return inProblem(b, err)
		}
	}
	return nil
}

// inProblem says which problem of a batch an error is about.
func inProblem(b int, err error) error {
	if bad, ok := err.(*InputError); ok {
		return badf(bad.Field, "problem %d: %s", b, bad.Reason)
	}
	return err
}

// Work is the sum over the terms and their problems, with the most iterations of any and the most bytes of any term: terms are solved one after the other,
// while the numbers of a batch's problems stay until all of them are solved.
func (e *Evaluation) Work() Work {
	var total Work
	for _, t := range e.terms {
		var bytes int64
		for _, p := range t.problems {
			w := p.Work()
			total.Pairs += w.Pairs
			total.Iterations = max(total.Iterations, w.Iterations)
			bytes += w.Bytes
		}
		total.Bytes = max(total.Bytes, bytes)
	}
	return total
}

// Evaluate computes. Gradients accumulate in binary64 in the order of the terms, in each in the order of the problems, and are rounded once. The only error
// is the context's. Evaluations at the same time share the processors evenly, however large they are.
func (e *Evaluation) Evaluate(ctx context.Context) (*Result, error) {
	ctx = parallel.Request(ctx)
	result := &Result{Gradients: map[Ref]Array{}, Kinds: e.kinds}
	sums := map[Ref][]float64{} // nothing was added yet where there is none
	for _, t := range e.terms {
		solved, err := t.solve(ctx)
		if err != nil {
			return nil, err
		}
		merged := t.merge(solved)
		if e.perTerm {
			merged.Own = e.own(t, solved)
		}
		result.Terms = append(result.Terms, merged)
		if t.weight == 0 {
			continue
		}
		for b, s := range solved {
			for _, outcome := range s.Outcomes {
				// Rounded before it is added, lest an architecture with a fused multiply-add give a problem of a batch other bits than it has alone.
				result.Value += float64(t.weight * outcome.Value)
			}
			for r, gradient := range s.Gradients {
				sums[r] = e.gradients[r].add(sums[r], gradient, b, t.weight)
			}
		}
	}
	for r, target := range e.gradients {
		result.Gradients[r] = target.rounded(sums[r])
	}
	return result, nil
}

// own are the gradients of a term's unweighted value, summed over its problems. They leave the problems' own as they are.
func (e *Evaluation) own(t boundTerm, solved []TermResult) map[Ref]Array {
	sums := map[Ref][]float64{}
	for b, s := range solved {
		for r, gradient := range s.Gradients {
			sums[r] = e.gradients[r].add(sums[r], slices.Clone(gradient), b, 1) // which takes over what it is given
		}
	}
	own := make(map[Ref]Array, len(t.want.Gradients))
	for r := range t.want.Gradients {
		own[r] = e.gradients[r].rounded(sums[r])
	}
	return own
}

// pairsAtOnce is the most pairs of points of all problems of a batch that are solved at once, but for a problem that has more by itself: about as many as
// fill the processors from inside, and what is stored for them is then no more than for one large problem.
const pairsAtOnce = 1 << 24

// solve solves the problems, small ones as many at once as there are processors: they do not fill them from inside. What a problem gives does not depend on
// the others.
func (t boundTerm) solve(ctx context.Context) ([]TermResult, error) {
	pairs := 1.0
	for _, p := range t.problems {
		pairs = max(pairs, p.Work().Pairs)
	}
	atOnce := max(1, int(pairsAtOnce/pairs))
	results := make([]TermResult, len(t.problems))
	var extras allowance
	err := parallel.AtMost(ctx, atOnce, len(t.problems), func(b int) (err error) {
		results[b], err = t.problems[b].Solve(ctx, t.want)
		extras.keep(&results[b])
		return err
	})
	extras.settle(results)
	return results, err
}

// merge makes the term's result of its problems'.
func (t boundTerm) merge(solved []TermResult) TermResult {
	out := TermResult{Name: t.name}
	if t.batch == 0 {
		out.Outcomes, out.Warnings, out.Extras = solved[0].Outcomes, solved[0].Warnings, solved[0].Extras
		return out
	}
	for _, s := range solved {
		out.Outcomes = append(out.Outcomes, s.Outcomes...)
	}
	out.Warnings = mergeWarnings(solved)
	for name := range solved[0].Extras {
		if slices.ContainsFunc(solved, func(s TermResult) bool { return s.Extras[name] == nil }) {
			continue // a warning says why
		}
		if out.Extras == nil {
			out.Extras = map[string]Extra{}
		}
		out.Extras[name] = t.stack(solved, name)
	}
	return out
}

// mergeWarnings keeps each code once, with the words of the first problem that it is about and the number of the others.
func mergeWarnings(solved []TermResult) []Warning {
	var out []Warning
	var more []int
	for b, s := range solved {
		for _, w := range s.Warnings {
			at := slices.IndexFunc(out, func(o Warning) bool { return o.Code == w.Code })
			if at >= 0 {
				more[at]++
				continue
			}
			out = append(out, Warning{Code: w.Code, Message: fmt.Sprintf("problem %d: %s", b, w.Message)})
			more = append(more, 0)
		}
	}
	for i, n := range more {
		if n > 0 {
			out[i].Message += fmt.Sprintf("; so it is with %d more of the %d problems", n, len(solved))
		}
	}
	return out
}
