package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The admin listener is there while the server is, over a Unix socket too, and tells of what it did.
func TestServeAdmin(t *testing.T) {
	socket := filepath.Join(shortDir(t), "admin")
	s := serve(t, "--listen", "127.0.0.1:0", "--admin", "unix:"+socket)
	s.evaluateOnce()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/metrics": `kantor_build_info{`, "/debug/pprof/": "goroutine"} {
		response, err := client.Get("http://kantor" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: got %d, %.100q, %v, want %q", path, response.StatusCode, body, err, want)
		}
	}
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.stopped()
	if exists(socket) {
		t.Error("the admin socket is still there")
	}
}
