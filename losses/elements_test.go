package losses

import (
	"math"
	"testing"
)

// One number that is not finite shows wherever it is, and numbers whose sum overflows are finite still.
func TestFinite(t *testing.T) {
	for n := range 10 {
		single, double := make([]float32, n), make([]float64, n)
		for i := range n {
			single[i], double[i] = math.MaxFloat32, -math.MaxFloat64
		}
		if !finite(single) || !finite(double) {
			t.Errorf("%d of the largest numbers are not finite", n)
		}
		for i := range n {
			for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				kept32, kept64 := single[i], double[i]
				single[i], double[i] = float32(bad), bad
				if finite(single) || finite(double) {
					t.Errorf("%v at %d of %d goes unnoticed", bad, i, n)
				}
				single[i], double[i] = kept32, kept64
			}
		}
	}
}
