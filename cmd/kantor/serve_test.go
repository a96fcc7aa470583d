package main

import (
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
			if ballast := paceCollections(); ballast != nil || debug.SetGCPercent(100) != 100 {
				t.Error("it did not decide alone")
			}
		})
	}
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	if got := len(paceCollections()); got != ballastBytes {
		t.Errorf("the ballast has %d bytes, want %d", got, ballastBytes)
	}
	// An empty heap grows by this much.
	if percent := debug.SetGCPercent(100); percent*ballastBytes/100 < 30<<20 || percent > 15 {
		t.Errorf("it collects at %d %%, want an eighth that is about 32 MiB of the ballast", percent)
	}
}
