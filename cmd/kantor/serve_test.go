package main

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestCollectionsArePacedUnlessToldOtherwise(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", "")
			t.Setenv("GOMEMLIMIT", "")
			t.Setenv(name, "100")
			if ballast := paceCollections(0); ballast != nil || debug.SetGCPercent(100) != 100 {
				t.Error("it did not decide alone")
			}
		})
	}
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	if got := len(paceCollections(0)); got != ballastBytes {
		t.Errorf("the ballast has %d bytes, want %d", got, ballastBytes)
	}
	// An empty heap grows by this much.
	if percent := debug.SetGCPercent(100); percent*ballastBytes/100 < 30<<20 || percent > 15 {
		t.Errorf("it collects at %d %%, want an eighth that is about 32 MiB of the ballast", percent)
	}
}

// limit sets the memory limit back when a test ends.
func limit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
}

// The limit is nine tenths of what the control group allows, of memory that is taken: the ballast is not. GOMEMLIMIT, where it is set, decides instead.
func TestTheMemoryLimitLeavesRoom(t *testing.T) {
	limit(t)
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	debug.SetMemoryLimit(math.MaxInt64)
	for _, c := range []struct {
		gogc, gomemlimit string
		allowed, want    int64
	}{
		{"", "", 0, math.MaxInt64},
		{"", "1GiB", 1000 << 20, math.MaxInt64},
		{"100", "", 1000 << 20, 900 << 20},
		{"", "", 1000 << 20, 900<<20 + ballastBytes},
		{"", "", math.MaxInt64, 900<<20 + ballastBytes}, // as it was
	} {
		t.Setenv("GOGC", c.gogc)
		t.Setenv("GOMEMLIMIT", c.gomemlimit)
		paceCollections(c.allowed)
		if got := debug.SetMemoryLimit(-1); got != c.want {
			t.Errorf("%+v: the limit is %d", c, got)
		}
	}
}
