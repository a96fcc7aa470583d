package kantorovich

import (
	"testing"

	"kantor/losses"
)

// The sizes alone decide, also where their product does not fit: 2^24 pairs are solved exactly, and any number on a line.
func TestAutoGoesBySizes(t *testing.T) {
	for _, tt := range []struct {
		n, m, d int
		exact   bool
	}{
		{4096, 4096, 2, true}, {4096, 4097, 2, false}, {1, 1 << 24, 3, true}, {1<<24 + 1, 1, 3, false}, {1 << 20, 1 << 20, 1, true},
		{losses.MaxPoints, losses.MaxPoints, 2, false},
	} {
		if got := exactIsAsFast(&losses.Cloud{N: tt.n, D: tt.d}, &losses.Cloud{N: tt.m, D: tt.d}); got != tt.exact {
			t.Errorf("%d and %d points in dimension %d: exact is %v, want %v", tt.n, tt.m, tt.d, got, tt.exact)
		}
	}
}
