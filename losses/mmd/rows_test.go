package mmd_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"gonum.org/v1/gonum/stat"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/mmd"
	"kantor/losses/sinkhorn"
)

// Row T27 of docs/mathematics.md: the energy distance of N(0,1) and N(1,1) is 2E|N(1,2)| - 4/√π = .541806579306. N(1,1) is a grid of step h weighed by its
// density, N(0,1) itself. For a smooth function such a sum is right to rounding; |x-x'| has its tip on the grid, so that its double sum is off by a multiple of
// h² (Euler and Maclaurin), which two grids take away, and then by one of h⁴, some 3e-12.
func TestT27EnergyDistanceOfTwoNormals(t *testing.T) {
	value := func(step float64) float64 {
		n := 2*int(9/step) + 1
		x, w, mass := make([]float64, n), make([]float64, n), 0.0
		for i := range x {
			z := float64(i-n/2) * step
			x[i], w[i] = z+1, math.Exp(-z*z/2)
			mass += w[i]
		}
		for i := range w {
			w[i] /= mass
		}
		inputs := losses.Inputs{"source": losstest.Weighted(x, w), "target": &losses.Prior{Family: losses.StandardNormal{}}}
		return losstest.Outcome(t, mmd.Discrepancy{Source: "source", Target: "target", Statistic: mmd.V, ClosedForm: true}, inputs).Value
	}
	const want = .541806579306
	if got := (4*value(0.005) - value(0.01)) / 3; math.Abs(got-want) > 1e-11 {
		t.Errorf("got %.12f, want %.12f", got, want)
	}
}

// Row T21 of docs/mathematics.md: between two samples of n points of one distribution, uniform on a cube, the roots of the energy distance and of the mean
// discrepancy fall like n^-½ in any dimension, where W1 falls like n^-1/D. The slopes are those of the roots of means over samples, of which there are more
// where n is small.
func TestT21RootsFallLikeTheRootOfTheSize(t *testing.T) {
	for d, kernels := range map[int][]mmd.Kernel{5: {mmd.Energy}, 10: {mmd.Energy, mmd.Gaussian}} {
		for _, kernel := range kernels {
			r := losstest.Random(uint64(d))
			var sizes, roots []float64
			for n := 64; n <= 1024; n *= 2 {
				count, sum := 4*1024/n, 0.0
				for range count {
					cube := func() *losses.Measure {
						x := make([]float64, n*d)
						for i := range x {
							x[i] = r.Float64()
						}
						return &losses.Measure{Points: losses.NewArray(x, n, d)}
					}
					loss := mmd.Discrepancy{Source: "source", Target: "target", Kernel: kernel, Statistic: mmd.V}
					sum += losstest.Outcome(t, loss, losses.Inputs{"source": cube(), "target": cube()}).Value
				}
				sizes, roots = append(sizes, math.Log(float64(n))), append(roots, 0.5*math.Log(sum/float64(count)))
			}
			// The exact slope of the means is -½. A value scatters by some third of itself, its root by a sixth, the mean of four by a twelfth, and the
			// slope over ln 16 by a 25th.
			if _, slope := stat.LinearRegression(sizes, roots, nil, false); math.Abs(slope+0.5) > 0.08 {
				t.Errorf("D=%d, %v: slope %.3f, want -½", d, kernel, slope)
			}
		}
	}
}

// Row T13 of docs/mathematics.md: at a temperature far above the costs the Sinkhorn divergence is half the energy distance for the cost |x-y|, and half the
// squared distance of the means for half the square. What is left is a multiple of the squared costs over the temperature.
func TestT13HotDivergencesAreDiscrepancies(t *testing.T) {
	for seed := range uint64(10) {
		r := losstest.Random(seed)
		n, m, d := 5+r.IntN(60), 5+r.IntN(60), 1+r.IntN(6)
		a := &losses.Measure{Points: losstest.Normal(r, n, d, 0.8, 0), Weights: losstest.Weights(r, n, 1)}
		b := &losses.Measure{Points: losstest.Normal(r, m, d, 1, 0.4), Weights: losstest.Weights(r, m, 1)}
		inputs := losses.Inputs{"source": a, "target": b}
		hot := func(cost losses.Cost) float64 {
			epsilon := 1e6
			loss := sinkhorn.Divergence{Source: "source", Target: "target", Cost: cost, Epsilon: &epsilon, Tolerance: losstest.Ptr(1e-12)}
			return losstest.Outcome(t, loss, inputs).Value
		}
		half := losstest.Outcome(t, mmd.Discrepancy{Source: "source", Target: "target", Statistic: mmd.V, Convention: mmd.Half}, inputs).Value
		if got := hot(losses.Euclidean); math.Abs(got-half) > 1e-4*half {
			t.Errorf("seed %d: the divergence of |x-y| is %v, half the energy distance %v", seed, got, half)
		}
		means := 0.0
		for k := range d {
			difference := 0.0
			for i := range n {
				difference += a.Weights.F64[i] * a.Points.F64[i*d+k]
			}
			for j := range m {
				difference -= b.Weights.F64[j] * b.Points.F64[j*d+k]
			}
			means += difference * difference / 2
		}
		if got := hot(losses.HalfSquaredEuclidean); math.Abs(got-means) > 1e-4*means {
			t.Errorf("seed %d: the divergence of half the square is %v, half the squared distance of means %v", seed, got, means)
		}
	}
}

// A smooth kernel as wide as the clouds are far apart sees means only: for blur → ∞, blur² times the discrepancy is their squared distance, since
// exp(-d²/2s²) = 1 - d²/2s² + O(s^-4).
func ExampleDiscrepancy() {
	inputs := losses.Inputs{"source": losstest.Cloud([]float64{0, 0}, []float64{2, 0}), "target": losstest.Cloud([]float64{1, 3}, []float64{1, 5})}
	blur := 1e4
	o := losses.Objective{Terms: []losses.Term{{Weight: blur * blur, Loss: mmd.Discrepancy{Source: "source", Target: "target", Kernel: mmd.Gaussian, Blur: &blur,
		Statistic: mmd.V}}}}
	evaluation, err := o.Bind(inputs, 0)
	if err != nil {
		panic(err)
	}
	result, err := evaluation.Evaluate(context.Background())
	if err != nil {
		panic(err)
	}
	fmt.Printf("%.4f\n", result.Value)
	// Output: 16.0000
}
