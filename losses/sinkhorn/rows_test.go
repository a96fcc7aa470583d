package sinkhorn_test

import (
	"math"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sinkhorn"
)

// lineDivergence is that of Gaussians on the line, on grids, converged to where rounding decides.
func lineDivergence(t *testing.T, v1, v2, epsilon float64, change func(*sinkhorn.Divergence), gradients ...string) *losses.Result {
	t.Helper()
	d := divergence(func(d *sinkhorn.Divergence) { d.Epsilon, d.Tolerance = &epsilon, losstest.Ptr(1e-11) })
	if change != nil {
		change(&d)
	}
	return losstest.Evaluate(t, d, losses.Inputs{"x": gaussianGrid(0, v1), "y": gaussianGrid(0, v2)}, gradients...)
}

// T12: what ε adds to W2² (Chizat, Roussillon, Léger, Vialard, Peyré 2020: the bias of OT is of the order of ε, that of S of ε², and the sum of S at two
// temperatures that cancels it of ε⁴). Of N(0,1) and N(0,¼), in the cost |x-y|² at a temperature of 2λ, λ = .1, where W2² = ¼: the closed form gives the errors
// in the table, and what solves the problem on a grid has them.
func TestT12BiasOfTheTemperature(t *testing.T) {
	const lambda, truth = 0.1, 0.25
	squared := func(debias sinkhorn.Debias) func(*sinkhorn.Divergence) {
		return func(d *sinkhorn.Divergence) { d.Cost, d.Debias = losses.SquaredEuclidean, debias }
	}
	cold := lineDivergence(t, 1, 0.25, 2*lambda, squared(sinkhorn.Self)).Value
	warm := lineDivergence(t, 1, 0.25, 2*math.Sqrt2*lambda, squared(sinkhorn.Self)).Value
	for _, tt := range []struct {
		name      string
		got, want float64
		digits    float64 // half of the last digit given
	}{
		{"OT", lineDivergence(t, 1, 0.25, 2*lambda, squared(sinkhorn.None)).Value - truth, 0.26594, 5e-6},
		{"S", cold - truth, -1.2374e-3, 5e-8},
		{"2 S_λ - S_{√2 λ}", 2*cold - warm - truth, -2.4e-5, 5e-7},
	} {
		if math.Abs(tt.got-tt.want) > tt.digits {
			t.Errorf("%s: the error is %.6g, want %g", tt.name, tt.got, tt.want)
		}
	}
	if want := 2 * closedFormS(0, 1, 0.25, lambda); math.Abs(cold-want) > 1e-10 {
		t.Errorf("S on the grid is %v, in closed form %v", cold, want)
	}
}

// T12: without its self terms it is least for a source that is narrower than the target, and with them at the target itself, where S is 0. Of N(0,v) and N(0,1) at ε
// the least is at the variance 1-ε, where the closed form has no slope: with d = √(4v+ε²), dF/dv = 1 - 2/(d+ε) = 0.
func TestT12BiasedTransportIsLeastElsewhere(t *testing.T) {
	const epsilon = 0.3
	slope := func(v float64, debias sinkhorn.Debias) float64 {
		const h = 1e-3
		at := func(v float64) float64 {
			return lineDivergence(t, v, 1, epsilon, func(d *sinkhorn.Divergence) { d.Debias = debias }).Value
		}
		return (at(v+h) - at(v-h)) / (2 * h)
	}
	for _, tt := range []struct {
		debias sinkhorn.Debias
		least  float64
	}{{sinkhorn.None, 1 - epsilon}, {sinkhorn.Self, 1}} {
		if s := slope(tt.least, tt.debias); math.Abs(s) > 1e-5 {
			t.Errorf("debias %v: at the variance %v the slope is %v, want 0", tt.debias, tt.least, s)
		}
		if below, above := slope(tt.least-0.2, tt.debias), slope(tt.least+0.2, tt.debias); !(below < -0.01 && above > 0.01) {
			t.Errorf("debias %v: beside the variance %v the slopes are %v and %v, want down to it and up", tt.debias, tt.least, below, above)
		}
	}
}

