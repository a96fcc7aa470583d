package diagnostics

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// maxCovariance is the largest dimension of covariances whose determinant is taken.
const maxCovariance = 512

// Entropy is differential entropy in nats: of a measure that of the density behind the sample,
//
//	ψ(n) - ψ(k) + ln V_D + D/n Σ_i ln ρ_i,
//
// with V_D the volume of the unit ball (Kozachenko, Leonenko 1987; Kraskov, Stögbauer, Grassberger 2004, equation 20); of Gaussians ½ ln det 2πeΣ, the mean over
// rows.
type Entropy struct {
	Source     string // name of a measure without weights, or of a Gaussian
	Neighbours int    // k; 0: [DefaultNeighbours]; not used for Gaussians
}

// Kind implements [losses.Loss].
func (Entropy) Kind() string { return "entropy" }

// Uses implements [losses.Loss].
func (e Entropy) Uses() []losses.Use { return []losses.Use{{Field: "source", Input: e.Source}} }

// Extras implements [losses.Loss].
func (Entropy) Extras() []string { return nil }

// Bind implements [losses.Loss].
func (e Entropy) Bind(inputs losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	g, ok := inputs[e.Source].(*losses.Gaussian)
	if !ok {
		source, k, err := sample(inputs, e.Source, e.Neighbours)
		return &neighbourProblem{source: source, k: k}, err
	}
	if e.Neighbours != 0 {
		return nil, losses.Badf("neighbours", "is %d, but source %q is a Gaussian, whose entropy is known", e.Neighbours, e.Source)
	}
	if d := g.Mean.Shape[1]; g.Covariance != nil && d > maxCovariance {
		return nil, losses.Badf("source", "input %q is too large: covariances of dimension %d, want at most %d", e.Source, d, maxCovariance)
	}
	return (*gaussianEntropy)(g), nil
}

type gaussianEntropy losses.Gaussian

// Work implements [losses.Problem].
func (g *gaussianEntropy) Work() losses.Work {
	work := losses.Work{Pairs: float64(g.Mean.Len()), Iterations: 1}
	if g.Covariance != nil {
		d := g.Mean.Shape[1]
		work.Pairs, work.Bytes = float64(g.Covariance.Len()*d), int64(8*d*d*parallel.Slots())
	}
	return work
}

// Solve implements [losses.Problem].
func (g *gaussianEntropy) Solve(ctx context.Context, _ losses.Want) (losses.TermResult, error) {
	n, d := g.Mean.Shape[0], g.Mean.Shape[1]
	perRow := make([]float64, n)
	cost := 8 * d
	if g.Covariance != nil {
		cost = d * d * d
	}
	err := parallel.Rows(ctx, n, cost, func(lo, hi int, gate *parallel.Gate) {
		for i := lo; i < hi; i++ {
			perRow[i] = float64(d)/2*math.Log(2*math.Pi*math.E) + g.logDeterminant(i, gate)/2
		}
	})
	value := mean(perRow)
	if !finite(value) {
		return outcome(value, nil, infinite("a covariance is singular: there is no density")), err
	}
	return outcome(value, nil), err
}

// logDeterminant is that of the covariance of row i; -Inf: it is singular, or not positive. Where the gate closes it is nothing.
func (g *gaussianEntropy) logDeterminant(i int, gate *parallel.Gate) float64 {
	d, sum := g.Mean.Shape[1], 0.0
	if g.Covariance == nil {
		for k := range d {
			sum += g.LogVariance.At(i*d + k)
		}
		return sum
	}
	root, done := make([]float64, d*d), 0
	for j := range d {
		if done += j * j; done > parallel.TileCost {
			if !gate.Open() {
				return 0
			}
			done = 0
		}
		pivot := rootRow(root, g.Covariance, i*d*d, j, d)
		if !(pivot > 0) {
			return math.Inf(-1)
		}
		sum += math.Log(pivot)
	}
	return sum
}

// rootRow computes row j of Cholesky's lower triangular root of the covariance that begins at the given place, from the rows before it, which are full of 0 after
// their diagonal. It returns the square of its diagonal; 0: the covariance is singular, up to the rounding of that root (Higham 2002, theorem 10.7).
func rootRow(root []float64, covariance *losses.Array, at, j, d int) float64 {
	row := root[j*d : (j+1)*d]
	for k := range j {
		row[k] = (covariance.At(at+j*d+k) - floats.Dot(row[:k], root[k*d:k*d+k])) / root[k*d+k]
	}
	variance := covariance.At(at + j*d + j)
	square := variance - floats.Dot(row[:j], row[:j])
	if !(square > float64(j)*0x1p-52*variance) {
		return 0
	}
	row[j] = math.Sqrt(square)
	return square
}
