package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"kantor/load"
	"kantor/losses"
)

// targetFlags say how servers are reached, to the commands that call them.
type targetFlags struct {
	TLS       bool   `name:"tls" help:"Encrypt, with the system's authorities unless --tls-ca names others."`
	TLSCA     string `name:"tls-ca" placeholder:"FILE" help:"Authorities to trust, PEM."`
	TLSCert   string `name:"tls-cert" placeholder:"FILE" help:"Certificate to show the server, PEM."`
	TLSKey    string `name:"tls-key" placeholder:"FILE" help:"Its key, PEM."`
	TLSName   string `name:"tls-server-name" placeholder:"NAME" help:"Name that the server's certificate has, where it is not the address's."`
	TokenFile string `placeholder:"FILE" help:"File with the bearer token to send."`
}

// maxTokenBytes is more than any token has.
const maxTokenBytes = 4096

func (t targetFlags) target(addresses ...string) (load.Target, error) {
	token, err := readToken(t.TokenFile)
	return load.Target{Addresses: addresses, TLS: t.TLS, CA: t.TLSCA, Certificate: t.TLSCert, Key: t.TLSKey, ServerName: t.TLSName, Token: token}, err
}

// readToken reads a file that holds a token and nothing else. No file: no token.
func readToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	file, err := os.Open(path)
	if err != nil {
		return "", &losses.InputError{Field: "--token-file", Reason: err.Error()}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxTokenBytes))
	if err != nil {
		return "", &losses.InputError{Field: "--token-file", Reason: err.Error()}
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n") { // what it holds instead is not said
		return "", &losses.InputError{Field: "--token-file", Reason: fmt.Sprintf("%s does not hold one token and nothing else", path)}
	}
	return token, nil
}
