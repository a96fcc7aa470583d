package server

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// tokenHeader carries "Bearer TOKEN" (RFC 6750).
const tokenHeader = "authorization"

// reflectionPrefix begins the method names of every version of the service that lists the others.
const reflectionPrefix = "/grpc.reflection."

// unauthenticatedError is a call of somebody whom the server does not know. It never holds what they sent.
type unauthenticatedError struct{ code, reason string }

func (e *unauthenticatedError) Error() string { return e.reason }

var (
	errNoToken = &unauthenticatedError{"TOKEN_MISSING", "there is no token: this server wants the header `authorization: Bearer TOKEN`, once"}
	errNoMatch = &unauthenticatedError{"TOKEN_UNKNOWN", "the token is not one of this server's: it was mistyped, or has been replaced"}
)

type tokenKey struct{}

// authenticate returns the context of a call with who makes it. Without tokens to compare with, everybody may call who can connect.
func (s *Server) authenticate(ctx context.Context) (context.Context, error) {
	if s.config.Tokens == nil {
		if from, ok := peer.FromContext(ctx); ok {
			if name := certificateName(from.AuthInfo); name != "" {
				ctx = withCaller(ctx, name)
			}
		}
		return ctx, nil
	}
	known, ok := ctx.Value(tokenKey{}).(*token) // of a call whose request was read
	if !ok {
		if method, ok := grpc.Method(ctx); ok && s.open(method) {
			return ctx, nil
		}
		var err error
		if known, err = s.config.Tokens.of(ctx); err != nil {
			return nil, err
		}
		ctx = context.WithValue(ctx, tokenKey{}, known)
	}
	return withCaller(ctx, known.name), nil
}

// of returns the token that a call bears, or an *unauthenticatedError.
func (t *Tokens) of(ctx context.Context) (*token, error) {
	given := metadata.ValueFromIncomingContext(ctx, tokenHeader)
	if len(given) != 1 {
		return nil, errNoToken
	}
	scheme, text, _ := strings.Cut(given[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return nil, errNoToken
	}
	if known := t.find(strings.TrimLeft(text, " ")); known != nil {
		return known, nil
	}
	return nil, errNoMatch
}

// open tells whether a method needs no token: an orchestrator has none for its probes.
func (s *Server) open(method string) bool {
	return strings.HasPrefix(method, "/"+healthpb.Health_ServiceDesc.ServiceName+"/") || s.config.OpenReflection && strings.HasPrefix(method, reflectionPrefix)
}

// whileAccepted calls cancel when the token with which a call was opened is no longer accepted.
func whileAccepted(ctx context.Context, cancel context.CancelCauseFunc) (stop func() bool) {
	known, ok := ctx.Value(tokenKey{}).(*token)
	if !ok {
		return func() bool { return true }
	}
	return context.AfterFunc(known.life, func() { cancel(context.Cause(known.life)) })
}

// guarded returns a service whose unary methods do not read what somebody sends whom the server does not know. gRPC reads a request, which may be as large as
// the limit, before it asks the interceptors; they refuse the call then.
func (s *Server) guarded(desc *grpc.ServiceDesc) *grpc.ServiceDesc {
	with := *desc
	with.Methods = slices.Clone(desc.Methods)
	for i, method := range desc.Methods {
		with.Methods[i].Handler = func(srv any, ctx context.Context, read func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			known, err := s.authenticate(ctx)
			if err != nil {
				read = func(any) error { return nil }
			} else {
				ctx = known
			}
			return method.Handler(srv, ctx, read, interceptor)
		}
	}
	return &with
}
