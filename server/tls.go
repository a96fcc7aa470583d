package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
)

// TLS is a server's certificate, in files that are looked at again every second: a new pair is for the connections that are made then. A pair whose halves
// do not fit, as in the moment between writing one and the other, changes nothing.
type TLS struct {
	file    *watchedFiles
	current atomic.Pointer[tls.Config]
}

// TLSFiles are paths of files in PEM. Others than its owner and group may not read the key.
type TLSFiles struct {
	Certificate string // with the intermediate ones behind it
	Key         string
	ClientCA    string // certificates of authorities, by one of which a client's has to be signed; "": clients need none
}

// ReadTLS reads a certificate.
func ReadTLS(files TLSFiles) (*TLS, error) {
	t := &TLS{}
	t.file = &watchedFiles{secret: []string{files.Key}, public: []string{files.Certificate}, use: t.replace}
	if files.ClientCA != "" {
		t.file.public = append(t.file.public, files.ClientCA)
	}
	if _, err := t.file.reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// replace takes a key, a certificate and perhaps authorities.
func (t *TLS) replace(contents [][]byte) error {
	pair, err := tls.X509KeyPair(contents[1], contents[0])
	if err != nil {
		return err
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		// A ticket would let a client in by a certificate that is not looked at again. Connections last, so it saves nothing.
		SessionTicketsDisabled: true,
	}
	if len(contents) > 2 {
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(contents[2]) {
			return errors.New("the file of authorities holds no certificate in PEM")
		}
	}
	t.current.Store(config)
	return nil
}

func (t *TLS) credentials() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.current.Load(), nil },
	})
}

// certificateName is how a client's certificate names it: by its first URI, else its first DNS name, else its common name; "": it has none, or there is none.
func certificateName(info credentials.AuthInfo) string {
	encrypted, ok := info.(credentials.TLSInfo)
	if !ok || len(encrypted.State.VerifiedChains) == 0 {
		return ""
	}
	leaf := encrypted.State.VerifiedChains[0][0]
	switch {
	case len(leaf.URIs) > 0:
		return clip(leaf.URIs[0].String(), maxFieldBytes)
	case len(leaf.DNSNames) > 0:
		return clip(leaf.DNSNames[0], maxFieldBytes)
	}
	return clip(leaf.Subject.CommonName, maxFieldBytes)
}
