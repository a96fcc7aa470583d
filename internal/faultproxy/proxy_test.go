package faultproxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests. It is never reached unless something is broken.
const patience = 10 * time.Second

// preface is a client's (RFC 9113, section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// frame is one of HTTP/2.
func frame(kind Type, stream byte, payload string) string {
	n := len(payload)
	return string([]byte{byte(n >> 16), byte(n >> 8), byte(n), byte(kind), 0, 0, 0, 0, stream}) + payload
}

// echoes listens and sends back the frames that it gets, without the preface, until the test ends.
func echoes(t *testing.T, address string) string {
	t.Helper()
	listener, err := net.Listen(split(address))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				if _, err := io.CopyN(io.Discard, conn, int64(len(preface))); err == nil {
					_, _ = io.Copy(conn, conn)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	if strings.HasPrefix(address, "unix:") {
		return address
	}
	return listener.Addr().String()
}

// through connects to an echo through a proxy.
func through(t *testing.T, config Config) *net.TCPConn {
	t.Helper()
	conn, _ := throughProxy(t, config)
	return conn
}

func throughProxy(t *testing.T, config Config) (*net.TCPConn, *Proxy) {
	t.Helper()
	config.Listen, config.Target = "127.0.0.1:0", echoes(t, "127.0.0.1:0")
	p, err := Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	conn, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn), p
}

func send(t *testing.T, conn net.Conn, parts ...string) {
	t.Helper()
	if _, err := io.WriteString(conn, strings.Join(parts, "")); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, conn net.Conn, n int) string {
	t.Helper()
	got := make([]byte, n)
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// Over TCP and Unix sockets, with and without frames, bytes come through as they are, and so does the orderly end of one side.
func TestProxyForwards(t *testing.T) {
	for name, c := range map[string]struct {
		listen, target string
		raw            bool
	}{
		"tcp":      {"127.0.0.1:0", "127.0.0.1:0", false},
		"unix":     {"unix:" + filepath.Join(t.TempDir(), "p"), "unix:" + filepath.Join(t.TempDir(), "e"), false},
		"tcp, raw": {"127.0.0.1:0", "127.0.0.1:0", true},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Start(Config{Listen: c.listen, Target: echoes(t, c.target), Raw: c.raw})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			conn, err := net.Dial(split(p.Address()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			want := []byte(frame(Data, 1, strings.Repeat("x", 100_000)) + "cut off")
			go func() {
				_, _ = conn.Write(append([]byte(preface), want...))
				_ = conn.(interface{ CloseWrite() error }).CloseWrite()
			}()
			if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes came back of %d, %v", len(got), len(want), err)
			}
		})
	}
}

func TestProxyTellsFrames(t *testing.T) {
	var mu sync.Mutex
	var got []Unit
	conn := through(t, Config{Decide: func(u Unit) Fault {
		mu.Lock()
		defer mu.Unlock()
		if u.Direction == ToServer {
			got = append(got, u)
		}
		return Fault{}
	}})
	send(t, conn, preface, frame(Settings, 0, ""), frame(Data, 3, "abc"), "cut")
	_ = conn.CloseWrite()
	_, _ = io.Copy(io.Discard, conn)
	want := []Unit{
		{0, ToServer, 0, Opaque, 0, 24}, {0, ToServer, 1, Settings, 0, 9}, {0, ToServer, 2, Data, 3, 12}, {0, ToServer, 3, Opaque, 0, 3},
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// on harms the first data frame on its way to the server.
func on(f Fault) func(Unit) Fault {
	return func(u Unit) Fault {
		if u.Direction == ToServer && u.Type == Data {
			return f
		}
		return Fault{}
	}
}

func TestProxyFlipsBits(t *testing.T) {
	conn := through(t, Config{Decide: on(Fault{Flip: []int{3, 8*HeaderBytes + 1, 1 << 20}})})
	send(t, conn, preface, frame(Data, 1, "abc"))
	want := []byte(frame(Data, 1, "cbc")) // 'a' is 0b1100001
	want[0] ^= 1 << 3
	_ = conn.CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestProxyCuts(t *testing.T) {
	conn := through(t, Config{Decide: on(Fault{End: Cut})})
	send(t, conn, preface)
	send(t, conn, frame(Data, 1, "abc"))
	if got, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %q, %v, want a reset", got, err)
	}
}

// All connections can be ended at once, whatever they say.
func TestProxyEndsAll(t *testing.T) {
	conn, proxy := throughProxy(t, Config{})
	send(t, conn, preface, frame(Data, 1, "abc"))
	receive(t, conn, HeaderBytes+3)
	proxy.EndAll(Stall)
	send(t, conn, frame(Data, 1, "abc"))
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("stalled: got %d bytes, %v, want silence", n, err)
	}
	proxy.EndAll(Cut)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("cut: got %q, %v, want a reset", got, err)
	}
}

// What is stalled answers nothing, not even an end, and a new connection is not.
func TestProxyStalls(t *testing.T) {
	stalled := make(chan struct{})
	conn := through(t, Config{Decide: func(u Unit) Fault {
		if u.Connection == 0 && u.Type == Data {
			close(stalled)
			return Fault{End: Stall}
		}
		return Fault{}
	}})
	send(t, conn, preface)
	send(t, conn, frame(Data, 1, "abc"))
	<-stalled
	second, err := net.Dial("tcp", conn.RemoteAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	send(t, second, preface, frame(Data, 1, "abc"))
	receive(t, second, HeaderBytes+3)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %d bytes, %v, want silence", n, err)
	}
}

// Slowed or delayed bytes come all the same, not before their time.
func TestProxySlows(t *testing.T) {
	for name, f := range map[string]Fault{"delay": {Delay: 50 * time.Millisecond}, "rate": {Rate: 2180}} { // 109 bytes
		t.Run(name, func(t *testing.T) {
			conn := through(t, Config{Decide: on(f)})
			send(t, conn, preface)
			begin := time.Now()
			send(t, conn, frame(Data, 1, strings.Repeat("x", 100)))
			receive(t, conn, HeaderBytes+100)
			if spent := time.Since(begin); spent < 50*time.Millisecond {
				t.Errorf("it took %v, want 50 ms at the least", spent)
			}
		})
	}
}

// A server that is away is a connection that is reset, and the proxy goes on.
func TestProxyWithoutAServer(t *testing.T) {
	target := "unix:" + filepath.Join(t.TempDir(), "s")
	p, err := Start(Config{Listen: "127.0.0.1:0", Target: target})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if first, err := net.Dial("tcp", p.Address()); err == nil { // it may be reset before Dial returns
		if _, err := io.ReadAll(first); err == nil {
			t.Error("the connection ended well, want a reset")
		}
		_ = first.Close()
	}
	echoes(t, target)
	second, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	send(t, second, preface, frame(Data, 1, "abc"))
	receive(t, second, HeaderBytes+3)
}

func TestProxyRefusesAnAddressInUse(t *testing.T) {
	address := echoes(t, "127.0.0.1:0")
	if p, err := Start(Config{Listen: address}); err == nil {
		_ = p.Close()
		t.Error("it listens where another does")
	}
}