// T13: as ε falls S goes to transport, which here is the cost of a permutation that is found by looking at all of them; what S is off by at ε is at most ε times
// the entropies of the three plans, log n each, and at the smallest that is the tolerance.
func TestT13SmallTemperatureIsTransport(t *testing.T) {
	const n = 7
	r := losstest.Random(60)
	x, y := losstest.Normal(r, n, 2, 1, 0), losstest.Normal(r, n, 2, 1, 1)
	best := math.Inf(1)
	permute(n, func(p []int) {
		total := 0.0
		for i, j := range p {
			total += math.Hypot(x.F64[2*i]-y.F64[2*j], x.F64[2*i+1]-y.F64[2*j+1]) / n
		}
		best = min(best, total)
	})
	for _, epsilon := range []float64{0.1, 0.01, 0.001} {
		d := divergence(func(d *sinkhorn.Divergence) { d.Epsilon, d.Cost = &epsilon, losses.Euclidean })
		o := losstest.Outcome(t, d, losses.Inputs{"x": &losses.Measure{Points: x}, "y": &losses.Measure{Points: y}})
		if slack := 2 * epsilon * math.Log(n); o.Interval.Upper < best-slack || o.Interval.Lower > best+slack {
			t.Errorf("ε=%v: %v does not meet %v ± %v", epsilon, *o.Interval, best, slack)
		}
	}
}

// T13: as ε rises S goes to half the energy distance for |x-y|, and for ½|x-y|² to half the squared distance of the means (Feydy et al. 2019, theorem 1; Ramdas,
// García Trillos, Cuturi 2017), with an error that falls like 1/ε.
func TestT13LargeTemperatureIsTheEnergyDistance(t *testing.T) {
	in := pair(61, 20, 25, 3, 1)
	x, y := in["x"].(*losses.Measure), in["y"].(*losses.Measure)
	distance := func(a, b *losses.Measure) (total float64) {
		for i, w := range a.Weights.F64 {
			for j, v := range b.Weights.F64 {
				square := 0.0
				for k := range 3 {
					square += math.Pow(a.Points.F64[3*i+k]-b.Points.F64[3*j+k], 2)
				}
				total += w * v * math.Sqrt(square)
			}
		}
		return total
	}
	mean := func(m *losses.Measure, k int) (total float64) {
		for i, w := range m.Weights.F64 {
			total += w * m.Points.F64[3*i+k]
		}
		return total
	}
	means := 0.0
	for k := range 3 {
		means += math.Pow(mean(x, k)-mean(y, k), 2) / 2
	}
	for cost, want := range map[losses.Cost]float64{
		losses.Euclidean:            distance(x, y) - distance(x, x)/2 - distance(y, y)/2,
		losses.HalfSquaredEuclidean: means,
	} {
		off := func(epsilon float64) float64 {
			d := divergence(precise(epsilon))
			d.Cost = cost
			return math.Abs(losstest.Outcome(t, d, in).Value - want)
		}
		a, b := off(1e2), off(1e3)
		// The costs' variance over ε, a few hundredths at 100; ten times ε, a tenth of it to first order.
		if a > 0.05 || b > a/8 {
			t.Errorf("%v: off by %v at ε = 100 and %v at 1000, want an error like 1/ε", cost, a, b)
		}
	}
}

// T13: with ½|x-y|² the variance's signal fades as ε passes the variance of the target: S(N(0,¼), N(0,1)) and its gradient in the standard deviation, relative to
// those of exact transport.
func TestT13TheVarianceSignalFades(t *testing.T) {
	const truth, slope = 0.125, -0.5 // ½(σ-1)² and σ-1 at σ = ½
	for _, tt := range []struct{ epsilon, value, gradient float64 }{{0.1, 0.995, 0.990}, {0.3, 0.959, 0.922}, {1, 0.727, 0.592}, {3, 0.347, 0.242}} {
		r := lineDivergence(t, 0.25, 1, tt.epsilon, nil, "x.points")
		gradient, grid := 0.0, gaussianGrid(0, 0.25)
		for i, v := range r.Gradients[losses.Ref{Input: "x", Field: "points"}].F64 {
			gradient += v * grid.Points.F64[i] / 0.5
		}
		// Half of the last digit given.
		if math.Abs(r.Value/truth-tt.value) > 5e-4 || math.Abs(gradient/slope-tt.gradient) > 5e-4 {
			t.Errorf("ε=%v: value %.4f and gradient %.4f of exact transport's, want %v and %v", tt.epsilon, r.Value/truth, gradient/slope, tt.value, tt.gradient)
		}
		if faded := sinkhorn.Faded(tt.epsilon); math.Abs(faded-gradient/slope) > 1e-6 {
			t.Errorf("ε=%v: the closed form of the warning gives %v, the grid %v", tt.epsilon, faded, gradient/slope)
		}
	}
}

