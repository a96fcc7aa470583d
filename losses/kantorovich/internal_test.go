package kantorovich

import (
	"math"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/exact"
)

// The sizes alone decide, also where their product does not fit: 2^26 pairs are solved exactly, and any number on a line.
func TestAutoGoesBySizes(t *testing.T) {
	for _, tt := range []struct {
		n, m, d int
		exact   bool
	}{
		{8192, 8192, 2, true}, {8192, 8193, 2, false}, {1, 1 << 26, 3, true}, {1<<26 + 1, 1, 3, false}, {1 << 20, 1 << 20, 1, true},
		{losses.MaxPoints, losses.MaxPoints, 2, false},
	} {
		if got := exactIsAsFast(&losses.Cloud{N: tt.n, D: tt.d}, &losses.Cloud{N: tt.m, D: tt.d}); got != tt.exact {
			t.Errorf("%d and %d points in dimension %d: exact is %v, want %v", tt.n, tt.m, tt.d, got, tt.exact)
		}
	}
}

// The four cross problems count a quarter each, and the other two take half of the other end of their intervals away.
func TestSplitInterval(t *testing.T) {
	p := &divided{ground: ground{scale: 2}}
	solved := [6]*exact.Solution{}
	for i := range solved {
		v := float64(i + 1)
		solved[i] = &exact.Solution{Value: v, Lower: v - 0.25, Upper: v + 0.5}
	}
	// ¼(1+2+3+4) - ½(5+6) = -3, from ¼(10-1) - ½(11+1) = -3.75 to ¼(10+2) - ½(11-½) = -2.25; all of it twice.
	value, interval := p.combine(solved)
	if value != -6 || math.Abs(interval.Lower+7.5) > 1e-13 || math.Abs(interval.Upper+4.5) > 1e-13 || interval.Lower >= -7.5 || interval.Upper <= -4.5 {
		t.Errorf("got %v in %v, want -6 in [-7.5, -4.5] and a little more", value, *interval)
	}
}
