package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// Tokens of these tests.
var (
	tokenA = strings.Repeat("a", minTokenBytes)
	tokenB = strings.Repeat("b", minTokenBytes)
)

func tokensFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	write(t, path, []byte(strings.Join(lines, "\n")+"\n"))
	return path
}

func readTokens(t *testing.T, path string) *Tokens {
	t.Helper()
	tokens, err := ReadTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// bearing is a context whose calls bear a token.
func bearing(t *testing.T, token string) context.Context {
	return metadata.AppendToOutgoingContext(testContext(t), tokenHeader, "Bearer "+token)
}

// seeCallers tells who makes each call that is computed.
func seeCallers(callers chan<- string) func(*Server) {
	return func(s *Server) {
		s.evaluator.solve = func(e *losses.Evaluation, ctx context.Context) (*losses.Result, error) {
			callers <- callerOf(ctx)
			return e.Evaluate(ctx)
		}
	}
}

// codeAndReason returns an error's code and the reason in its ErrorInfo.
func codeAndReason(err error) (codes.Code, string) {
	s := status.Convert(err)
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return s.Code(), info.GetReason()
		}
	}
	return s.Code(), ""
}

func wantUnauthenticated(t *testing.T, err error, reason string) {
	t.Helper()
	if code, got := codeAndReason(err); code != codes.Unauthenticated || got != reason {
		t.Errorf("got %v %q, want Unauthenticated %q (%v)", code, got, reason, err)
	}
}

func TestTokensNameTheCaller(t *testing.T) {
	digest := sha256.Sum256([]byte(tokenB))
	callers := make(chan string, 10)
	s := start(t, Config{Tokens: readTokens(t, tokensFile(t, "# trainers", "", "one:"+tokenA, "two:sha256:"+hex.EncodeToString(digest[:])))}, seeCallers(callers))
	for token, name := range map[string]string{tokenA: "one", tokenB: "two"} {
		if _, err := s.losses.Evaluate(bearing(t, token), klRequest(1)); err != nil {
			t.Fatal(err)
		}
		if got := <-callers; got != name {
			t.Errorf("the caller is %q, want %q", got, name)
		}
	}
	stream := s.stream(t, bearing(t, tokenA))
	stream.open(klOpen())
	stream.receive()
	stream.kl(1, 2)
	stream.result(1)
	if got := <-callers; got != "one" {
		t.Errorf("the stream's caller is %q, want one", got)
	}
}

// Every method of every service wants a token, but health; neither the answer nor the log tells what was sent instead.
func TestCallsWithoutATokenAreRefused(t *testing.T) {
	var log syncBuffer
	s := start(t, Config{Tokens: readTokens(t, tokensFile(t, "one:"+tokenA)), Logger: logTo(&log)})
	wrong := "s3cret" + tokenA
	for what, test := range map[string]struct {
		headers []string
		reason  string
	}{
		"none":           {nil, "TOKEN_MISSING"},
		"wrong":          {[]string{"Bearer " + wrong}, "TOKEN_UNKNOWN"},
		"its digest":     {[]string{"Bearer " + hexDigest(tokenA)}, "TOKEN_UNKNOWN"},
		"empty":          {[]string{"Bearer "}, "TOKEN_UNKNOWN"},
		"another scheme": {[]string{"Basic " + wrong}, "TOKEN_MISSING"},
		"no scheme":      {[]string{tokenA}, "TOKEN_MISSING"},
		"two":            {[]string{"Bearer " + tokenA, "Bearer " + wrong}, "TOKEN_MISSING"},
	} {
		t.Run(what, func(t *testing.T) {
			ctx := testContext(t)
			for _, h := range test.headers {
				ctx = metadata.AppendToOutgoingContext(ctx, tokenHeader, h)
			}
			for _, err := range everyMethod(t, s, ctx) {
				wantUnauthenticated(t, err, test.reason)
				if strings.Contains(err.Error(), "s3cret") {
					t.Errorf("the error tells the token: %v", err)
				}
			}
		})
	}
	if strings.Contains(log.String(), "s3cret") || strings.Contains(log.String(), tokenA) {
		t.Errorf("the log tells a token: %s", log.String())
	}
	if !strings.Contains(log.String(), "Unauthenticated") {
		t.Errorf("the log does not tell of the refusals: %s", log.String())
	}
	if got := s.Stats(); got.Evaluations+got.Failures != 0 {
		t.Errorf("%+v, want that nothing was computed", got)
	}
	if _, err := s.losses.Evaluate(metadata.AppendToOutgoingContext(testContext(t), tokenHeader, "bearer "+tokenA), klRequest(1)); err != nil {
		t.Errorf("a scheme in small letters: %v", err)
	}
}

