package mmd

import (
	"fmt"
	"math"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
)

// steinCloud is a random weighted cloud.
func steinCloud(seed uint64, most int) losses.Inputs {
	r := losstest.Random(seed)
	n, d := 2+r.IntN(most), 1+r.IntN(9)
	points, weights := losstest.Normal(r, n, d, 0.5+r.Float64(), 0.5*r.NormFloat64()), losstest.Weights(r, n, 0.5+r.Float64())
	return losses.Inputs{"source": &losses.Measure{Points: points, Weights: weights}}
}

// steinBy is u(x,y) from the kernel alone: its derivatives are central differences of order 4, in long sums of coordinates.
func steinBy(kernel Kernel, blur float64) func(x, y []float64) float64 {
	k := func(x, y []float64) float64 {
		q := 0.0
		for i := range x {
			q += (x[i] - y[i]) * (x[i] - y[i])
		}
		if kernel == Gaussian {
			return math.Exp(-q / (2 * blur * blur))
		}
		return 1 / math.Sqrt(1+q/(blur*blur))
	}
	const h = 1e-3
	difference := func(f func() float64, at *float64) float64 {
		start := *at
		defer func() { *at = start }()
		step := func(s float64) float64 { *at = start + s*h; return f() }
		return (step(-2) - 8*step(-1) + 8*step(1) - step(2)) / (12 * h)
	}
	return func(x, y []float64) float64 {
		x, y = append([]float64(nil), x...), append([]float64(nil), y...)
		value := func() float64 { return k(x, y) }
		u := 0.0
		for i := range x {
			inY := func() float64 { return difference(value, &y[i]) }
			u += k(x, y)*x[i]*y[i] - x[i]*inY() - y[i]*difference(value, &x[i]) + difference(inY, &x[i])
		}
		return u
	}
}

// The value is the double sum of the definition, with the derivatives of the kernel taken numerically.
func TestSteinIsItsDefinition(t *testing.T) {
	for seed := range uint64(25) {
		for _, kernel := range []Kernel{IMQ, Gaussian} {
			inputs, statistic := steinCloud(seed, 12), Statistic(seed%2)
			loss := Stein{Source: "source", Kernel: kernel, Blur: losstest.Ptr(1.3), Statistic: statistic}
			got := losstest.Outcome(t, loss, inputs).Value
			cloud := inputs["source"].(*losses.Measure)
			want := bruteMean(cloud, cloud, steinBy(kernel, 1.3), statistic == U)
			// Differences of differences at 1e-3 are right to 1e-9, times the dimension.
			if math.Abs(got-want) > 1e-7*math.Max(1, math.Abs(want)) {
				t.Errorf("seed %d, %v, statistic %d: got %v, want %v", seed, kernel, statistic, got, want)
			}
		}
	}
}

func TestSteinGradients(t *testing.T) {
	for seed := range uint64(30) {
		for _, kernel := range []Kernel{IMQ, Gaussian} {
			loss := Stein{Source: "source", Kernel: kernel, Statistic: Statistic(seed % 2)}
			for _, name := range []string{"source.points", "source.weights"} {
				checkGradient(t, losstest.Random(seed), loss, steinCloud(seed, 150), name, fmt.Sprintf("seed %d, %v", seed, kernel))
			}
		}
	}
}

// Over hundreds of clouds: V is not negative, since u is positive definite, and of degree 2 in the weights; a turn of the space changes nothing.
func TestSteinProperties(t *testing.T) {
	for seed := range uint64(200) {
		for _, kernel := range []Kernel{IMQ, Gaussian} {
			inputs := steinCloud(seed, 150)
			cloud := inputs["source"].(*losses.Measure)
			result := losstest.Evaluate(t, Stein{Source: "source", Kernel: kernel, Statistic: V}, inputs, "source.weights")
			size := math.Max(1, result.Value)
			if result.Value < -1e-13 {
				t.Errorf("seed %d, %v: V is %v", seed, kernel, result.Value)
			}
			along := weighted(cloud.Weights.F64, result.Gradients[losses.Ref{Input: "source", Field: "weights"}].F64)
			if math.Abs(along-2*result.Value) > 1e-12*size {
				t.Errorf("seed %d, %v: <weights, gradient> is %v, want %v", seed, kernel, along, 2*result.Value)
			}
			if d := cloud.Points.Shape[1]; d > 1 { // by 3-4-5 in the first two coordinates
				for i := 0; i < cloud.Points.Len(); i += d {
					x, y := cloud.Points.F64[i], cloud.Points.F64[i+1]
					cloud.Points.F64[i], cloud.Points.F64[i+1] = 0.6*x-0.8*y, 0.8*x+0.6*y
				}
				turned := losstest.Outcome(t, Stein{Source: "source", Kernel: kernel, Statistic: V}, inputs).Value
				if math.Abs(turned-result.Value) > 1e-12*size {
					t.Errorf("seed %d, %v: %v, turned %v", seed, kernel, result.Value, turned)
				}
			}
		}
	}
}

// Stein's identity: E u(x,Y) = 0 for Y ~ N(0, I) and every x, so that the U-statistic of samples of N(0, I) has mean 0. Means of 400 samples of 20 points, within
// five of their own standard errors; samples of N(0.5, I) are above that.
func TestSteinVanishesForTheNormal(t *testing.T) {
	for _, d := range []int{1, 4} {
		for _, kernel := range []Kernel{IMQ, Gaussian} {
			r := losstest.Random(uint64(d))
			score := func(shift float64) float64 {
				const samples = 400
				sum, square := 0.0, 0.0
				for range samples {
					inputs := losses.Inputs{"source": &losses.Measure{Points: losstest.Normal(r, 20, d, 1, shift)}}
					v := losstest.Outcome(t, Stein{Source: "source", Kernel: kernel}, inputs).Value
					sum += v
					square += v * v
				}
				mean := sum / samples
				return mean / math.Sqrt((square/samples-mean*mean)/samples)
			}
			if z := score(0); math.Abs(z) > 5 {
				t.Errorf("d=%d, %v: N(0, I) is %.1f standard errors from 0", d, kernel, z)
			}
			if z := score(0.5); z < 10 {
				t.Errorf("d=%d, %v: N(0.5, I) is only %.1f standard errors above 0", d, kernel, z)
			}
		}
	}
}
