package sinkhorn_test

import (
	"math"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sinkhorn"
)

// unequal is a random problem whose masses differ.
func unequal(seed uint64, n, m, d int) losses.Inputs {
	in := pair(seed, n, m, d, 1)
	y := in["y"].(*losses.Measure)
	for i := range y.Weights.F64 {
		y.Weights.F64[i] *= 1.7
	}
	return in
}

// Between Diracs of masses α and β the plan is one number p. OT = min pc + ε(p log(p/αβ) - p + αβ) + ρ(p log(p/α) - p + α) + ρ(p log(p/β) - p + β) has its
// minimum at log p = ((ε+ρ) log αβ - c)/(ε+2ρ).
func TestUnbalancedDiracs(t *testing.T) {
	for _, tt := range []struct{ alpha, beta, epsilon, rho float64 }{{1, 1, 0.5, 2}, {2, 0.3, 0.1, 1}, {1e-3, 5, 3, 0.2}, {1, 1, 1, 100}} {
		in := losses.Inputs{"x": losstest.Weighted([]float64{0}, []float64{tt.alpha}), "y": losstest.Weighted([]float64{2}, []float64{tt.beta})}
		ot := func(c, a, b float64) float64 {
			p := math.Exp(((tt.epsilon+tt.rho)*math.Log(a*b) - c) / (tt.epsilon + 2*tt.rho))
			kl := func(p, q float64) float64 { return p*math.Log(p/q) - p + q }
			return p*c + tt.epsilon*kl(p, a*b) + tt.rho*(kl(p, a)+kl(p, b))
		}
		masses := tt.alpha - tt.beta
		want := ot(2, tt.alpha, tt.beta) - ot(0, tt.alpha, tt.alpha)/2 - ot(0, tt.beta, tt.beta)/2 + tt.epsilon/2*masses*masses
		d := divergence(precise(tt.epsilon))
		d.Rho, d.Tolerance = &tt.rho, losstest.Ptr(1e-14)
		o := losstest.Outcome(t, d, in)
		// The sums cancel: they are relative to costs, temperature and ρ times the masses.
		if slack := 1e-13 * (2 + tt.epsilon + tt.rho) * 5; math.Abs(o.Value-want) > slack {
			t.Errorf("%+v: got %v, want %v (%+v)", tt, o.Value, want, *o.Solve)
		}
		d.Debias = sinkhorn.None
		o = losstest.Outcome(t, d, in)
		if slack := 1e-13 * (2 + tt.epsilon + tt.rho) * 5; math.Abs(o.Value-ot(2, tt.alpha, tt.beta)) > slack {
			t.Errorf("%+v without self terms: got %v, want %v", tt, o.Value, ot(2, tt.alpha, tt.beta))
		}
	}
}

// T14, unbalanced.
func TestT14UnbalancedGradientsByFiniteDifferences(t *testing.T) {
	r := losstest.Random(12)
	in := unequal(50, 8, 9, 2)
	zero := in["x"].(*losses.Measure).Weights.F64
	zero[3] = 0
	for _, cost := range []losses.Cost{losses.HalfSquaredEuclidean, losses.SquaredEuclidean, losses.Euclidean} {
		for _, debias := range []sinkhorn.Debias{sinkhorn.Self, sinkhorn.None} {
			d := divergence(precise(0.7))
			d.Cost, d.Debias, d.Rho, d.Tolerance = cost, debias, losstest.Ptr(1.3), losstest.Ptr(1e-13)
			for _, name := range []string{"x.points", "y.points", "x.weights", "y.weights"} {
				tensor := losstest.Tensor(in, name)
				direction, h := losstest.Unit(r, tensor.Len()), step
				if len(tensor.Shape) == 1 { // the mass may change; a weight of 0 may not fall
					h = 1e-3 * floor(tensor.F64)
					for i, w := range tensor.F64 {
						if w == 0 {
							direction[i] = 0
						}
					}
				}
				analytic, numeric := losstest.Directional(t, d, in, name, direction, h)
				if math.Abs(analytic-numeric) > differenceSlop*max(1, step/h)*(1+math.Abs(numeric)) {
					t.Errorf("%v, %v, %s: got %v, by differences %v", cost, debias, name, analytic, numeric)
				}
			}
		}
	}
}

