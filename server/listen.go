package server

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// staleDial is how long a socket file's owner has to answer before the file counts as left behind.
const staleDial = time.Second

// Listen listens where the server may: see [Config.CheckAddress].
func (s *Server) Listen(address string, insecure bool) (net.Listener, error) {
	if err := s.config.CheckAddress(address, insecure); err != nil {
		return nil, err
	}
	listener, err := Listen(address, insecure || s.config.TLS != nil)
	if err == nil && !s.knowsCallers() {
		if tcp, ok := listener.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
			s.config.Logger.Warn("whoever reaches this address may call: there are no tokens and no authority of clients", slog.String("address", Address(listener)))
		}
	}
	return listener, err
}

// knowsCallers tells whether callers have to show who they are.
func (s *Server) knowsCallers() bool {
	return s.config.Tokens != nil || s.config.TLS != nil && s.config.TLS.current.Load().ClientCAs != nil
}

// CheckAddress tells whether a server may listen on an address: where other machines can reach it, if it encrypts, or if it is insecure and has no tokens,
// which would be there for all to read. The error is a *[losses.InputError].
func (c Config) CheckAddress(address string, insecure bool) error {
	if strings.HasPrefix(address, "unix:") || c.TLS != nil {
		return nil
	}
	resolved, err := resolve(address, insecure)
	if err == nil && !resolved.IP.IsLoopback() && c.Tokens != nil {
		err = badf(address, "other machines can reach this address, and would send their tokens in plain text: "+
			"encrypt with --tls-cert and --tls-key, or listen on 127.0.0.1 or unix:PATH")
	}
	return err
}

// Listen listens on "unix:PATH", for the user alone, or on "HOST:PORT". An address that other machines can reach is refused unless insecure: whoever listens
// there encrypts, or was told not to. What is wrong with the address itself is a *[losses.InputError].
func Listen(address string, insecure bool) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return listenUnix(path)
	}
	resolved, err := resolve(address, insecure)
	if err != nil {
		return nil, err
	}
	return net.ListenTCP("tcp", resolved)
}

// resolve refuses what is no address, or one that is not for a server that is not insecure.
func resolve(address string, insecure bool) (*net.TCPAddr, error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, badf(address, "is no address, want HOST:PORT or unix:PATH (%v)", err)
	}
	if !resolved.IP.IsLoopback() && !insecure {
		return nil, badf(address, "other machines can reach this address, and there is no encryption or authentication: "+
			"listen on 127.0.0.1 or unix:PATH, encrypt with --tls-cert and --tls-key, or accept plain text with --insecure")
	}
	return resolved, nil
}

// Address is how a client names a listener's address.
func Address(listener net.Listener) string {
	if listener.Addr().Network() == "unix" {
		return "unix:" + listener.Addr().String()
	}
	return listener.Addr().String()
}

// listenUnix makes a socket of mode 0600, which is removed when the listener is closed.
func listenUnix(path string) (net.Listener, error) {
	if path == "" {
		return nil, badf("unix:", "names no file, want unix:PATH")
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mode has to be right from the start: who connects between bind and chmod stays connected. The mask is the process's, and this is its start.
	mask := syscall.Umask(0o177)
	defer syscall.Umask(mask)
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// removeStale removes a socket that nobody answers on, and nothing else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return badf("unix:"+path, "is a file that is no socket, want a path that is free")
	}
	conn, err := net.DialTimeout("unix", path, staleDial)
	if err == nil {
		_ = conn.Close()
		return badf("unix:"+path, "another server answers there")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("unix:%s: a socket is there, and it cannot be told whether it is in use: %w", path, err)
	}
	return os.Remove(path)
}