func hexDigest(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}

// manyTokens are lines of n different tokens.
func manyTokens(n int) string {
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "one:sha256:%s\n", hexDigest(fmt.Sprint(i)))
	}
	return lines.String()
}

// everyMethod calls each method of the services but health's, and returns the errors.
func everyMethod(t *testing.T, s *started, ctx context.Context) []error {
	t.Helper()
	var errs []error
	for name, service := range s.grpc.GetServiceInfo() {
		if name == healthpb.Health_ServiceDesc.ServiceName {
			continue
		}
		for _, method := range service.Methods {
			// A message with no fields is one of every type.
			stream, err := s.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: method.IsServerStream}, "/"+name+"/"+method.Name)
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.SendMsg(&kantorv1.GetServerInfoRequest{})
			_ = stream.CloseSend()
			errs = append(errs, stream.RecvMsg(&kantorv1.GetServerInfoRequest{}))
		}
	}
	if len(errs) < 6 {
		t.Fatalf("%d methods, want those of three services and reflection", len(errs))
	}
	return errs
}

// What is sent without a token is not read: it may be as large as the limit, and is let go of before it is there.
func TestRequestsWithoutATokenAreNotRead(t *testing.T) {
	s := start(t, Config{Tokens: readTokens(t, tokensFile(t, "one:"+tokenA))})
	large := &kantorv1.EvaluateRequest{Inputs: map[string]*kantorv1.Input{"x": line(make([]float64, 8<<20)...)}} // 64 MiB
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := s.losses.Evaluate(testContext(t), large)
	wantUnauthenticated(t, err, "TOKEN_MISSING")
	runtime.ReadMemStats(&after)
	refused := after.TotalAlloc - before.TotalAlloc
	runtime.ReadMemStats(&before)
	_, _ = s.losses.Evaluate(bearing(t, tokenA), large)
	runtime.ReadMemStats(&after)
	if read := after.TotalAlloc - before.TotalAlloc; refused+(48<<20) > read { // both have the client's own copy
		t.Errorf("%d bytes were allocated for a refused call and %d for one that is read, want 48 MiB less at least", refused, read)
	}
}

