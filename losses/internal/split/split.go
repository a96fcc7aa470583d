// Package split makes of two batches the four of split-batch debiasing,
//
//	U = ¼ Σ_kl OT(X_k,Y_l) - ½ OT(X₁,X₂) - ½ OT(Y₁,Y₂),
//
// where X₁, X₂ and Y₁, Y₂ are halves of source and target, or source and target and a second batch of each. For independent samples, of n points each, its
// expectation is E OT(X,Y) - ½E OT(X,X') - ½E OT(Y,Y') (half the minibatch energy distance of Salimans, Zhang, Radford, Metaxas 2018). Where both
// distributions are the same, all six terms have one expectation, so U's is 0, and it is stationary, whatever the transport is that OT stands for and however
// few points there are: as long as all six are of as many points of the same weight, and X' is independent of X. OT(X,X), which the usual debiasing subtracts,
// has another expectation than OT(X,X').
package split

import (
	"math/rand/v2"

	"kantor/losses"
)

// Half is one of the two batches that stand for independent samples of the same distribution. Its mass is that of the whole, its weights are all the same.
type Half struct {
	*losses.Cloud
	rows []int // of the cloud that it was cut from; nil: it is a whole one
}

// Halves are the four batches: the two of the source, then the two of the target.
type Halves [4]Half

// Pair is one of the transport problems of U: between halves A and B, counted Share times.
type Pair struct {
	A, B  int
	Share float64
}

// Pairs are the six problems, the four between source and target first. Their shares sum to 0.
var Pairs = [6]Pair{{0, 2, 0.25}, {0, 3, 0.25}, {1, 2, 0.25}, {1, 3, 0.25}, {0, 1, -0.5}, {2, 3, -0.5}}

// Of returns the batches of source a and target b: halves that the seed decides or, if they are named, a and b with a second batch each. Their masses are
// equal afterwards. The error is relative to a loss.
func Of(inputs losses.Inputs, a, b *losses.Cloud, secondSource, secondTarget string, seed losses.Seed) (Halves, error) {
	if err := checkNames(a.Name, b.Name, secondSource, secondTarget); err != nil {
		return Halves{}, err
	}
	if secondSource == "" {
		return cut(a, b, seed.Random())
	}
	secondA, err := inputs.Like("second_source", secondSource, a, seed)
	if err != nil {
		return Halves{}, err
	}
	secondB, err := inputs.Like("second_target", secondTarget, b, seed)
	if err != nil {
		return Halves{}, err
	}
	return join(a, b, secondA, secondB)
}

// Uses lists the second batches as what a loss uses; without them it is empty.
func Uses(secondSource, secondTarget string) []losses.Use {
	var uses []losses.Use
	if secondSource != "" {
		uses = append(uses, losses.Use{Field: "second_source", Input: secondSource})
	}
	if secondTarget != "" {
		uses = append(uses, losses.Use{Field: "second_target", Input: secondTarget})
	}
	return uses
}

// checkNames reports what is wrong with the names of the inputs: second batches come in pairs, and no two of the four are the same, for they would not be
// independent. Without second batches their names are empty. The error is relative to a loss.
func checkNames(source, target, secondSource, secondTarget string) error {
	switch {
	case secondSource != "" && secondTarget == "":
		return losses.Badf("second_target", "is not given and second_source is, want both or neither")
	case secondSource == "" && secondTarget != "":
		return losses.Badf("second_source", "is not given and second_target is, want both or neither")
	}
	names := []struct{ field, input string }{{"source", source}, {"target", target}, {"second_source", secondSource}, {"second_target", secondTarget}}
	for i, n := range names {
		for _, earlier := range names[:i] {
			if n.input != "" && n.input == earlier.input {
				return losses.Badf(n.field, "is %q and %s too, want independent samples for debias split", n.input, earlier.field)
			}
		}
	}
	return nil
}

