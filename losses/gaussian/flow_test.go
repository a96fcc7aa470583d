package gaussian_test

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"kantor/losses"
	"kantor/losses/gaussian"
	"kantor/losses/internal/losstest"
	"kantor/losses/kl"
	"kantor/losses/sliced"
)

// line is N(0, σ²).
func line(sigma float64) *losses.Gaussian {
	return axes(1, 1, []float64{0}, []float64{2 * math.Log(sigma)})
}

// slope is the derivative of W2²(N(0,to²), N(0,from²)) in the logarithm of to².
func slope(t *testing.T, to, from float64) float64 {
	t.Helper()
	in := losses.Inputs{"q": line(to), "p": line(from)}
	return losstest.Evaluate(t, between, in, "q.log_variance").Gradients[losses.Ref{Input: "q", Field: "log_variance"}].F64[0]
}

// Row T18 of docs/mathematics.md: the heat equation is the steepest descent of ∫ρ log ρ in W2 (Jordan, Kinderlehrer, Otto 1998). Of N(0, σ²) that functional
// is -log σ and a constant, so its slope in log σ² is -½ and a step of length τ ends where the loss's own is τ: at σ' = (σ+√(σ²+4τ))/2. Steps of τ → 0
// arrive at variance 1+2t.
func TestT18HeatIsTheFlowOfEntropy(t *testing.T) {
	const end = 1.0
	flow := func(steps int) float64 {
		sigma, tau := 1.0, end/float64(steps)
		for range steps {
			next := (sigma + math.Sqrt(sigma*sigma+4*tau)) / 2
			if got := slope(t, next, sigma) / (2 * tau); math.Abs(got-0.5) > 1e-12/tau {
				t.Fatalf("from %v to %v in %v: the slope of the distance is %v, want ½", sigma, next, tau, got)
			}
			sigma = next
		}
		return sigma * sigma
	}
	coarse, fine := flow(50), flow(100)
	// First order: half the step, half the error, and the rest is of the second.
	if want := 1 + 2*end; math.Abs(fine-want) > 0.02 || math.Abs(2*fine-coarse-want) > 0.001 {
		t.Errorf("variances %v and %v after %v, want %v", coarse, fine, end, want)
	}
	// Particles that jitter by √(2dt) have the same law; the loss knows that from their moments. Its root is below the standard errors of the mean and the
	// deviation of so many, √(3/N) and √(3/2N), four times.
	r := losstest.Random(40)
	const particles, steps = 5000, 20
	x := losstest.Normal(r, particles, 1, 1, 0)
	for range steps {
		for i := range x.F64 {
			x.F64[i] += math.Sqrt(2*end/steps) * r.NormFloat64()
		}
	}
	got := losstest.Evaluate(t, between, losses.Inputs{"q": &losses.Measure{Points: x}, "p": line(math.Sqrt(1 + 2*end))}).Value
	if limit := 16 * (3. + 1.5) / particles; got > limit {
		t.Errorf("particles are %v from N(0, 3), want at most %v", got, limit)
	}
}

// Row T19 of docs/mathematics.md: with a potential ½x² the flow is that of Fokker and Planck, dσ²/dt = 2 - 2σ², which from σ = 2 is at 1+3e^-2 after a time
// of 1. What it descends, ∫ρ log ρ + ∫½x²ρ, is the divergence from N(0,1) and a constant: it falls at every step.
func TestT19FokkerPlanckDescendsTheFreeEnergy(t *testing.T) {
	energy := func(sigma float64) float64 {
		return losstest.Evaluate(t, kl.Gaussian{Posterior: "q"}, losses.Inputs{"q": line(sigma)}).Value
	}
	flow := func(steps int) float64 {
		sigma, tau := 2.0, 1/float64(steps)
		for range steps {
			next := (sigma + math.Sqrt(sigma*sigma+4*tau*(1+tau))) / (2 * (1 + tau))
			// Stationary: the loss's slope is that of the free energy, -½ + ½σ'², backwards.
			if got, want := slope(t, next, sigma)/(2*tau), 0.5-0.5*next*next; math.Abs(got-want) > 1e-12/tau {
				t.Fatalf("from %v to %v: the slope of the distance is %v, want %v", sigma, next, got, want)
			}
			if energy(next) >= energy(sigma) {
				t.Fatalf("the free energy went from %v to %v", energy(sigma), energy(next))
			}
			sigma = next
		}
		return sigma * sigma
	}
	coarse, fine := flow(50), flow(100)
	if want := 1 + 3*math.Exp(-2); math.Abs(fine-want) > 0.02 || math.Abs(2*fine-coarse-want) > 0.001 {
		t.Errorf("variances %v and %v, want %v", coarse, fine, want)
	}
}

