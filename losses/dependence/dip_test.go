package dependence

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"kantor/losses"
	"kantor/losses/internal/losstest"
)

// cross is 2D means, ±√D along each axis, whose covariance is I.
func cross(d int, logVariance float64) losses.Inputs {
	mean, spread := make([]float64, 2*d*d), make([]float64, 2*d*d)
	for k := range d {
		mean[2*k*d+k], mean[(2*k+1)*d+k] = math.Sqrt(float64(d)), -math.Sqrt(float64(d))
	}
	for i := range spread {
		spread[i] = logVariance
	}
	return losses.Inputs{"posterior": &losses.Gaussian{Mean: losses.NewArray(mean, 2*d, d), LogVariance: losses.NewArray(spread, 2*d, d)}}
}

func TestDipOfKnownCovariances(t *testing.T) {
	for _, d := range []int{1, 2, 5} {
		for name, c := range map[string]struct {
			loss Dip
			want float64
		}{
			"I":              {Dip{}, 0},
			"II":             {Dip{Moments: OfCodes}, float64(d) * 0.25}, // variances of ½ more than I
			"II, diagonal 3": {Dip{Moments: OfCodes, Diagonal: losstest.Ptr(3)}, float64(d) * 0.75},
		} {
			c.loss.Posterior = "posterior"
			if got := losstest.Outcome(t, c.loss, cross(d, math.Log(0.5))).Value; math.Abs(got-c.want) > 1e-13*float64(d) {
				t.Errorf("%s, dimension %d: %v, want %v", name, d, got, c.want)
			}
		}
	}
	// The rows ±(1, 2) have the covariance [[1,2],[2,4]]: 8 off the diagonal, 0 + 9 on it.
	pair := losses.Inputs{"posterior": &losses.Gaussian{Mean: losses.NewArray([]float64{1, 2, -1, -2}, 2, 2), LogVariance: losses.NewArray(make([]float64, 4), 2, 2)}}
	for want, loss := range map[float64]Dip{
		8 + 90: {}, 8 + 9: {Diagonal: losstest.Ptr(1)}, 80 + 9: {OffDiagonal: losstest.Ptr(10), Diagonal: losstest.Ptr(1)}, 9: {OffDiagonal: losstest.Ptr(0), Diagonal: losstest.Ptr(1)},
	} {
		loss.Posterior = "posterior"
		if got := losstest.Outcome(t, loss, pair).Value; math.Abs(got-want) > 1e-12 {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

func TestDipGradientsByFiniteDifferences(t *testing.T) {
	for _, loss := range []Dip{{}, {Moments: OfCodes}, {OffDiagonal: losstest.Ptr(2), Diagonal: losstest.Ptr(0.3), Moments: OfCodes}} {
		loss.Posterior = "posterior"
		for _, shape := range [][2]int{{2, 1}, {9, 4}, {30, 3}} {
			inputs := losses.Inputs{"posterior": drawn(uint64(shape[0]), shape[0], shape[1])["posterior"]}
			for _, tensor := range []string{"posterior.mean", "posterior.log_variance"} {
				analytic, numeric := losstest.Directional(t, loss, inputs, tensor, losstest.Unit(losstest.Random(1), shape[0]*shape[1]), 1e-3)
				if math.Abs(analytic-numeric) > 1e-8*max(1, math.Abs(numeric)) {
					t.Errorf("%v %v %s: gradient %v, finite differences %v", loss.Moments, shape, tensor, analytic, numeric)
				}
			}
		}
	}
}

// A common offset, however large, is none of the covariance's business, and neither is the order of the rows.
func TestDipOfMovedMeans(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n, d := rapid.IntRange(2, 20).Draw(rt, "n"), rapid.IntRange(1, 5).Draw(rt, "d")
		seed := rapid.Uint64().Draw(rt, "seed")
		inputs := losses.Inputs{"posterior": drawn(seed, n, d)["posterior"]}
		moved := losses.Inputs{"posterior": drawn(seed, n, d)["posterior"]}
		mean := losstest.Tensor(moved, "posterior.mean").F64
		for i := range mean {
			mean[i] += 1 << 20 // a power of two: what rounding the sum loses is ulp(2^20), 2^-32
		}
		loss := Dip{Posterior: "posterior"}
		before, after := losstest.Outcome(t, loss, inputs).Value, losstest.Outcome(t, loss, moved).Value
		if math.Abs(before-after) > 1e-7*(1+before) {
			rt.Errorf("%v became %v", before, after)
		}
	})
}

// Squares that overflow make it +Inf, with a warning and gradients of 0.
func TestDipOverflows(t *testing.T) {
	inputs := cross(2, 0)
	losstest.Tensor(inputs, "posterior.mean").F64[0] = 1e200
	result := losstest.Evaluate(t, Dip{Posterior: "posterior"}, inputs, "posterior.mean", "posterior.log_variance")
	if !math.IsInf(result.Value, 1) || len(result.Terms[0].Warnings) != 1 || result.Terms[0].Warnings[0].Code != losses.InfiniteValue {
		t.Errorf("value %v, warnings %v, want +Inf and INFINITE_VALUE", result.Value, result.Terms[0].Warnings)
	}
	for ref, gradient := range result.Gradients {
		for _, v := range gradient.F64 {
			if v != 0 {
				t.Errorf("%v has %v, want 0", ref, v)
			}
		}
	}
}
