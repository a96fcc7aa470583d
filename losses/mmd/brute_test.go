package mmd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
)

// function is a kernel by its formula, for sums that are as plain as they can be.
func function(kernel Kernel, blur float64) func(x, y []float64) float64 {
	return func(x, y []float64) float64 {
		q := 0.0
		for k := range x {
			q += (x[k] - y[k]) * (x[k] - y[k])
		}
		switch kernel {
		case Energy:
			return -math.Sqrt(q)
		case Gaussian:
			return math.Exp(-q / (2 * blur * blur))
		case Laplacian:
			return math.Exp(-math.Sqrt(q) / blur)
		}
		sum := 0.0
		for _, s := range []float64{0.1, 0.2, 0.5, 1, 2, 5, 10} {
			c := 2 * float64(len(x)) * blur * blur * s
			sum += c / (c + q)
		}
		return sum
	}
}

// bruteMean is Σ a_i b_j k_ij; of a cloud with itself under U the sum over i ≠ j, scaled to the square of the mass.
func bruteMean(a, b *losses.Measure, k func(x, y []float64) float64, u bool) float64 {
	n, m, d := a.Points.Shape[0], b.Points.Shape[0], a.Points.Shape[1]
	total, part, mass := 0.0, 0.0, 0.0
	for i := range n {
		wi := weight(a, i)
		mass += wi
		for j := range m {
			if u && i == j {
				continue
			}
			w := wi * weight(b, j)
			part += w
			total += w * k(a.Points.F64[i*d:(i+1)*d], b.Points.F64[j*d:(j+1)*d])
		}
	}
	if u {
		return mass * mass * total / part
	}
	return total
}

func weight(m *losses.Measure, i int) float64 {
	if m.Weights == nil {
		return 1 / float64(m.Points.Shape[0])
	}
	return m.Weights.F64[i]
}

// brute is the discrepancy by its formula.
func brute(a, b *losses.Measure, kernel Kernel, blur float64, statistic Statistic) float64 {
	k := function(kernel, blur)
	return bruteMean(a, a, k, statistic == U) + bruteMean(b, b, k, statistic == U) - 2*bruteMean(a, b, k, false)
}

// pairOf is a random problem of any of the kinds: sizes beside the multiples that kernels take, weights with zeros, masses that agree or not, points in the same
// place, an offset.
func pairOf(r *rand.Rand, kernel Kernel, most int) losses.Inputs {
	d := 1 + r.IntN(9)
	mass, shift := 1.0, 0.0
	if r.IntN(3) == 0 {
		mass = 0.5 + r.Float64()
	}
	if r.IntN(4) == 0 {
		shift = 100
	}
	measure := func(scale, shift, mass float64) *losses.Measure {
		n := 2 + r.IntN(most)
		m := &losses.Measure{Points: losstest.Normal(r, n, d, scale, shift), Weights: losstest.Weights(r, n, mass)}
		if n > 4 && r.IntN(2) == 0 {
			copy(m.Points.F64[d:2*d], m.Points.F64[:d]) // two points in the same place
			w := m.Weights.F64
			w[3], w[2] = w[3]+w[2], 0
		}
		return m
	}
	a := measure(1, shift, mass)
	if kernel != Energy && r.IntN(2) == 0 {
		mass = 0.5 + r.Float64()
	}
	return losses.Inputs{"source": a, "target": measure(0.8, shift+0.3, mass)}
}

func discrepancy(kernel Kernel, blur float64, statistic Statistic) Discrepancy {
	d := Discrepancy{Source: "source", Target: "target", Kernel: kernel, Statistic: statistic}
	if kernel != Energy {
		d.Blur = &blur
	}
	return d
}

var kernels = []Kernel{Energy, Gaussian, Laplacian, IMQ}

// The value is the double sum, for hundreds of random problems of up to several blocks.
func TestValuesAreTheDoubleSums(t *testing.T) {
	for seed := range uint64(160) {
		r, most := losstest.Random(seed), 70
		if seed%16 == 0 {
			most = 3 * block
		}
		for _, kernel := range kernels {
			inputs, blur, statistic := pairOf(r, kernel, most), 0.3+r.Float64(), Statistic(r.IntN(2))
			got := losstest.Outcome(t, discrepancy(kernel, blur, statistic), inputs).Value
			want := brute(inputs["source"].(*losses.Measure), inputs["target"].(*losses.Measure), kernel, blur, statistic)
			// Sums of at most 290² products of masses up to 1.5 and kernels up to 10, with an error of 1e-14 for points that are offset by 100.
			if math.Abs(got-want) > 1e-12 {
				t.Errorf("seed %d, %v, statistic %d: got %v, want %v", seed, kernel, statistic, got, want)
			}
		}
	}
}

// Every gradient is that of central differences of order 4.
func TestGradientsAreFiniteDifferences(t *testing.T) {
	for seed := range uint64(12) {
		for _, kernel := range kernels {
			for _, statistic := range []Statistic{U, V} {
				r := losstest.Random(seed)
				inputs, blur := pairOf(r, kernel, 60), 0.5+r.Float64()
				loss := discrepancy(kernel, blur, statistic)
				if seed%2 == 1 {
					loss.Convention = Half
				}
				separate(inputs)
				for _, name := range []string{"source.points", "target.points", "source.weights", "target.weights"} {
					checkGradient(t, r, loss, inputs, name, fmt.Sprintf("seed %d, %v, statistic %d", seed, kernel, statistic))
				}
			}
		}
	}
}

// separate moves points apart that are in the same place, where no kernel with a tip has a derivative.
func separate(inputs losses.Inputs) {
	for _, in := range inputs {
		if m, ok := in.(*losses.Measure); ok {
			for k, d := 0, m.Points.Shape[1]; k < d; k++ {
				m.Points.F64[k] += 0.5
			}
		}
	}
}

// checkGradient compares along a random direction; of the energy's weights one that keeps the mass.
func checkGradient(t *testing.T, r *rand.Rand, loss losses.Loss, inputs losses.Inputs, name, what string) {
	t.Helper()
	x := losstest.Tensor(inputs, name)
	direction := losstest.Unit(r, x.Len())
	step := 2e-4
	if name == "source.weights" || name == "target.weights" {
		keep := x.Float64s()
		direction = losstest.UnitBalanced(r, keep)
		if d, ok := loss.(Discrepancy); !ok || d.Kernel != Energy {
			for i, w := range keep {
				direction[i] += 0.3 * w // of any mass
			}
		}
		step = 1e-4 / float64(len(keep)) // weights stay positive
	}
	analytic, numeric := losstest.Directional(t, loss, inputs, name, direction, step)
	// The truncation is step⁴ times a fifth derivative of order 1/blur⁵, the rounding 1e-15 over the step.
	if scale := math.Max(math.Abs(numeric), 1e-3); math.Abs(analytic-numeric) > 1e-6*scale {
		t.Errorf("%s, %s: analytic %v, numeric %v", what, name, analytic, numeric)
	}
}
