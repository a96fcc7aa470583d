package losses

import "fmt"

// batched is an input whose arrays can have the extent B of a batch.
type batched interface {
	Input
	// batch is B; 0: it is no batch, and the problems of a term share it.
	batch() int
	// problem is problem b of a batch, by itself.
	problem(b int) Input
	// elements is the number of numbers.
	elements() int
}

// batch is the number of problems of an input; 0: it is no batch, and the problems of a term share it.
func batch(in Input) int {
	if v, ok := in.(batched); ok {
		return v.batch()
	}
	return 0
}

// batch is B of an array [B,N,D], 0 of one [N,D].
func (a Array) batch() int {
	if len(a.Shape) < 3 {
		return 0
	}
	return a.Shape[0]
}

func (m *Measure) batch() int        { return m.Points.batch() }
func (g *Gaussian) batch() int       { return g.Mean.batch() }
func (c *Categorical) batch() int    { return choice(c.Logits, c.Probabilities).batch() }
func (b *Bernoulli) batch() int      { return choice(b.Logits, b.Probabilities).batch() }
func (f *VonMisesFisher) batch() int { return f.Mean.batch() }

func (m *Measure) dimension() int { return m.Points.Shape[len(m.Points.Shape)-1] }

// rows is the number of points of problem b.
func (m *Measure) rows(b int) int {
	if len(m.Sizes) > 0 {
		return m.Sizes[b]
	}
	return m.Points.Shape[len(m.Points.Shape)-2]
}

// inProblem says in an error which problem of a batch is meant.
func (m *Measure) inProblem(b int) string {
	if m.batch() == 0 {
		return ""
	}
	return fmt.Sprintf(" in problem %d", b)
}

// problem is the first rows of problem b of a batch, [B,N,D] or [B,N], as an array that shares the elements.
func (a Array) problem(b, rows int) Array {
	out := Array{Shape: append([]int{rows}, a.Shape[2:]...)}
	lo := b * elements(a.Shape[1:])
	hi := lo + elements(out.Shape)
	if a.F32 != nil {
		out.F32 = a.F32[lo:hi:hi]
	} else {
		out.F64 = a.F64[lo:hi:hi]
	}
	return out
}

// problem is problem b of count as inputs of its own, so that a loss computes it as if it were alone. Those that are no batch are in every problem.
func (in Inputs) problem(uses []Use, b, count int) Inputs {
	out := make(Inputs, len(uses))
	for _, use := range uses {
		out[use.Input] = in[use.Input]
		switch v := in[use.Input].(type) {
		case batched:
			if v.batch() > 0 {
				out[use.Input] = v.problem(b)
			}
		case *Prior:
			out[use.Input] = &Prior{Family: v.Family, Size: v.Size, problems: count}
		}
	}
	return out
}

func (m *Measure) problem(b int) Input {
	out := &Measure{Points: m.Points.problem(b, m.rows(b))}
	if m.Weights != nil {
		weights := m.Weights.problem(b, m.rows(b))
		out.Weights = &weights
	}
	return out
}

func (g *Gaussian) problem(b int) Input {
	n := g.Mean.Shape[1]
	out := &Gaussian{Mean: g.Mean.problem(b, n)}
	if g.Covariance == nil {
		out.LogVariance = g.LogVariance.problem(b, n)
		return out
	}
	covariance := g.Covariance.problem(b, n)
	out.Covariance = &covariance
	return out
}

// batchOf is the number of problems of the inputs that a loss uses; 0: none of them is a batch.
func (in Inputs) batchOf(uses []Use) int {
	count := 0
	for _, use := range uses {
		count = max(count, batch(in[use.Input]))
	}
	return count
}

// checkBatches refuses batches that differ in their number of problems, and what a batch would multiply beyond the limits.
func (o Objective) checkBatches(inputs Inputs) error {
	count, first, total := 0, "", 0
	for i, t := range o.Terms {
		uses := t.Loss.Uses()
		for _, use := range uses {
			b := batch(inputs[use.Input])
			if _, single := t.Loss.(interface{ NoBatch() }); single && b > 0 {
				return o.complete(i, badf(use.Field, "input %q is a batch, want one problem: the loss has a state of its own", use.Input))
			}
			switch {
			case b == 0 || b == count:
			case count == 0:
				count, first = b, use.Input
			default:
				return o.complete(i, badf(use.Field, "input %q is a batch of %d problems, want %d, as many as %q has", use.Input, b, count, first))
			}
		}
		here := inputs.batchOf(uses)
		if total += max(1, here); total > MaxProblems {
			return badf("objective.terms", "are %d problems by the one at [%d], want at most %d of all terms together", total, i, MaxProblems)
		}
		for _, use := range uses {
			if n := sharedElements(inputs[use.Input]); here > 0 && n > MaxElements/here {
				return o.complete(i, badf(use.Field, "input %q is too large to be shared by %d problems: %d numbers for each, want at most %d in all",
					use.Input, here, n, MaxElements))
			}
		}
	}
	return nil
}

// sharedElements is the number of elements that every problem of a batch takes of an input that they share. A prior's are counted where it is sampled.
func sharedElements(in Input) int {
	if batch(in) > 0 {
		return 0
	}
	if v, ok := in.(batched); ok {
		return v.elements()
	}
	return 0
}

func (m *Measure) elements() int        { return m.Points.Len() }
func (c *Categorical) elements() int    { return choice(c.Logits, c.Probabilities).Len() }
func (b *Bernoulli) elements() int      { return choice(b.Logits, b.Probabilities).Len() }
func (f *VonMisesFisher) elements() int { return f.Mean.Len() + f.Concentration.Len() }

func (g *Gaussian) elements() int {
	if g.Covariance != nil {
		return g.Mean.Len() + g.Covariance.Len()
	}
	return 2 * g.Mean.Len()
}
