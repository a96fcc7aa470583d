package kantorovich_test

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/stat"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kantorovich"
)

// Row T21: W1 of two samples of n points from the uniform distribution on a cube falls like n^(-1/D) (Fournier and Guillin 2015, theorem 1), to 0. Over n from
// 64 to 1024 the slope of its logarithm is a little steeper than that, -0.22 in 5 dimensions and -0.13 in 10, to 0.02.
func TestT21RatesOfW1(t *testing.T) {
	for _, tt := range []struct {
		d     int
		slope float64
	}{{5, -0.22}, {10, -0.13}} {
		var sizes, values []float64
		for n := 64; n <= 1024; n *= 2 {
			mean, repeats := 0.0, max(1, 512/n) // small samples vary more
			for k := range repeats {
				r := losstest.Random(uint64(4000 + 100*n + k))
				sample := func() *losses.Measure {
					x := make([]float64, n*tt.d)
					for i := range x {
						x[i] = r.Float64()
					}
					return &losses.Measure{Points: losses.NewArray(x, n, tt.d)}
				}
				mean += losstest.Outcome(t, by(kantorovich.Exact), pair(sample(), sample())).Value / float64(repeats)
			}
			sizes, values = append(sizes, math.Log(float64(n))), append(values, math.Log(mean))
		}
		_, slope := stat.LinearRegression(sizes, values, nil, false)
		if math.Abs(slope-tt.slope) > 0.02 {
			t.Errorf("in %d dimensions the slope is %.3f, want %v", tt.d, slope, tt.slope)
		}
		t.Logf("in %d dimensions the slope is %.3f", tt.d, slope)
	}
}
