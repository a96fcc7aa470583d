package dependence

import (
	"math"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sinkhorn"
)

func byTransport(blur float64) TotalCorrelation {
	return TotalCorrelation{Codes: "codes", Estimator: Transported, Blur: &blur}
}

// The permuted codes have the columns of the codes in another order each.
func TestPermutedColumns(t *testing.T) {
	n, d := 50, 3
	codes := &losses.Measure{Points: losstest.Normal(losstest.Random(1), n, d, 1, 0)}
	p := &transported{codes: "codes", n: n, d: d}
	p.permute(losses.Seed{Request: 7, Term: "total_correlation"})
	shuffled := p.target(codes).Points.F64
	together := 0
	for k := range d {
		seen := map[float64]bool{}
		for i := range n {
			seen[codes.Points.F64[i*d+k]] = true
		}
		for i := range n {
			delete(seen, shuffled[i*d+k])
			if k > 0 && p.from[i*d+k] == p.from[i*d] {
				together++
			}
		}
		if len(seen) != 0 {
			t.Errorf("column %d lacks %d of its numbers", k, len(seen))
		}
	}
	// Two random permutations agree in one place on average.
	if together > 20 {
		t.Errorf("%d of %d coordinates still stand with that of the first column", together, n*(d-1))
	}
}

// Codes on the diagonal depend on each other in full; the same numbers in independent order do not.
func TestDependenceIsSeenByTransport(t *testing.T) {
	n := 400
	r := losstest.Random(2)
	joint, apart := make([]float64, 2*n), make([]float64, 2*n)
	order := r.Perm(n)
	for i := range n {
		g := r.NormFloat64()
		joint[2*i], joint[2*i+1] = g, g
		apart[2*i], apart[2*order[i]+1] = g, g
	}
	value := func(points []float64) float64 {
		return losstest.Outcome(t, byTransport(0.3), losses.Inputs{"codes": &losses.Measure{Points: losses.NewArray(points, n, 2)}}).Value
	}
	// Between N(0, [[1,1],[1,1]]) and N(0, I) ½W2² is 2 - √2 = .59.
	dependent, independent := value(joint), value(apart)
	if dependent < 10*independent || dependent > 2-math.Sqrt2 {
		t.Errorf("dependent %v, independent %v, want a tenth of it at most, and .59 at most", dependent, independent)
	}
}

// The codes (0,0) and (1,1) permuted are themselves, or (0,1) and (1,0). Then all pairs cost ½, and a point costs its own measure 0 or 1, so that
// S = ½ + ε ln ½(1 + e^{-1/ε}).
func TestTwoCodes(t *testing.T) {
	codes := losses.Inputs{"codes": &losses.Measure{Points: losses.NewArray([]float64{0, 0, 1, 1}, 2, 2)}}
	loss := byTransport(0.5)
	loss.Tolerance = losstest.Ptr(1e-12)
	epsilon := 0.25
	seen := map[bool]bool{}
	for seed := range uint64(20) {
		e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}}.Bind(codes, seed)
		if err != nil {
			t.Fatal(err)
		}
		result, err := e.Evaluate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := 0.5 + epsilon*math.Log(0.5*(1+math.Exp(-1/epsilon)))
		swapped := result.Value > want/2
		seen[swapped] = true
		if !swapped {
			want = 0
		}
		if math.Abs(result.Value-want) > 1e-12 {
			t.Errorf("seed %d: %v, want %v", seed, result.Value, want)
		}
	}
	if len(seen) != 2 {
		t.Errorf("of 20 seeds all or none swap the second column")
	}
}

// Of one axis a permutation is the same measure.
func TestOneAxisHasNoCorrelation(t *testing.T) {
	outcome := losstest.Outcome(t, byTransport(0.5), losses.Inputs{"codes": &losses.Measure{Points: losstest.Normal(losstest.Random(3), 40, 1, 1, 0)}})
	if !(outcome.Interval.Lower <= 0 && outcome.Interval.Upper >= 0) {
		t.Errorf("the interval [%v, %v] does not contain 0", outcome.Interval.Lower, outcome.Interval.Upper)
	}
}

func TestTransportedGradientsByFiniteDifferences(t *testing.T) {
	for _, debias := range []sinkhorn.Debias{sinkhorn.Self, sinkhorn.None, sinkhorn.Split} {
		loss := byTransport(0.8)
		loss.Debias, loss.Tolerance = &debias, losstest.Ptr(1e-12)
		inputs := losses.Inputs{"codes": &losses.Measure{Points: losstest.Normal(losstest.Random(4), 12, 3, 1, 0)}}
		analytic, numeric := losstest.Directional(t, loss, inputs, "codes.points", losstest.Unit(losstest.Random(5), 36), 1e-3)
		if math.Abs(analytic-numeric) > 1e-6*max(1, math.Abs(numeric)) {
			t.Errorf("debias %v: gradient %v, finite differences %v", debias, analytic, numeric)
		}
	}
}