// T20: the gradient flow of S in the particles. A step is against ∂S/∂x_i over a_i, the gradient in the Wasserstein sense: S falls at every step of a small
// size, and with ½|x-y|² the mean goes m ← m - τ (m - m_target) exactly, whatever ε.
func TestT20ParticleFlow(t *testing.T) {
	const n, dim, tau = 40, 2, 0.2
	r := losstest.Random(62)
	x, y := losstest.Normal(r, n, dim, 0.3, -2), losstest.Normal(r, n, dim, 1, 1)
	in := losses.Inputs{"x": &losses.Measure{Points: x}, "y": &losses.Measure{Points: y}}
	mean := func(a losses.Array, k int) (total float64) {
		for i := range n {
			total += a.F64[i*dim+k] / n
		}
		return total
	}
	d := divergence(precise(0.2))
	before := math.Inf(1)
	for step := range 25 {
		result := losstest.Evaluate(t, d, in, "x.points")
		if !(result.Value < before) {
			t.Fatalf("step %d: S rose from %v to %v", step, before, result.Value)
		}
		before = result.Value
		var want [dim]float64
		for k := range want {
			want[k] = mean(x, k) - tau*(mean(x, k)-mean(y, k))
		}
		for i, v := range result.Gradients[losses.Ref{Input: "x", Field: "points"}].F64 {
			x.F64[i] -= tau * n * v
		}
		for k := range want {
			// The plans' marginals are off by 1e-10, at points below 5.
			if math.Abs(mean(x, k)-want[k]) > 1e-9 {
				t.Fatalf("step %d: the mean is %v along axis %d, want %v", step, mean(x, k), k, want[k])
			}
		}
	}
	// At the end what is left of the first S, about 9 for means that are 3 apart along both axes, is below a hundredth.
	if before > 0.09 {
		t.Errorf("S ends at %v", before)
	}
}

// T21: how fast the root of S between two samples of U[0,1]^D falls with their size: slopes of -.42 and -.31 over n = 64…1024 at ε = .1 D/12, where W1 has -.22
// and -.13, and a kernel distance the -½ that all have at last. Four pairs for each.
func TestT21SampleComplexity(t *testing.T) {
	for dim, want := range map[int]float64{5: -0.42, 10: -0.31} {
		d := divergence(func(d *sinkhorn.Divergence) { d.Epsilon, d.WithoutInterval = losstest.Ptr(0.1*float64(dim)/12), true })
		var logs [5]float64
		for k := range logs {
			n := 64 << k
			total := 0.0
			for seed := range uint64(4) {
				r := losstest.Random(63 + seed)
				uniform := func() *losses.Measure {
					x := make([]float64, n*dim)
					for i := range x {
						x[i] = r.Float64()
					}
					return &losses.Measure{Points: losses.NewArray(x, n, dim)}
				}
				total += math.Sqrt(losstest.Outcome(t, d, losses.Inputs{"x": uniform(), "y": uniform()}).Value) / 4
			}
			logs[k] = math.Log(total)
		}
		slope := (2*(logs[4]-logs[0]) + logs[3] - logs[1]) / (10 * math.Ln2) // least squares through five points
		if math.Abs(slope-want) > 0.04 {
			t.Errorf("D=%d: the slope is %.3f, want %v", dim, slope, want)
		}
	}
}
