package faults

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Of the trainer and of whoever else calls.
const (
	oldToken = "0123456789abcdef0123456789abcdef-before"
	newToken = "0123456789abcdef0123456789abcdef-after"
)

// secured is how the two ends of a stage trust each other: the server's arguments, its clients' options, and what can be rotated.
type secured struct {
	args      []string
	options   []grpc.DialOption
	env       []string // of a trainer
	tls       *tls.Config
	directory string
	authority *x509.Certificate
	key       *ecdsa.PrivateKey
}

// secure makes the files that a fault wants.
func secure(directory string, f fault) (secured, error) {
	s := secured{directory: directory}
	if f.tls {
		if err := s.encrypt(); err != nil {
			return s, err
		}
	}
	if f.tokens {
		s.args = append(s.args, "--tokens", s.path("tokens"))
		s.env = []string{"KANTOR_TOKEN_FILE=" + s.path("token")}
		s.options = append(s.options, grpc.WithPerRPCCredentials(bearer(oldToken)))
		return s, errors.Join(s.write("tokens", "trainer:"+oldToken+"\n"), s.write("token", oldToken))
	}
	return s, nil
}

func (s *secured) path(name string) string { return filepath.Join(s.directory, name) }

// write replaces a file at once, as whoever rotates one should.
func (s *secured) write(name, content string) error {
	if err := os.WriteFile(s.path(name)+".new", []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(s.path(name)+".new", s.path(name))
}

// arguments are those of a trainer's client.
func (s *secured) arguments() map[string]any {
	if s.tls == nil {
		return nil
	}
	return map[string]any{"tls": s.path("ca.crt")}
}

// encrypt makes an authority and a first certificate.
func (s *secured) encrypt() error {
	var err error
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	s.authority = certificate("authority")
	s.authority.IsCA, s.authority.BasicConstraintsValid, s.authority.KeyUsage = true, true, x509.KeyUsageCertSign
	raw, err := x509.CreateCertificate(rand.Reader, s.authority, s.authority, s.key.Public(), s.key)
	if err != nil {
		return err
	}
	signed := encoded("CERTIFICATE", raw)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(signed))
	s.tls = &tls.Config{RootCAs: pool}
	s.options = append(s.options, grpc.WithTransportCredentials(credentials.NewTLS(s.tls)))
	s.args = append(s.args, "--tls-cert", s.path("tls.crt"), "--tls-key", s.path("tls.key"))
	return errors.Join(s.write("ca.crt", signed), s.issue("first"))
}

// issue writes another pair, the key first.
func (s *secured) issue(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := certificate(name)
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	raw, err := x509.CreateCertificate(rand.Reader, leaf, s.authority, key.Public(), s.key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(s.write("tls.key", encoded("PRIVATE KEY", private)), s.write("tls.crt", encoded("CERTIFICATE", raw)))
}

// rotateCertificate replaces the pair and waits until the server shows the new one.
func (s *secured) rotateCertificate(address string) error {
	if err := s.issue("second"); err != nil {
		return err
	}
	return until("the server shows the new certificate", func() bool {
		conn, err := tls.Dial("tcp", address, s.tls)
		if err != nil {
			return false
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName == "second"
	})
}

// rotateToken has the server take both tokens, then the trainer show the new one, then the server forget the old one.
func (s *secured) rotateToken(address string) error {
	accepted := func(token string) bool {
		c, err := dial(address, grpc.WithPerRPCCredentials(bearer(token)))
		if err != nil {
			return false
		}
		defer c.conn.Close()
		_, err = c.evaluate(context.Background(), unary, usual(0))
		return err == nil
	}
	if err := s.write("tokens", "trainer:"+oldToken+"\ntrainer:"+newToken+"\n"); err != nil {
		return err
	}
	if err := until("the server takes the new token", func() bool { return accepted(newToken) }); err != nil {
		return err
	}
	if err := errors.Join(s.write("token", newToken), s.write("tokens", "trainer:"+newToken+"\n")); err != nil {
		return err
	}
	return until("the server forgets the old token", func() bool { return !accepted(oldToken) })
}

// until polls what the server finds out within a second or two.
func until(what string, condition func() bool) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if condition() {
			return nil
		}
	}
	return fmt.Errorf("waited %v until %s", patience, what)
}

func certificate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func encoded(kind string, raw []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}))
}

// bearer is a token on loopback, in plain text.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return false }
