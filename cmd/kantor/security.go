package main

import (
	"kantor/losses"
	"kantor/server"
)

// secured are the flags of who may call, and how nobody else listens.
type secured struct {
	TLSCert        string `name:"tls-cert" placeholder:"FILE" help:"Encrypt, with this certificate in PEM and the intermediate ones behind it. It and the key are read again when they change."`
	TLSKey         string `name:"tls-key" placeholder:"FILE" help:"Its key in PEM, of mode 0600, or 0640 at most."`
	TLSClientCA    string `name:"tls-client-ca" placeholder:"FILE" help:"Let in only clients with a certificate that one of these authorities has signed."`
	Tokens         string `placeholder:"FILE" help:"Let in only calls with a bearer token in FILE, whose lines are NAME:TOKEN or NAME:sha256:HEX; of mode 0600, or 0640 at most. It is read again when it changes."`
	OpenReflection bool   `help:"Let callers without a token list the services."`
}

// secure reads the files and gives the server what is in them.
func (s secured) secure(config *server.Config) error {
	switch {
	case (s.TLSCert == "") != (s.TLSKey == ""):
		return &losses.InputError{Field: "--tls-cert", Reason: "wants --tls-key, and the other way round: each is one half"}
	case s.TLSClientCA != "" && s.TLSCert == "":
		return &losses.InputError{Field: "--tls-client-ca", Reason: "wants --tls-cert and --tls-key: clients show a certificate where the server encrypts"}
	case s.OpenReflection && s.Tokens == "":
		return &losses.InputError{Field: "--open-reflection", Reason: "wants --tokens: without them everything is open"}
	}
	var err error
	if s.TLSCert != "" {
		config.TLS, err = server.ReadTLS(server.TLSFiles{Certificate: s.TLSCert, Key: s.TLSKey, ClientCA: s.TLSClientCA})
		if err != nil {
			return &losses.InputError{Field: "--tls-cert", Reason: err.Error()}
		}
	}
	if s.Tokens != "" {
		config.Tokens, err = server.ReadTokens(s.Tokens)
		if err != nil {
			return &losses.InputError{Field: "--tokens", Reason: err.Error()}
		}
	}
	config.OpenReflection = s.OpenReflection
	return nil
}
