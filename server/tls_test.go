package server

import (
	"crypto/tls"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	kantorv1 "kantor/gen/kantor/v1"
)

func readTLS(t *testing.T, files TLSFiles) *TLS {
	t.Helper()
	read, err := ReadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// dialTLS connects to a server that encrypts.
func dialTLS(t *testing.T, s *started, config *tls.Config) kantorv1.LossServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(s.conn.Target(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return kantorv1.NewLossServiceClient(conn)
}

// shown is the name of the certificate that the server shows now.
func shown(t *testing.T, s *started, config *tls.Config) string {
	t.Helper()
	conn, err := tls.Dial("tcp", s.conn.Target(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestTLSEncryptsAndRefusesWhatIsTooOld(t *testing.T) {
	ca := newAuthority(t)
	s := start(t, Config{TLS: readTLS(t, ca.files("server", nil))})
	if _, err := dialTLS(t, s, &tls.Config{RootCAs: ca.pool()}).Evaluate(testContext(t), klRequest(1)); err != nil {
		t.Error(err)
	}
	if _, err := s.losses.Evaluate(testContext(t), klRequest(1)); status.Code(err) != codes.Unavailable {
		t.Errorf("plain text: got %v, want Unavailable", err)
	}
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", s.conn.Target(), &tls.Config{RootCAs: ca.pool(), MinVersion: version, MaxVersion: version, NextProtos: []string{"h2"}})
		if (err == nil) != want {
			t.Errorf("%s: got %v, want it taken: %v", tls.VersionName(version), err, want)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

func TestClientsNeedACertificateOfTheAuthority(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	callers := make(chan string, 10)
	s := start(t, Config{TLS: readTLS(t, ca.files("server", ca.pem))}, seeCallers(callers))
	if _, err := dialTLS(t, s, &tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{ca.pair("trainer-1")}}).
		Evaluate(testContext(t), klRequest(1)); err != nil {
		t.Fatal(err)
	}
	if name := <-callers; name != "trainer-1" {
		t.Errorf("the caller is %q, want what its certificate names", name)
	}
	for what, shows := range map[string][]tls.Certificate{"none": nil, "another authority's": {other.pair("trainer-1")}} {
		if _, err := dialTLS(t, s, &tls.Config{RootCAs: ca.pool(), Certificates: shows}).Evaluate(testContext(t), klRequest(1)); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: got %v, want Unavailable", what, err)
		}
	}
}

// A new pair is for new connections, those that are there go on; a broken one changes nothing, and the log says so once.
func TestCertificatesAreReloaded(t *testing.T) {
	ca := newAuthority(t)
	files := ca.files("first", nil)
	var log syncBuffer
	s := start(t, Config{TLS: readTLS(t, files), Logger: logTo(&log)})
	trusting := &tls.Config{RootCAs: ca.pool(), ServerName: "127.0.0.1"}
	client := dialTLS(t, s, trusting)
	stream := (&started{Server: s.Server, losses: client}).opened(t, klOpen())
	if name := shown(t, s, trusting); name != "first" {
		t.Fatalf("it shows %q", name)
	}
	cert, key := ca.issue("second")
	write(t, files.Key, key) // the other half follows later
	waitUntil(t, func() bool { return strings.Contains(log.String(), "private key does not match") }, "the log tells of a pair that does not fit")
	if name := shown(t, s, trusting); name != "first" {
		t.Errorf("with half of the new pair it shows %q", name)
	}
	write(t, files.Certificate, cert)
	waitUntil(t, func() bool { return shown(t, s, trusting) == "second" }, "it shows the new certificate")
	if err := os.Remove(files.Certificate); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, func() bool { return strings.Contains(log.String(), "no such file") }, "the log tells of the missing file")
	if name := shown(t, s, trusting); name != "second" {
		t.Errorf("without its file it shows %q", name)
	}
	stream.kl(1, 2)
	if got := stream.result(1); got != 2 {
		t.Errorf("got %v from the stream that was open before", got)
	}
	stream.end()
	if n := strings.Count(log.String(), "private key does not match"); n != 1 {
		t.Errorf("the log tells of the broken pair %d times", n)
	}
}

// The authorities of clients change with the files as well.
func TestClientAuthoritiesAreReloaded(t *testing.T) {
	ca, next := newAuthority(t), newAuthority(t)
	files := ca.files("server", ca.pem)
	s := start(t, Config{TLS: readTLS(t, files)})
	config := &tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{ca.pair("trainer")}, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	if _, err := dialTLS(t, s, config).Evaluate(testContext(t), klRequest(1)); err != nil {
		t.Fatal(err)
	}
	write(t, files.ClientCA, next.pem)
	waitUntil(t, func() bool {
		_, err := dialTLS(t, s, config).Evaluate(testContext(t), klRequest(1))
		return status.Code(err) == codes.Unavailable
	}, "a certificate of the authority before is refused, with a session to resume or not")
}

func TestTLSFilesThatAreWrong(t *testing.T) {
	ca := newAuthority(t)
	_, otherKey := ca.issue("other")
	for what, test := range map[string]struct {
		spoil func(*TLSFiles)
		want  string
	}{
		"a key of another certificate": {func(f *TLSFiles) { write(t, f.Key, otherKey) }, "private key does not match"},
		"no PEM":                       {func(f *TLSFiles) { write(t, f.Certificate, []byte("x")) }, "PEM"},
		"authorities without PEM":      {func(f *TLSFiles) { write(t, f.ClientCA, []byte("x")) }, "no certificate in PEM"},
		"a missing file":               {func(f *TLSFiles) { f.Certificate += ".gone" }, "no such file"},
		"a directory":                  {func(f *TLSFiles) { f.Certificate = t.TempDir() }, "no regular file"},
		"a key for all to read": {func(f *TLSFiles) {
			if err := os.Chmod(f.Key, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "mode 0644"},
		"a large file": {func(f *TLSFiles) { write(t, f.Certificate, make([]byte, maxFileBytes+1)) }, "more than 1048576 bytes"},
	} {
		files := ca.files("server", ca.pem)
		test.spoil(&files)
		if _, err := ReadTLS(files); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error with %q", what, err, test.want)
		}
	}
}

func TestListenKnowsWhatIsEncrypted(t *testing.T) {
	ca, tokens := newAuthority(t), tokensFile(t, "a:"+tokenA)
	encryption, authenticated := readTLS(t, ca.files("server", nil)), readTLS(t, ca.files("server", ca.pem))
	for _, test := range []struct {
		config   Config
		address  string
		insecure bool
		want     string // in the refusal, "": it listens
	}{
		{Config{}, "0.0.0.0:0", false, "--insecure"},
		{Config{}, "0.0.0.0:0", true, ""},
		{Config{TLS: encryption}, "0.0.0.0:0", false, ""},
		{Config{TLS: authenticated}, "0.0.0.0:0", false, ""},
		{Config{TLS: encryption, Tokens: readTokens(t, tokens)}, "0.0.0.0:0", false, ""},
		{Config{Tokens: readTokens(t, tokens)}, "0.0.0.0:0", true, "tokens in plain text"},
		{Config{Tokens: readTokens(t, tokens)}, "127.0.0.1:0", false, ""},
		{Config{Tokens: readTokens(t, tokens)}, "unix:" + shortDir(t) + "/s", false, ""},
	} {
		var log syncBuffer
		test.config.Logger = logTo(&log)
		s, err := New(test.config)
		if err != nil {
			t.Fatal(err)
		}
		listener, err := s.Listen(test.address, test.insecure)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s, insecure %v: got %v, want %q", test.address, test.insecure, err, test.want)
		}
		if err == nil {
			_ = listener.Close()
		}
		open := err == nil && strings.HasPrefix(test.address, "0.0.0.0") && test.config.Tokens == nil && test.config.TLS != authenticated
		if warned := strings.Contains(log.String(), "may call"); warned != open {
			t.Errorf("%s, insecure %v: the log warns: %v, want %v", test.address, test.insecure, warned, open)
		}
		s.Drain(0)
	}
}