// At a point of weight 0 the derivative in the weight is one-sided and still that of the formula.
func TestUnbalancedDerivativeAtAWeightOfZero(t *testing.T) {
	in := unequal(51, 6, 7, 2)
	w := in["x"].(*losses.Measure).Weights.F64
	w[2] = 0
	d := divergence(precise(0.7))
	d.Rho, d.Tolerance = losstest.Ptr(1.3), losstest.Ptr(1e-13)
	result := losstest.Evaluate(t, d, in, "x.weights")
	got := result.Gradients[losses.Ref{Input: "x", Field: "weights"}].F64[2]
	const h = 1e-6
	w[2] = h
	// One-sided: the truncation is h times a second derivative of the order of 1.
	if numeric := (losstest.Outcome(t, d, in).Value - result.Value) / h; math.Abs(got-numeric) > 1e-5 {
		t.Errorf("got %v, by differences %v", got, numeric)
	}
}

// A strong enough ρ is a constraint: for equal masses the unbalanced value lacks what leaving mass would save, of the order of (potentials)²/ρ.
func TestStrongMarginalsAreBalanced(t *testing.T) {
	in := pair(52, 20, 25, 3, 1)
	balanced := losstest.Outcome(t, divergence(precise(0.5)), in)
	for _, rho := range []float64{1e3, 1e5} {
		d := divergence(precise(0.5))
		d.Rho = &rho
		o := losstest.Outcome(t, d, in)
		if diff := balanced.Value - o.Value; diff < -1e-9 || diff > 20/rho {
			t.Errorf("ρ = %v: got %v, balanced %v", rho, o.Value, balanced.Value)
		}
	}
}

// S ≥ 0 and S(a,a) = 0, unbalanced too (Séjourné et al. 2019, theorem 4), so an interval never lies below 0.
func TestUnbalancedIsPositive(t *testing.T) {
	for seed := range uint64(30) {
		r := losstest.Random(300 + seed)
		in := unequal(400+seed, 1+r.IntN(25), 1+r.IntN(25), 1+r.IntN(10))
		d := divergence(nil)
		d.Reach = losstest.Ptr(math.Exp(r.NormFloat64()))
		if o := losstest.Outcome(t, d, in); o.Interval == nil || o.Interval.Upper < 0 {
			t.Errorf("seed %d: %v is all below 0", seed, o.Interval)
		}
		contains(t, "S(a,a)", losstest.Outcome(t, d, losses.Inputs{"x": in["x"], "y": in["x"]}), 0)
	}
}

// What is out of reach is left: a far cluster of mass pulls at nothing.
func TestReach(t *testing.T) {
	in := losses.Inputs{
		"x": losstest.Weighted([]float64{0, 100}, []float64{1, 1}),
		"y": losstest.Weighted([]float64{0.5}, []float64{1}),
	}
	d := divergence(func(d *sinkhorn.Divergence) { d.Reach, d.Blur = losstest.Ptr(1), losstest.Ptr(0.1) })
	g := losstest.Evaluate(t, d, in, "x.points").Gradients[losses.Ref{Input: "x", Field: "points"}].F64
	if g[0] >= 0 || math.Abs(g[1]) > 1e-12 {
		t.Errorf("gradient %v, want a pull at the near point and none at the far one", g)
	}
}

func TestUnbalancedUnits(t *testing.T) {
	in := unequal(53, 12, 10, 2)
	half := losstest.Outcome(t, divergence(func(d *sinkhorn.Divergence) { d.Epsilon, d.Rho = losstest.Ptr(0.5), losstest.Ptr(2) }), in)
	full := losstest.Outcome(t, divergence(func(d *sinkhorn.Divergence) {
		d.Epsilon, d.Rho, d.Cost = losstest.Ptr(1), losstest.Ptr(4), losses.SquaredEuclidean
	}), in)
	if full.Value != 2*half.Value {
		t.Errorf("got %v, want twice %v", full.Value, half.Value)
	}
	reach := losstest.Outcome(t, divergence(func(d *sinkhorn.Divergence) {
		d.Epsilon, d.Reach, d.Cost = losstest.Ptr(1), losstest.Ptr(2), losses.SquaredEuclidean
	}), in)
	if reach.Value != full.Value {
		t.Errorf("reach 2: got %v, want that of ρ = 4, %v", reach.Value, full.Value)
	}
	for field, d := range map[string]sinkhorn.Divergence{
		"reach": divergence(func(d *sinkhorn.Divergence) { d.Reach, d.Rho = losstest.Ptr(1), losstest.Ptr(1) }),
		"rho":   divergence(func(d *sinkhorn.Divergence) { d.Rho = losstest.Ptr(-1) }),
	} {
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: d}}}.Bind(in, 0)
		if bad, ok := err.(*losses.InputError); !ok || bad.Field != "objective.terms[0].sinkhorn."+field {
			t.Errorf("got %v, want an error at %s", err, field)
		}
	}
}
