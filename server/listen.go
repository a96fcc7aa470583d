package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// staleDial is how long a socket file's owner has to answer before the file counts as left behind.
const staleDial = time.Second

// Listen listens as the function [Listen] does, for this server: on an address that other machines can reach if the server encrypts, or in plain text if it is
// insecure and there are no tokens, which would be there for all to read.
func (s *Server) Listen(address string, insecure bool) (net.Listener, error) {
	encrypted := s.config.TLS != nil
	listener, err := Listen(address, insecure || encrypted)
	if err != nil || encrypted || s.config.Tokens == nil {
		return listener, err
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		return nil, errors.Join(badf(address, "other machines can reach this address, and would send their tokens in plain text: "+
			"encrypt with --tls-cert and --tls-key, or listen on 127.0.0.1 or unix:PATH"), listener.Close())
	}
	return listener, nil
}

// Listen listens on "unix:PATH", for the user alone, or on "HOST:PORT". There is no encryption or authentication, so an address that other machines can
// reach is refused unless insecure. What is wrong with the address itself is a *[losses.InputError].
func Listen(address string, insecure bool) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return listenUnix(path)
	}
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, badf(address, "is no address, want HOST:PORT or unix:PATH (%v)", err)
	}
	if !resolved.IP.IsLoopback() && !insecure {
		return nil, badf(address, "other machines can reach this address, and there is no encryption or authentication: "+
			"listen on 127.0.0.1 or unix:PATH, encrypt with --tls-cert and --tls-key, or accept plain text with --insecure")
	}
	return net.ListenTCP("tcp", resolved)
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
