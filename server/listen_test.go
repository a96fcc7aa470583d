package server

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

func TestListenRefusesAddressesThatOthersReach(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:7443"} {
		listener, err := Listen(address, false)
		var bad *losses.InputError
		if !errors.As(err, &bad) || !strings.Contains(bad.Reason, "--insecure") {
			t.Errorf("%s: got %v, %v, want a refusal that says what to do", address, listener, err)
		}
	}
	listener, err := Listen("0.0.0.0:0", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
}

func TestListenRefusesWhatIsNoAddress(t *testing.T) {
	for _, address := range []string{"", "localhost", "127.0.0.1:x", "unix:"} {
		_, err := Listen(address, false)
		var bad *losses.InputError
		if !errors.As(err, &bad) {
			t.Errorf("%q: got %v, want an InputError", address, err)
		}
	}
}

// shortDir is a directory whose sockets' paths are below the 108 bytes that Linux allows.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kantor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestUnixSocketIsPrivateAndGoesAway(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	listener, err := Listen("unix:"+path, false)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("got %v, %v, want a socket of mode 0600", info.Mode(), err)
	}
	if got := Address(listener); got != "unix:"+path {
		t.Errorf("address %q", got)
	}
	conn := dial(t, listener)
	defer func() { _ = conn.Close() }()
	srv, err := New(Config{DrainGrace: patience})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := srv.Serve(t.Context(), listener); err != nil {
			t.Error(err)
		}
	}()
	if _, err := kantorv1.NewLossServiceClient(conn).Evaluate(testContext(t), klRequest(1)); err != nil {
		t.Error(err)
	}
	srv.Drain(patience)
	waitFor(t, served, "the server to stop")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestUnixSocketReplacesOnlyWhatIsStale(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	first, err := Listen("unix:"+path, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:"+path, false); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("a socket in use: got %v", err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // as a server that was killed leaves it
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := Listen("unix:"+path, false)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:"+path, false); err == nil {
		t.Error("a file was taken for a socket")
	}
	if text, err := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file became %q, %v", text, err)
	}
}
