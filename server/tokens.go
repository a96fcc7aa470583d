package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
)

// Bounds of a file of tokens.
const (
	minTokenBytes = 32   // 128 bits in hexadecimal digits
	maxTokenBytes = 512  // so that it fits a header beside others
	maxTokens     = 1024 // every call is compared with all of them
)

var (
	tokenName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	// tokenText is what RFC 6750 lets a bearer token be.
	tokenText = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)
)

// errRevoked is the cause with which a stream ends whose token is no longer accepted.
var errRevoked = &unauthenticatedError{"TOKEN_REVOKED", "the token that opened this stream is no longer accepted"}

// Tokens are the bearer tokens that a server accepts, in a file that is looked at again every second. A line is NAME:TOKEN or, so that the file holds no
// secret, NAME:sha256:HEX with the digest of the token; # begins a comment. A name may have several tokens, which is how one is replaced by another.
type Tokens struct {
	file    *watchedFiles
	current atomic.Pointer[[]*token]
}

// token is one that is accepted. Only its digest is kept.
type token struct {
	name   string
	digest [sha256.Size]byte
	life   context.Context // ends, with the cause errRevoked, when the token is no longer in the file
	revoke context.CancelCauseFunc
}

// ReadTokens reads a file of tokens, which others than its owner and group may not read.
func ReadTokens(path string) (*Tokens, error) {
	t := &Tokens{}
	t.file = &watchedFiles{secret: []string{path}, use: func(contents [][]byte) error { return t.replace(contents[0]) }}
	if _, err := t.file.reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// replace accepts the tokens of a file's text instead of those before. A token that is in both goes on as it was.
func (t *Tokens) replace(text []byte) error {
	next, err := parseTokens(text)
	if err != nil {
		return err
	}
	var before []*token
	if current := t.current.Load(); current != nil {
		before = *current
	}
	for i := range next {
		for _, old := range before {
			if old.name == next[i].name && old.digest == next[i].digest {
				next[i] = old
			}
		}
		if next[i].life == nil {
			next[i].life, next[i].revoke = context.WithCancelCause(context.Background())
		}
	}
	t.current.Store(&next)
	for _, old := range before {
		if !slices.Contains(next, old) {
			old.revoke(errRevoked)
		}
	}
	return nil
}

// find returns the token with this text, nil: there is none. How long that takes tells nothing of the tokens but how many there are.
func (t *Tokens) find(text string) *token {
	var found *token
	digest := sha256.Sum256([]byte(text))
	for _, accepted := range *t.current.Load() {
		if subtle.ConstantTimeCompare(digest[:], accepted.digest[:]) == 1 {
			found = accepted
		}
	}
	return found
}

// parseTokens reads a file's text. Its errors name the line and never say what is in it.
func parseTokens(text []byte) ([]*token, error) {
	var tokens []*token
	seen := map[[sha256.Size]byte]int{}
	for i, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		t, err := parseToken(string(line))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if first, ok := seen[t.digest]; ok {
			return nil, fmt.Errorf("line %d: the token is that of line %d, want each once", i+1, first)
		}
		seen[t.digest] = i + 1
		tokens = append(tokens, t)
	}
	switch {
	case len(tokens) == 0:
		return nil, errors.New("it holds no token, want lines of NAME:TOKEN or NAME:sha256:HEX")
	case len(tokens) > maxTokens:
		return nil, fmt.Errorf("it holds %d tokens, want at most %d", len(tokens), maxTokens)
	}
	return tokens, nil
}

func parseToken(line string) (*token, error) {
	name, secret, ok := strings.Cut(line, ":")
	if !ok || !tokenName.MatchString(name) {
		return nil, errors.New("it does not begin with a name of 1 to 64 letters, digits, '.', '_' or '-' and a colon, want NAME:TOKEN or NAME:sha256:HEX")
	}
	t := &token{name: name}
	if digest, ok := strings.CutPrefix(secret, "sha256:"); ok {
		raw, err := hex.DecodeString(digest)
		if err != nil || len(raw) != sha256.Size {
			return nil, fmt.Errorf("what follows %s:sha256: is no digest, want 64 hexadecimal digits", name)
		}
		t.digest = [sha256.Size]byte(raw)
		return t, nil
	}
	switch {
	case len(secret) < minTokenBytes:
		return nil, fmt.Errorf("the token of %s has %d characters, want at least %d, as `openssl rand -hex 32` gives", name, len(secret), minTokenBytes)
	case len(secret) > maxTokenBytes:
		return nil, fmt.Errorf("the token of %s has %d characters, want at most %d", name, len(secret), maxTokenBytes)
	case !tokenText.MatchString(secret):
		return nil, fmt.Errorf("the token of %s has a character that a bearer token cannot have, want letters, digits and -._~+/, with = at the end only", name)
	}
	t.digest = sha256.Sum256([]byte(secret))
	return t, nil
}
