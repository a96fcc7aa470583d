package faults

import (
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	full  = flag.Bool("full", false, "run the matrix with processes, and write out/faults.csv")
	write = flag.Bool("write", false, "write docs/reliability.md")
	only  = flag.String("fault", "", "run only the faults whose name begins so")
)

const (
	page   = "../docs/reliability.md"
	table  = "../out/faults.csv"
	python = "../.venv/bin/python"
)

// tries is how often a probe is repeated that came out above its bound. The least counts: what else runs on the machine adds to it, and never takes away.
const tries = 3

// TestMatrix breaks everything in both calls, as processes. It takes minutes, most of them for the keepalive to find out.
func TestMatrix(t *testing.T) {
	if !*full {
		t.Log("without -full; TestInProcess is its short form")
		return
	}
	binary := build(t)
	undisturbed := map[bool][]string{false: undisturbed(t, binary, false), true: undisturbed(t, binary, true)}
	rows := [][]string{{"fault", "call", "steps", "calls", "trainer_seconds", "amount", "bound", "unit", "saw"}}
	for _, f := range faults {
		if !strings.HasPrefix(f.name, *only) {
			continue
		}
		for _, call := range []string{unary, stream} {
			t.Run(f.name+"/"+call, func(t *testing.T) { rows = append(rows, runCell(t, binary, f, call, undisturbed)) })
		}
	}
	if t.Failed() || *only != "" {
		return
	}
	writeTable(t, rows)
	if *write {
		if err := os.WriteFile(page, []byte(render()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// runCell runs a cell, holds it to what it has to give, and returns its row of the table.
func runCell(t *testing.T, binary string, f fault, call string, undisturbed map[bool][]string) []string {
	begin := time.Now()
	steps, calls := runTrainer(t, binary, f, call, undisturbed)
	seconds := time.Since(begin).Seconds()
	best := runProbe(t, binary, f, call)
	want := f.want[call]
	if steps != want.steps {
		t.Errorf("the trainer's steps: %s, want %s", steps, want.steps)
	}
	if best.saw != want.saw {
		t.Errorf("a client that makes no call again saw %s, want %s", best.saw, want.saw)
	}
	if best.amount > f.most.amount {
		t.Errorf("the server: %.1f, want at most %g %s", best.amount, f.most.amount, f.most.unit)
	}
	t.Logf("%s; %d calls in %.1f s; the server: %.1f of at most %g %s; seen: %s",
		steps, calls, seconds, best.amount, f.most.amount, f.most.unit, best.saw)
	return []string{f.name, call, steps, fmt.Sprint(calls), fmt.Sprintf("%.2f", seconds),
		fmt.Sprintf("%.2f", best.amount), fmt.Sprint(f.most.amount), f.most.unit, best.saw}
}

// runTrainer has a trainer meet the fault, and returns what became of its steps and how many calls it made for them.
func runTrainer(t *testing.T, binary string, f fault, call string, undisturbed map[bool][]string) (string, int64) {
	t.Helper()
	s := staged(t, binary, call, f)
	p := plan{Address: s.proxy.Address(), Call: call, Steps: steps, At: faultAt}
	if f.plan != nil {
		f.plan(&p)
	}
	trainer, err := startTrainer(python, p)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.kill()
	if err := trainer.untilFault(); err != nil {
		t.Fatal(err)
	}
	if f.arm != nil {
		f.arm(s)
	}
	if err := trainer.goOn(); err != nil {
		t.Fatal(err)
	}
	if f.strike != nil {
		if err := f.strike(s, trainer); err != nil {
			t.Fatal(err)
		}
	}
	if err := trainer.finish(); err != nil {
		t.Fatal(err)
	}
	became, err := account(trainer.told, undisturbed[p.Large])
	if err != nil {
		t.Error(err)
	}
	return became, s.calls.Load()
}

// runProbe has a client meet the fault that makes no call again, and returns the least that the server did after it.
func runProbe(t *testing.T, binary string, f fault, call string) measured {
	t.Helper()
	var best measured
	for try := range tries {
		m, err := func() (measured, error) {
			s := staged(t, binary, call, f)
			return f.probe(s)
		}()
		if err != nil {
			t.Fatal(err)
		}
		if try == 0 || m.amount < best.amount {
			best = m
		}
		if best.amount <= f.most.amount {
			break
		}
	}
	return best
}

// staged sets a stage up for the test.
func staged(t *testing.T, binary, call string, f fault) *stage {
	t.Helper()
	s, err := setUp(binary, call, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.tearDown(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// build builds the server with what makes an evaluation panic, which no released one has and nothing on the wire reaches.
func build(t *testing.T) string {
	t.Helper()
	binary, err := filepath.Abs("../out/faults/kantor")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-tags", "faultinjection", "-o", binary, "../cmd/kantor").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// undisturbed returns the bits of each step where nothing breaks, which are the same by either call; with or without one that is large.
func undisturbed(t *testing.T, binary string, large bool) []string {
	t.Helper()
	var runs [2][]string
	for i, call := range []string{unary, stream} {
		s := staged(t, binary, call, fault{})
		trainer, err := startTrainer(python, plan{Address: s.server.address, Call: call, Steps: steps, At: faultAt, Large: large})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(trainer.untilFault(), trainer.goOn(), trainer.finish()); err != nil {
			t.Fatal(err)
		}
		for step, line := range trainer.told {
			if line.Step != step || line.Bits == "" {
				t.Fatalf("undisturbed, step %d: %+v", step, line)
			}
			runs[i] = append(runs[i], line.Bits)
		}
	}
	if len(runs[0]) != steps || !slices.Equal(runs[0], runs[1]) {
		t.Fatalf("%d and %d steps, or other bits by the stream", len(runs[0]), len(runs[1]))
	}
	return runs[0]
}

func writeTable(t *testing.T, rows [][]string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(table), 0o777); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(table)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := csv.NewWriter(file).WriteAll(rows); err != nil {
		t.Fatal(err)
	}
}

var _ = context.Background

func render() string { return "" }
