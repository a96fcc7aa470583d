package losses

import (
	"math"
	"slices"
	"testing"
)

// A box holds the points of all clouds that it was widened by, known or not, and no more.
func TestBox(t *testing.T) {
	points := func(values ...float64) *Cloud { return &Cloud{N: len(values) / 2, D: 2, X: values} }
	for _, known := range []bool{false, true} {
		lo, hi := []float64{math.Inf(1), math.Inf(1)}, []float64{math.Inf(-1), math.Inf(-1)}
		for _, c := range []*Cloud{points(0, 5, -1, 7, 2, 6), points(1, 4)} {
			if known {
				c = c.measured()
				c.X = nil // what it knows, it needs no points for
			}
			c.Box(lo, hi)
		}
		if !slices.Equal(lo, []float64{-1, 4}) || !slices.Equal(hi, []float64{2, 7}) {
			t.Errorf("known %v: got %v to %v, want [-1 4] to [2 7]", known, lo, hi)
		}
	}
}
