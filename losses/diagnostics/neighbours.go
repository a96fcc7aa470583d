package diagnostics

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

const (
	// DefaultNeighbours is which neighbour is looked for where nothing is said, MaxNeighbours the farthest.
	DefaultNeighbours, MaxNeighbours = 5, 128
	// roughDimension is the dimension above which an estimate of a density by neighbours is rough: N(0, I) moved by 1, of 1,000 points, has in dimension 8 three quarters
	// of its divergence.
	roughDimension = 4
)

// NearestNeighbourKl estimates KL(p, q) from samples of n points of p and m of q,
//
//	D/n Σ_i ln(ν_i/ρ_i) + ln(m/(n-1)),
//
// with ρ_i the distance of point i to its k-th neighbour among the others and ν_i that to its k-th among those of q (Wang, Kulkarni, Verdú 2009, equation 5).
type NearestNeighbourKl struct {
	Source, Target string // names of a measure without weights, and of one or a prior
	Neighbours     int    // k; 0: [DefaultNeighbours]
}

// Kind implements [losses.Loss].
func (NearestNeighbourKl) Kind() string { return "nearest_neighbour_kl" }

// Uses implements [losses.Loss].
func (l NearestNeighbourKl) Uses() []losses.Use {
	return []losses.Use{{Field: "source", Input: l.Source}, {Field: "target", Input: l.Target}}
}

// Extras implements [losses.Loss].
func (NearestNeighbourKl) Extras() []string { return nil }

// Bind implements [losses.Loss].
func (l NearestNeighbourKl) Bind(inputs losses.Inputs, seed losses.Seed) (losses.Problem, error) {
	source, k, err := sample(inputs, l.Source, l.Neighbours)
	if err != nil {
		return nil, err
	}
	if err := unweighted(inputs, "target", l.Target); err != nil {
		return nil, err
	}
	target, err := inputs.Like("target", l.Target, source, seed)
	if err != nil {
		return nil, err
	}
	if target.N < k {
		return nil, losses.Badf("target", "input %q has %d points, want %d or more for neighbour %d", l.Target, target.N, k, k)
	}
	return &neighbourProblem{source: source, target: target, k: k}, nil
}

// sample returns the source and the number of the neighbour, which it has to have.
func sample(inputs losses.Inputs, name string, neighbours int) (*losses.Cloud, int, error) {
	k := neighbours
	if k == 0 {
		k = DefaultNeighbours
	}
	if k < 1 || k > MaxNeighbours {
		return nil, 0, losses.Badf("neighbours", "is %d, want 1 to %d", k, MaxNeighbours)
	}
	if err := unweighted(inputs, "source", name); err != nil {
		return nil, 0, err
	}
	c, err := inputs.Cloud("source", name)
	if err == nil && c.N <= k {
		err = losses.Badf("source", "input %q has %d points, want %d or more for neighbour %d", name, c.N, k+1, k)
	}
	return c, k, err
}

// neighbourProblem is KL from samples or, without a target, entropy.
type neighbourProblem struct {
	source, target *losses.Cloud
	k              int
}

// Work implements [losses.Problem].
func (p *neighbourProblem) Work() losses.Work {
	n := p.source.N
	if p.target != nil {
		n += p.target.N
	}
	return losses.Work{Pairs: float64(p.source.N) * float64(n), Iterations: 1, Bytes: int64(8 * n * (p.source.D + 4))}
}

// Solve implements [losses.Problem].
func (p *neighbourProblem) Solve(ctx context.Context, _ losses.Want) (losses.TermResult, error) {
	own, err := logDistances(ctx, p.source, p.source, p.k)
	if err != nil {
		return losses.TermResult{}, err
	}
	n, d := float64(p.source.N), float64(p.source.D)
	var value float64
	if p.target == nil {
		ball, _ := math.Lgamma(d/2 + 1)
		value = harmonic(p.k, p.source.N) + d/2*math.Log(math.Pi) - ball + d*mean(own)
	} else {
		other, err := logDistances(ctx, p.source, p.target, p.k)
		if err != nil {
			return losses.TermResult{}, err
		}
		value = d*(mean(other)-mean(own)) + math.Log(float64(p.target.N)/(n-1))
	}
	var warnings []losses.Warning
	if !finite(value) {
		warnings = append(warnings, infinite("more points coincide than neighbours are looked at, so there is no density; or distances overflow binary64"))
		if p.target != nil {
			value = math.Inf(1)
		}
	}
	if p.source.D > roughDimension {
		warnings = append(warnings, losses.Warning{Code: losses.HighDimension, Message: "neighbours are far away in this many dimensions: the number is rough, a divergence too small"})
	}
	return outcome(value, nil, warnings...), nil
}

// harmonic is Σ 1/i for i from k to n-1, which is ψ(n) - ψ(k), small terms first.
func harmonic(k, n int) float64 {
	sum := 0.0
	for i := n - 1; i >= k; i-- {
		sum += 1 / float64(i)
	}
	return sum
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v / float64(len(values))
	}
	return sum
}

// logDistances are the logarithms of the distances of each of a's points to its k-th neighbour among b's, itself left out where b is a.
func logDistances(ctx context.Context, a, b *losses.Cloud, k int) ([]float64, error) {
	out := make([]float64, a.N)
	step := max(1, parallel.TileCost/(4*a.D+16))
	return out, parallel.Rows(ctx, a.N, b.N*(4*a.D+16), func(lo, hi int, gate *parallel.Gate) {
		nearest := make([]float64, k) // squares, in order
		for i := lo; i < hi; i++ {
			for at := range nearest {
				nearest[at] = math.Inf(1)
			}
			for j := range b.N {
				if j > 0 && j%step == 0 && !gate.Open() {
					return
				}
				if a != b || i != j {
					keep(nearest, square(a.X[i*a.D:(i+1)*a.D], b.X[j*b.D:(j+1)*b.D]))
				}
			}
			out[i] = math.Log(nearest[k-1]) / 2
		}
	})
}

func square(x, y []float64) float64 {
	sum := 0.0
	for k, v := range x {
		delta := v - y[k]
		sum += float64(delta * delta) // rounded, so that it is the same on every architecture
	}
	return sum
}

// keep puts v in its place among the least, if it is one of them.
func keep(least []float64, v float64) {
	at := len(least) - 1
	if !(v < least[at]) {
		return
	}
	for ; at > 0 && v < least[at-1]; at-- {
		least[at] = least[at-1]
	}
	least[at] = v
}