func TestHealthAndReflectionWithoutAToken(t *testing.T) {
	for _, open := range []bool{false, true} {
		s := start(t, Config{Tokens: readTokens(t, tokensFile(t, "one:"+tokenA)), OpenReflection: open})
		if _, err := healthpb.NewHealthClient(s.conn).Check(testContext(t), &healthpb.HealthCheckRequest{}); err != nil {
			t.Errorf("health: %v", err)
		}
		stream, err := reflectionpb.NewServerReflectionClient(s.conn).ServerReflectionInfo(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
		if _, err := stream.Recv(); (err == nil) != open {
			t.Errorf("reflection, open %v: got %v", open, err)
		}
	}
}

// A stream ends when its token is gone from the file, and no other does; a token that stays, in another place of the file, stays.
func TestRevokedTokensEndStreams(t *testing.T) {
	path := tokensFile(t, "one:"+tokenA, "two:"+tokenB)
	var log syncBuffer
	s := start(t, Config{Tokens: readTokens(t, path), Logger: logTo(&log)})
	open := func(token string) client {
		c := s.stream(t, bearing(t, token))
		c.open(klOpen())
		c.receive()
		return c
	}
	one, two := open(tokenA), open(tokenB)
	tokenC := strings.Repeat("c", minTokenBytes)
	write(t, path, []byte("two:"+tokenB+"\none:"+tokenC+"\n"))
	wantUnauthenticated(t, one.ended(), "TOKEN_REVOKED")
	two.kl(1, 2)
	if got := two.result(1); got != 2 {
		t.Errorf("got %v", got)
	}
	_, err := s.losses.Evaluate(bearing(t, tokenA), klRequest(1))
	wantUnauthenticated(t, err, "TOKEN_UNKNOWN")
	if _, err := s.losses.Evaluate(bearing(t, tokenC), klRequest(1)); err != nil {
		t.Error(err)
	}
	write(t, path, []byte("# nobody\n"))
	waitUntil(t, func() bool { return strings.Contains(log.String(), "holds no token") }, "the log tells of the empty file")
	if _, err := s.losses.Evaluate(bearing(t, tokenC), klRequest(1)); err != nil {
		t.Errorf("after a file that is wrong: %v", err)
	}
	if text := log.String(); strings.Contains(text, tokenA) || strings.Contains(text, tokenC) {
		t.Errorf("the log tells a token: %s", text)
	}
	two.end()
}

func TestTokenFilesThatAreWrong(t *testing.T) {
	for what, test := range map[string]struct{ text, want string }{
		"empty":              {"", "holds no token"},
		"only comments":      {"# one:" + tokenA, "holds no token"},
		"no name":            {tokenA, "line 1: it does not begin with a name"},
		"a name with spaces": {"# x\na b:" + tokenA, "line 2: it does not begin with a name"},
		"short":              {"one:short", "the token of one has 5 characters, want at least 32"},
		"long":               {"one:" + strings.Repeat("x", maxTokenBytes+1), "want at most 512"},
		"a space in it":      {"one:" + tokenA + " " + tokenB, "a character that a bearer token cannot have"},
		"no digest":          {"one:sha256:" + tokenA, "no digest, want 64 hexadecimal digits"},
		"twice":              {"one:" + tokenA + "\ntwo:" + tokenA, "line 2: the token is that of line 1"},
		"twice, once hashed": {"one:" + tokenA + "\ntwo:sha256:" + hexDigest(tokenA), "line 2: the token is that of line 1"},
		"too many":           {manyTokens(maxTokens + 1), "holds 1025 tokens, want at most 1024"},
		"many":               {manyTokens(maxTokens), ""},
	} {
		_, err := ReadTokens(tokensFile(t, test.text))
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error with %q", what, err, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), tokenA) || strings.Contains(err.Error(), "short")) {
			t.Errorf("%s: the error tells the token: %v", what, err)
		}
	}
	path := tokensFile(t, "one:"+tokenA)
	for mode, want := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o440: true, 0o640: true, 0o644: false, 0o604: false, 0o660: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadTokens(path); (err == nil) != want {
			t.Errorf("mode %04o: got %v, want it taken: %v", mode, err, want)
		}
	}
}

// What a token costs a call, among few and among as many as there may be.
func BenchmarkAuthenticate(b *testing.B) {
	for _, n := range []int{1, maxTokens} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "tokens")
			if err := os.WriteFile(path, []byte(manyTokens(n-1)+"one:"+tokenA+"\n"), 0o600); err != nil {
				b.Fatal(err)
			}
			tokens, err := ReadTokens(path)
			if err != nil {
				b.Fatal(err)
			}
			s := &Server{config: Config{Tokens: tokens}}
			ctx := metadata.NewIncomingContext(b.Context(), metadata.Pairs(tokenHeader, "Bearer "+tokenA))
			for b.Loop() {
				if _, err := s.authenticate(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