// cut cuts source and target into halves by a random permutation of each: halves by index would differ where a batch is sorted, by class, say. The error is
// relative to a loss: numbers of points that differ or are odd, masses that differ, weights that are not all the same.
func cut(a, b *losses.Cloud, random *rand.Rand) (Halves, error) {
	if err := compatible(a, b); err != nil {
		return Halves{}, err
	}
	if a.N%2 != 0 {
		return Halves{}, losses.Badf("source", "input %q has %d points, want an even number for debias split to halve: leave one out, or give second_source "+
			"and second_target", a.Name, a.N)
	}
	x1, x2 := halve(a, random)
	y1, y2 := halve(b, random)
	return Halves{x1, x2, y1, y2}, nil
}

// join takes second batches of source and target in place of halves. The error is relative to a loss: numbers of points or masses that differ, weights that
// are not all the same.
func join(a, b, secondA, secondB *losses.Cloud) (Halves, error) {
	if err := compatible(a, b); err != nil {
		return Halves{}, err
	}
	for _, s := range []struct {
		field, like   string
		first, second *losses.Cloud
	}{{"second_source", "source", a, secondA}, {"second_target", "target", b, secondB}} {
		if s.second.N != s.first.N {
			return Halves{}, losses.Badf(s.field, "input %q has %d points, want %d, as many as %s %q", s.second.Name, s.second.N, s.first.N, s.like, s.first.Name)
		}
		if err := uniform(s.field, s.second); err != nil {
			return Halves{}, err
		}
		if mass := s.second.Mass; losses.Balance(s.first, s.second) != nil {
			return Halves{}, losses.Badf(s.field, "input %q has mass %v, want that of %s %q, %v, to 1e-6 of it", s.second.Name, mass, s.like, s.first.Name,
				s.first.Mass)
		}
	}
	return Halves{{Cloud: a}, {Cloud: secondA}, {Cloud: b}, {Cloud: secondB}}, nil
}

// compatible reports what keeps source and target from being compared without bias, and spreads what rounding left between their masses.
func compatible(a, b *losses.Cloud) error {
	if b.N != a.N {
		return losses.Badf("target", "input %q has %d points, want %d, as many as source %q: debias split compares batches of one size", b.Name, b.N, a.N, a.Name)
	}
	if err := uniform("source", a); err != nil {
		return err
	}
	if err := uniform("target", b); err != nil {
		return err
	}
	return losses.Balance(a, b)
}

// uniform reports weights that are not all the same.
func uniform(field string, c *losses.Cloud) error {
	for i, w := range c.W {
		if w != c.W[0] {
			return losses.Badf(field, "input %q has weights %v at [0] and %v at [%d], want all the same, or none, for debias split", c.Name, c.W[0], w, i)
		}
	}
	return nil
}

// halve cuts a cloud in two.
func halve(c *losses.Cloud, random *rand.Rand) (first, second Half) {
	order := random.Perm(c.N)
	return take(c, order[:c.N/2]), take(c, order[c.N/2:])
}

// take returns the points of c in rows with c's mass.
func take(c *losses.Cloud, rows []int) Half {
	out := &losses.Cloud{Name: c.Name, N: len(rows), D: c.D, X: make([]float64, 0, len(rows)*c.D), W: make([]float64, len(rows)), Mass: c.Mass,
		Sampled: c.Sampled, Single: c.Single}
	for i, row := range rows {
		out.X = append(out.X, c.X[row*c.D:(row+1)*c.D]...)
		out.W[i] = c.Mass / float64(len(rows))
	}
	return Half{Cloud: out, rows: rows}
}

// AddRows adds what belongs to the points of the half, width numbers each, scale times to the rows of the cloud that it is of.
func (h Half) AddRows(dst []float64, scale float64, of []float64, width int) {
	for i := range h.N {
		row := i
		if h.rows != nil {
			row = h.rows[i]
		}
		to, from := dst[row*width:][:width], of[i*width:][:width]
		for k, v := range from {
			to[k] += float64(scale * v)
		}
	}
}

// Whole is the number of points of the cloud that the half is of.
func (h Half) Whole() int {
	if h.rows == nil {
		return h.N
	}
	return 2 * h.N
}
