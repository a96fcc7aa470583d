package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Target says where the servers are and how they are reached.
type Target struct {
	// Addresses are HOST:PORT or unix:PATH. Trainers are dealt out among them.
	Addresses []string
	// CA is a PEM file of the authorities to trust; TLS uses the system's without it.
	CA string
	// TLS encrypts. A CA or a certificate implies it.
	TLS bool
	// Certificate and Key are PEM files to show a server that wants mTLS.
	Certificate, Key string
	// ServerName stands in for the host in the server's certificate.
	ServerName string
	// Token is sent with every call, as a bearer token.
	Token string
}

// encrypted reports whether TLS is used.
func (t Target) encrypted() bool { return t.TLS || t.CA != "" || t.Certificate != "" }

// Options are those to dial an address with. The error is a *[losses.InputError].
func (t Target) Options() ([]grpc.DialOption, error) {
	transport := insecure.NewCredentials()
	if t.encrypted() {
		config, err := t.tls()
		if err != nil {
			return nil, err
		}
		transport = credentials.NewTLS(config)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	}
	if t.Token == "" {
		return options, nil
	}
	for _, address := range t.Addresses {
		if !t.encrypted() && !isLocal(address) {
			return nil, bad("token", "would go to %s in plain text: want TLS, or an address on this machine", address)
		}
	}
	return append(options, grpc.WithPerRPCCredentials(bearer{t.Token, t.encrypted()})), nil
}

func (t Target) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, bad("ca", "%v", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, bad("ca", "%s has no certificate, want PEM", t.CA)
		}
	}
	if (t.Certificate == "") != (t.Key == "") {
		return nil, bad("cert, key", "are given one without the other")
	}
	if t.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		if err != nil {
			return nil, bad("cert, key", "%v", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// isLocal reports whether an address cannot leave this machine.
func isLocal(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// bearer sends a token.
type bearer struct {
	token  string
	secure bool
}

// GetRequestMetadata implements [credentials.PerRPCCredentials].
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

// RequireTransportSecurity implements [credentials.PerRPCCredentials]; Options has seen to what is in plain text.
func (b bearer) RequireTransportSecurity() bool { return b.secure }

// String hides the token from whoever prints a configuration.
func (b bearer) String() string { return fmt.Sprintf("a token of %d bytes", len(b.token)) }