// Row T18b of docs/mathematics.md: differential entropy is not invariant under a change of units, h(10X) = h(X) + ln 10, divergences are, and transport is in
// the units themselves. The entropy of a Gaussian is ½ln 2π + ½E x² less its divergence from N(0,1); that of the uniform law is the logarithm of its width.
func TestT18bEntropyAndUnits(t *testing.T) {
	divergence := func(q, p *losses.Gaussian) float64 {
		return losstest.Evaluate(t, kl.Gaussian{Posterior: "q", Prior: "p"}, losses.Inputs{"q": q, "p": p}).Value
	}
	entropy := func(sigma float64) float64 {
		return 0.5*math.Log(2*math.Pi) + 0.5*sigma*sigma - divergence(line(sigma), line(1))
	}
	for _, sigma := range []float64{0.3, 1, 2} {
		if got := entropy(10*sigma) - entropy(sigma); math.Abs(got-math.Ln10) > 1e-12 {
			t.Errorf("ten times N(0, %v²) has %v more entropy, want ln 10", sigma, got)
		}
	}
	r := losstest.Random(41)
	q, p := randomAxes(r, 3, 4), randomAxes(r, 3, 4)
	scaled := func(g *losses.Gaussian) *losses.Gaussian {
		out := axes(3, 4, g.Mean.Float64s(), g.LogVariance.Float64s())
		for i := range out.Mean.F64 {
			out.Mean.F64[i] = 10*out.Mean.F64[i] + 5
			out.LogVariance.F64[i] += 2 * math.Ln10
		}
		return out
	}
	if before, after := divergence(q, p), divergence(scaled(q), scaled(p)); math.Abs(after-before) > 1e-13*before {
		t.Errorf("KL is %v, in other units %v", before, after)
	}
	before, after := losstest.Evaluate(t, between, losses.Inputs{"q": q, "p": p}).Value, losstest.Evaluate(t, between, losses.Inputs{"q": scaled(q), "p": scaled(p)}).Value
	if math.Abs(after-100*before) > 1e-12*after {
		t.Errorf("W2² is %v, in units of a tenth %v, want a hundred times that", before, after)
	}
	// The uniform laws on [0,1] and [0,2] by the middles of 1000 parts: W1 = ½ exactly, of [0,10] and [0,20] 5.
	uniform := func(width float64) *losses.Measure {
		x := make([]float64, 1000)
		for i := range x {
			x[i] = width * (float64(i) + 0.5) / 1000
		}
		return &losses.Measure{Points: losses.NewArray(x, 1000, 1)}
	}
	w1 := sliced.Transport{Source: "x", Target: "y", P: losstest.Ptr(1), Directions: 1}
	for _, unit := range []float64{1, 10} {
		if got := losstest.Evaluate(t, w1, losses.Inputs{"x": uniform(unit), "y": uniform(2 * unit)}).Value; math.Abs(got-unit/2) > 1e-13*unit {
			t.Errorf("W1 of uniform laws on [0,%v] and [0,%v] is %v, want %v", unit, 2*unit, got, unit/2)
		}
	}
}

// Row T18c of docs/mathematics.md for Gaussians: on the way along Brenier's map, x -> (1-t)x + tT(x), distances are shares of the whole,
// W2(μ_s, μ_t) = |t-s| W2(μ_0, μ_1) (McCann 1997).
func TestT18cDisplacementInterpolation(t *testing.T) {
	r := losstest.Random(42)
	for _, d := range []int{1, 3, 6} {
		q, p := randomFull(r, 1, d, 2*d), randomFull(r, 1, d, 2*d)
		in := losses.Inputs{"q": q, "p": p}
		brenier := mat.NewDense(d, d, extra(t, in, "map").F64)
		whole := math.Sqrt(losstest.Evaluate(t, between, in).Value)
		at := func(time float64) *losses.Gaussian {
			step, mean := mat.NewDense(d, d, nil), make([]float64, d)
			step.Scale(time, brenier)
			for k := range d {
				step.Set(k, k, step.At(k, k)+1-time)
				mean[k] = (1-time)*q.Mean.F64[k] + time*p.Mean.F64[k]
			}
			return full(1, d, mean, product(step, matrix(q, 0), step).RawMatrix().Data)
		}
		for s := 0.0; s <= 1; s += 0.25 {
			for time := s; time <= 1; time += 0.25 {
				got := math.Sqrt(losstest.Evaluate(t, gaussian.Bures{Posterior: "q", Prior: "p"}, losses.Inputs{"q": at(s), "p": at(time)}).Value)
				if want := (time - s) * whole; math.Abs(got-want) > 1e-9*whole {
					t.Errorf("d = %d: from %v to %v the distance is %v, want %v", d, s, time, got, want)
				}
			}
		}
	}
}

