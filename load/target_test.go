package load

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	kantorv1 "kantor/gen/kantor/v1"
)

// selfSigned writes a certificate for "kantor.test" and its key, and returns their files.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"kantor.test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// A server that wants TLS, a certificate and a token gets all three.
func TestTarget(t *testing.T) {
	certificate, key := selfSigned(t)
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	wanted := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if got := metadata.ValueFromIncomingContext(ctx, "authorization"); len(got) != 1 || got[0] != "Bearer secret" {
			return nil, status.Errorf(codes.Unauthenticated, "got %q", got)
		}
		return handler(ctx, req)
	}
	s := grpc.NewServer(grpc.UnaryInterceptor(wanted), grpc.WaitForHandlers(true),
		grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert})))
	f := fake{evaluate: func(context.Context, *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
		return &kantorv1.EvaluateResponse{}, nil
	}}
	kantorv1.RegisterLossServiceServer(s, f)
	kantorv1.RegisterInfoServiceServer(s, f)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Stop()
		<-served
	})
	config := few(listener.Addr().String())
	config.Target = Target{Addresses: config.Target.Addresses, CA: certificate, Certificate: certificate, Key: key, ServerName: "kantor.test", Token: "secret"}
	if report := run(t, config); report.Answered == 0 || report.Failed != 0 {
		t.Errorf("got %+v, want answers", report)
	}
	config.Target.Token = "wrong"
	if _, err := Run(t.Context(), config); status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v, want Unauthenticated", err)
	}
	config.Target.ServerName, config.Deadline = "", time.Second
	if _, err := Run(t.Context(), config); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want that the certificate is not this address's", err)
	}
}

func TestTokensAreNotPrinted(t *testing.T) {
	if text := fmt.Sprintf("%v %+v", bearer{token: "secret"}, bearer{token: "secret"}); strings.Contains(text, "secret") {
		t.Error(text)
	}
}
