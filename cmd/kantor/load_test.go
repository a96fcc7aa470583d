package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kantor/load"
	"kantor/server"
)

func TestLoad(t *testing.T) {
	s := serve(t, "--listen", "127.0.0.1:0")
	args := []string{"load", "--address", s.address, "--duration", "200ms", "--mix", "8x2:3,16x2", "--trainers", "2", "--pid", strconv.Itoa(s.Process.Pid)}
	code, stdout, stderr := kantor(t, append(args, "--json")...)
	var report load.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 || report.Answered == 0 || report.Failed != 0 || len(report.Classes) != 2 {
		t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	code, stdout, stderr = kantor(t, append(args, "--stream", "--loss", "sinkhorn:blur=0.5,debias=self")...)
	if code != 0 || !strings.Contains(stdout, "16x2 sinkhorn:blur=0.5") || !strings.Contains(stdout, "streams") {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
}

// busy is a log that tells when a server has answered a few calls.
type busy struct {
	slog.Handler
	calls  *atomic.Int64
	enough chan struct{}
}

// Handle implements [slog.Handler].
func (b busy) Handle(context.Context, slog.Record) error {
	if b.calls.Add(1) == 5 {
		close(b.enough)
	}
	return nil
}

// Enabled implements [slog.Handler].
func (busy) Enabled(context.Context, slog.Level) bool { return true }

// What was measured until an interrupt is printed.
func TestLoadInterrupted(t *testing.T) {
	log := busy{slog.DiscardHandler, &atomic.Int64{}, make(chan struct{})}
	srv, err := server.New(server.Config{Logger: slog.New(log), DrainGrace: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	c := command(t, "load", "--address", listener.Addr().String(), "--duration", "1h", "--mix", "8x2", "--trainers", "1", "--json")
	out := &strings.Builder{}
	c.Stdout = out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-log.enough:
	case <-time.After(patience):
		t.Error("the server has seen no calls")
	}
	_ = c.Process.Signal(syscall.SIGINT)
	err = c.Wait()
	cancel()
	if err := errors.Join(err, <-served); err != nil {
		t.Fatal(err)
	}
	var report load.Report
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil || report.Answered == 0 || report.Failed != 0 {
		t.Errorf("%v: %s", err, out)
	}
}

func TestHealth(t *testing.T) {
	s := serve(t, "--listen", "unix:"+filepath.Join(shortDir(t), "s"))
	if code, stdout, stderr := kantor(t, "health", "--address", s.address, "--timeout", "10s"); code != 0 || stdout != "SERVING\n" {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	stream := s.evaluate() // which holds the stop up
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if m, err := stream.Recv(); err != nil || m.GetDraining() == nil {
		t.Fatalf("got %v, %v, want draining", m, err)
	}
	if code, stdout, _ := kantor(t, "health", "--address", s.address, "--timeout", "200ms"); code != exitFailure || stdout != "" {
		t.Errorf("exit %d: %s, want that a server that stops is not healthy", code, stdout)
	}
	if code, _, stderr := kantor(t, "health", "--timeout", "0s"); code != exitUsage {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func TestLoadMistakes(t *testing.T) {
	empty, two := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "two")
	for path, text := range map[string]string{empty: "\n", two: "a b\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--mix", "64"}, exitUsage, `mix: got "64", want NxD`},
		{[]string{"--goals"}, exitUsage, "admin: is missing"},
		{[]string{"--address", "127.0.0.1:1", "--deadline", "200ms"}, exitFailure, "no answer from 127.0.0.1:1"},
		{[]string{"--token-file", empty}, exitUsage, "does not hold one token"},
		{[]string{"--token-file", two}, exitUsage, "does not hold one token"},
	} {
		code, _, stderr := kantor(t, append([]string{"load"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "a b") {
			t.Errorf("%v: exit %d, %s; want %d and %s", c.args, code, stderr, c.code, c.want)
		}
	}
}
