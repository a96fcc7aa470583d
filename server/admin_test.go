package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"kantor/losses"
)

// admin is a client of a server's admin listener, which is served until the test ends.
type admin struct {
	t       *testing.T
	client  *http.Client
	address string
	served  chan struct{} // closed when ServeAdmin has returned
}

func startAdmin(t *testing.T, s *Server) *admin {
	t.Helper()
	listener, err := ListenAdmin("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	a := &admin{t, &http.Client{Timeout: patience}, Address(listener), make(chan struct{})}
	go func() {
		defer close(a.served)
		if err := s.ServeAdmin(listener); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(a.client.CloseIdleConnections)
	return a
}

// get returns the code and the body of a page.
func (a *admin) get(path string) (int, string) {
	a.t.Helper()
	response, err := a.client.Get("http://" + a.address + path)
	if err != nil {
		a.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func (a *admin) want(path string, code int, part string) {
	a.t.Helper()
	if got, body := a.get(path); got != code || !strings.Contains(body, part) {
		a.t.Errorf("%s: got %d and %.200q, want %d and %q", path, got, body, code, part)
	}
}

func TestAdminPages(t *testing.T) {
	s := start(t, Config{Version: "v1.2.3"})
	a := startAdmin(t, s.Server)
	a.want("/healthz", 200, "ok")
	a.want("/readyz", 200, "ready")
	a.want("/metrics", 200, `kantor_build_info{goversion="go`)
	a.want("/metrics", 200, `version="v1.2.3"`)
	a.want("/debug/pprof/", 200, "goroutine")
	a.want("/debug/pprof/goroutine?debug=1", 200, "ServeAdmin")
	a.want("/debug/pprof/cmdline", 200, "server.test")
	a.want("/", 404, "")
	response, err := a.client.Post("http://"+a.address+"/metrics", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a POST: got %d, want 405", response.StatusCode)
	}
}

// While a server stops it answers what it has taken, and says that it is not ready; when it has stopped, the listener has too.
func TestAdminSaysThatTheServerStops(t *testing.T) {
	gate := newGated()
	s := start(t, Config{DrainGrace: patience}, gate.install)
	a := startAdmin(t, s.Server)
	answered := make(chan error, 1)
	go func() {
		_, err := s.losses.Evaluate(testContext(t), klRequest(1))
		answered <- err
	}()
	gate.wait(t)
	a.want("/readyz", 200, "ready")
	s.cancel()
	waitFor(t, s.draining, "the server to begin to stop")
	a.want("/readyz", 503, "stopping")
	a.want("/healthz", 200, "ok")
	a.want("/metrics", 200, "kantor_build_info")
	close(gate.pass)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	waitFor(t, a.served, "the admin listener to end")
	if conn, err := net.Dial("tcp", a.address); err == nil {
		_ = conn.Close()
		t.Error("the admin listener still answers")
	}
}

// A connection that is open, even one that says nothing, does not keep the listener from ending.
func TestAdminEndsWithOpenConnections(t *testing.T) {
	s := start(t, Config{})
	a := startAdmin(t, s.Server)
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatalf("got %q, %v", line, err)
	}
	s.cancel()
	waitFor(t, a.served, "the admin listener to end")
}

func TestAdminIsForThisMachineAlone(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		_, err := ListenAdmin(address, false)
		if bad, ok := err.(*losses.InputError); !ok || bad.Field != address || !strings.Contains(bad.Reason, "--admin-insecure") {
			t.Errorf("%s: got %v, want an InputError that names --admin-insecure", address, err)
		}
	}
	listener, err := ListenAdmin("unix:"+t.TempDir()+"/admin.sock", false)
	if err != nil {
		t.Fatal(err)
	}
	if !private(listener.Addr()) {
		t.Error("a Unix socket counts as one that other machines reach")
	}
	_ = listener.Close()
}

// Profiles show what the process does and cost it time, so other machines get none.
func TestAdminBeyondLoopbackHasNoProfiles(t *testing.T) {
	s := start(t, Config{})
	listener, err := ListenAdmin("0.0.0.0:0", true)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.ServeAdmin(listener) }()
	a := &admin{t, &http.Client{Timeout: patience}, fmt.Sprintf("127.0.0.1:%d", listener.Addr().(*net.TCPAddr).Port), nil}
	defer a.client.CloseIdleConnections()
	a.want("/readyz", 200, "ready")
	a.want("/metrics", 200, "kantor_build_info")
	for _, page := range []string{"", "cmdline", "profile", "heap", "symbol", "trace"} {
		a.want("/debug/pprof/"+page, 404, "")
	}
	s.cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A client that opens connections and says nothing is cut off, so it cannot hold the listener for itself.
func TestAdminCutsOffWhoSaysNothing(t *testing.T) {
	s := start(t, Config{})
	a := startAdmin(t, s.Server)
	var silent []net.Conn
	for range maxAdminConnections {
		conn, err := net.Dial("tcp", a.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	a.want("/healthz", 200, "ok") // it had to wait until one of them was cut off
	_ = silent[0].SetReadDeadline(time.Now().Add(patience))
	if _, err := silent[0].Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a silent connection: got %v, want its end", err)
	}
}
