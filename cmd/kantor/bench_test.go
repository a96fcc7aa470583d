package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"kantor/losses/kernelbench"
)

func benched(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(append([]string{"bench"}, args...), streams{strings.NewReader(""), &stdout, &stderr}); code != 0 {
		t.Fatalf("%v: exit code %d, %s", args, code, stderr.String())
	}
	return stdout.String()
}

// Every implementation of this CPU at every dimension, each with all of its numbers.
func TestBenchKernelHasEveryRow(t *testing.T) {
	var report kernelReport
	if err := json.Unmarshal([]byte(benched(t, "kernel", "--json", "--quick")), &report); err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, name := range kernelbench.Implementations() {
		for _, d := range []int{1, 2, 3, 8, 16, 32, 64, 128} {
			if at == len(report.Kernels) {
				t.Fatalf("%d rows, none for %s at D=%d", at, name, d)
			}
			r := report.Kernels[at]
			if r.Implementation != name || r.D != d || !(r.GpairPerS > 0 && r.PeakGflopPerS > 0 && r.ExpNs > 0 && r.Roofline > 0) {
				t.Errorf("row %d is %+v, want %s at D=%d", at, r, name, d)
			}
			at++
		}
	}
	if at != len(report.Kernels) {
		t.Errorf("%d rows, want %d", len(report.Kernels), at)
	}
}

func TestBenchScalingHasEveryRow(t *testing.T) {
	var report scalingReport
	if err := json.Unmarshal([]byte(benched(t, "scaling", "--json", "--quick")), &report); err != nil {
		t.Fatal(err)
	}
	if report.Processors < 1 || report.D != 32 || len(report.Sizes) != 3 {
		t.Fatalf("got %+v, want three sizes at D=32", report)
	}
	for i, n := range []int{64, 128, 256} {
		if r := report.Sizes[i]; r.N != n || !(r.OneGpairPerS > 0 && r.AllGpairPerS > 0 && r.Speedup > 0) {
			t.Errorf("got %+v, want N=%d", r, n)
		}
	}
}

func TestBenchPrintsTables(t *testing.T) {
	if table := benched(t, "kernel", "--quick"); !strings.Contains(table, "generic") || !strings.Contains(table, "of the roofline") {
		t.Errorf("got %q", table)
	}
	if table := benched(t, "scaling", "--quick"); !strings.Contains(table, "speed-up") {
		t.Errorf("got %q", table)
	}
}
