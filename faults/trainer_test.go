package faults

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Of a trainer: how many steps it makes, and before which it waits for the fault.
const (
	steps   = 30
	faultAt = 10
)

// plan is what clients/python/tests/trainer.py does.
type plan struct {
	Address      string         `json:"address"`
	Call         string         `json:"call"`
	Steps        int            `json:"steps"`
	At           int            `json:"at"`
	Heavy        bool           `json:"heavy"`
	HeavyTimeout float64        `json:"heavy_timeout,omitempty"`
	Large        bool           `json:"large"`
	Options      map[string]any `json:"options,omitempty"`
}

// told is a line of a trainer's.
type told struct {
	Step   int
	Bits   string
	Error  string
	Reason string
	At     bool
}

// trainer is one at work.
type trainer struct {
	command *exec.Cmd
	lines   *bufio.Scanner
	stdin   io.Writer
	errors  bytes.Buffer
	told    []told
	killer  *time.Timer
}

func startTrainer(python string, p plan) (*trainer, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	t := &trainer{command: exec.Command(python, "../clients/python/tests/trainer.py", string(text))}
	t.command.Stderr = &t.errors
	out, err := t.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if t.stdin, err = t.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := t.command.Start(); err != nil {
		return nil, err
	}
	t.killer = time.AfterFunc(longPatience, t.kill)
	t.lines = bufio.NewScanner(out)
	return t, nil
}

// untilFault reads until the trainer waits for the fault.
func (t *trainer) untilFault() error {
	for t.lines.Scan() {
		line, err := t.read()
		if err != nil || line.At {
			return err
		}
		t.told = append(t.told, line)
	}
	return t.failed("it ended before the fault")
}

// goOn lets it make the step.
func (t *trainer) goOn() error {
	_, err := io.WriteString(t.stdin, "\n")
	return err
}

func (t *trainer) interrupt() { _ = t.command.Process.Signal(syscall.SIGINT) }

func (t *trainer) kill() { _ = t.command.Process.Kill() }

// finish reads to its end.
func (t *trainer) finish() error {
	for t.lines.Scan() {
		line, err := t.read()
		if err != nil {
			return err
		}
		t.told = append(t.told, line)
	}
	t.killer.Stop()
	if err := t.command.Wait(); err != nil {
		return t.failed(err.Error())
	}
	return nil
}

func (t *trainer) read() (told, error) {
	var line told
	if err := json.Unmarshal(t.lines.Bytes(), &line); err != nil {
		return line, fmt.Errorf("the trainer said %q: %w", t.lines.Text(), err)
	}
	return line, nil
}

func (t *trainer) failed(why string) error {
	t.kill()
	return fmt.Errorf("the trainer: %s\n%s", why, &t.errors)
}

// account says what became of the steps, which are to be answered once each with the bits of an undisturbed run, or to have failed for a reason that has a
// name.
func account(got []told, undisturbed []string) (string, error) {
	failed := map[string]int{}
	answered := 0
	var wrong []error
	for i, line := range got {
		switch {
		case line.Step != i:
			return "", fmt.Errorf("line %d is of step %d: a step was lost, or told twice", i, line.Step)
		case line.Error != "":
			failed[line.name()]++
		case line.Bits != undisturbed[i]:
			wrong = append(wrong, fmt.Errorf("step %d has other bits than in an undisturbed run", i))
		default:
			answered++
		}
		if line.Error != "" && line.name() == line.Error && line.Error != "KeyboardInterrupt" {
			wrong = append(wrong, fmt.Errorf("step %d failed by %s without a reason", i, line.Error))
		}
	}
	if len(got) != len(undisturbed) {
		wrong = append(wrong, fmt.Errorf("%d steps were told of, want %d", len(got), len(undisturbed)))
	}
	text := fmt.Sprintf("%d answered", answered)
	if answered == len(undisturbed) {
		text = fmt.Sprintf("all %d answered", answered)
	}
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		text += fmt.Sprintf(", %d `%s`", failed[name], name)
	}
	return text, errors.Join(wrong...)
}

// name is that of the exception and, where it has one, of its reason.
func (l told) name() string {
	if code, _, ok := strings.Cut(l.Reason, ":"); ok {
		return l.Error + " " + code
	}
	return l.Error
}