// Row T19 of docs/mathematics.md, with the losses' own gradients: a step of Jordan, Kinderlehrer and Otto from ρ is where W2²(·, ρ)/2τ + KL(·, N(0,I)) is least, two
// terms of one objective. Steps that descent finds arrive where the Fokker-Planck equation of the Ornstein-Uhlenbeck process does: at the mean e^-t m and the
// covariance I + e^-2t (A - I). Each lowers KL by the distance that it pays for.
func TestT19StepsFoundByDescent(t *testing.T) {
	const end = 1.0
	start := full(1, 2, []float64{1, -2}, []float64{3, 1, 1, 0.5})
	flow := func(steps int) (mean, covariance []float64) {
		tau, at := end/float64(steps), start
		for range steps {
			next, paid, left := jkoStep(t, at, tau)
			before := losstest.Evaluate(t, kl.Gaussian{Posterior: "q"}, losses.Inputs{"q": at}).Value
			if !(paid > 0 && paid+left < before) {
				t.Fatalf("KL went from %v to %v, for %v", before, left, paid)
			}
			at = next
		}
		return at.Mean.F64, at.Covariance.F64
	}
	coarseMean, coarse := flow(20)
	fineMean, fine := flow(40)
	decay := math.Exp(-end)
	for k, m := range start.Mean.F64 {
		if got, want := 2*fineMean[k]-coarseMean[k], decay*m; math.Abs(fineMean[k]-want) > 0.02 || math.Abs(got-want) > 0.001 {
			t.Errorf("mean %d: %v, in the limit %v, want %v", k, fineMean[k], got, want)
		}
	}
	for k, a := range start.Covariance.F64 {
		identity := float64(1 - (k+1)/2%2) // 1, 0, 0, 1
		want := identity + decay*decay*(a-identity)
		if got := 2*fine[k] - coarse[k]; math.Abs(fine[k]-want) > 0.02 || math.Abs(got-want) > 0.002 {
			t.Errorf("covariance %d: %v, in the limit %v, want %v", k, fine[k], got, want)
		}
	}
}

// jkoStep is the Gaussian at which W2²(·, from)/2τ + KL(·, N(0,I)) is least, with both terms there. Descent moves mass by the gradient of the first variation:
// with the slopes g in the mean and G in the covariance that is x -> x - η(g + 2G(x-m)), which keeps covariances positive.
func jkoStep(t *testing.T, from *losses.Gaussian, tau float64) (to *losses.Gaussian, paid, left float64) {
	t.Helper()
	objective := losses.Objective{
		Terms:     []losses.Term{{Weight: 0.5 / tau, Loss: gaussian.Bures{Posterior: "q", Prior: "p"}}, {Weight: 1, Loss: kl.Gaussian{Posterior: "q"}}},
		Gradients: []string{"q.mean", "q.covariance"},
	}
	eta := 1 / (1/tau + 8) // the slope of the sum is at most that steep here: 1/τ of the distance, 1 + 1/σ² of KL
	to = from
	for range 1000 {
		result := losstest.EvaluateObjective(t, objective, losses.Inputs{"q": to, "p": from})
		mean := result.Gradients[losses.Ref{Input: "q", Field: "mean"}].F64
		slope := result.Gradients[losses.Ref{Input: "q", Field: "covariance"}].F64
		if floats.Norm(mean, 2)+floats.Norm(slope, 2) < 1e-9 {
			return to, 0.5 / tau * result.Terms[0].Outcomes[0].Value, result.Terms[1].Outcomes[0].Value
		}
		moved, linear := append([]float64(nil), to.Mean.F64...), mat.NewDense(2, 2, append([]float64(nil), slope...))
		floats.AddScaled(moved, -eta, mean)
		linear.Scale(-2*eta, linear)
		for k := range 2 {
			linear.Set(k, k, linear.At(k, k)+1)
		}
		to = full(1, 2, moved, product(linear, matrix(to, 0), linear).RawMatrix().Data)
	}
	t.Fatalf("descent from %v did not end", from)
	return nil, 0, 0
}
