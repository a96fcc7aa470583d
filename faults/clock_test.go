package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An hour is more than any timeout of the server's or the client's.
const clockStep = time.Hour

// stepping is added to package time in a build of the server whose wall clock can be set, as an administrator or NTP sets that of a machine, while its
// monotonic clock goes on. The machine's own clock is other people's, and what runs on it cannot be given another.
const stepping = `package time

import "syscall"

// step is an hour, in seconds, while there is a file $KANTOR_FAULT_CLOCK; back where its name ends so.
func step() int64 {
	path, ok := syscall.Getenv("KANTOR_FAULT_CLOCK")
	if !ok || syscall.Access(path, 0) != nil {
		return 0
	}
	if len(path) > 5 && path[len(path)-5:] == ".back" {
		return -3600
	}
	return 3600
}
`

// buildStepping builds the server over a copy of package time that asks for the step wherever it asks for the time.
func buildStepping(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	now, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const ask = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if bytes.Count(now, []byte(ask)) != 1 {
		t.Fatalf("%s/time.go does not ask for the time as it used to, by %q", source, ask)
	}
	directory := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(source, "time.go"): write("time.go", bytes.Replace(now, []byte(ask), []byte(ask+"\tsec += step()\n"), 1)),
		filepath.Join(source, "step.go"): write("step.go", []byte(stepping)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return goBuild(t, "kantor-clock", "-overlay", write("overlay.json", overlay))
}

// steppedClock is a row for a clock that is set; name is the direction.
func steppedClock(direction string) fault {
	return fault{
		name:  "clock step, " + direction,
		done:  "the wall clock is set by an hour before the step; while it computes, with a deadline of a second",
		want:  both(allAnswered, "DeadlineExceeded"),
		most:  stopsWithin10ms,
		clock: direction,
		arm:   func(s *stage) { s.fail(s.setClock()) },
		probe: func(s *stage) (measured, error) {
			m, err := s.untilDeadline(s.setClock)
			return m, errors.Join(err, s.clockWasSet())
		},
	}
}

func (s *stage) clockFile() string { return filepath.Join(s.directory, "clock."+s.clock) }

// setClock sets the server's wall clock.
func (s *stage) setClock() error { return os.WriteFile(s.clockFile(), nil, 0o600) }

// clockWasSet makes sure that the server's log tells the time of the clock that was set.
func (s *stage) clockWasSet() error {
	s.server.stop()
	lines := strings.Split(strings.TrimSpace(s.server.log.String()), "\n")
	var last struct{ Time time.Time }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		return err
	}
	if off := time.Since(last.Time).Abs(); off < clockStep/2 {
		return fmt.Errorf("the server's clock was not set: its last line is off by %v: %s", off, lines[len(lines)-1])
	}
	return nil
}
