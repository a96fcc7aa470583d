package server

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
)

// interceptors returns those of unary calls and of streams, outermost first and the same for both: the log sees the code that the mask gives an error.
func (s *Server) interceptors() ([]grpc.UnaryServerInterceptor, []grpc.StreamServerInterceptor) {
	recovered := recovery.WithRecoveryHandlerContext(func(ctx context.Context, p any) error { return s.panicked(ctx, p) })
	return []grpc.UnaryServerInterceptor{
			identifyUnary,
			s.logUnary,
			s.metrics.calls.UnaryServerInterceptor(),
			maskUnary,
			recovery.UnaryServerInterceptor(recovered),
			auth.UnaryServerInterceptor(s.authenticate),
			s.boundUnary,
		}, []grpc.StreamServerInterceptor{
			identifyStream,
			s.logStream,
			s.metrics.calls.StreamServerInterceptor(),
			maskStream,
			recovery.StreamServerInterceptor(recovered),
			auth.StreamServerInterceptor(s.authenticate),
			s.boundStream,
		}
}

// maskUnary makes every error a status that tells the caller what they may know.
func maskUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	response, err := handler(ctx, req)
	return response, toStatus(err).Err()
}

// maskStream does for a stream what maskUnary does for a call.
func maskStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return toStatus(handler(srv, stream)).Err()
}

// panicked logs a panic and returns what the caller may know of it.
func (s *Server) panicked(ctx context.Context, p any) error {
	s.config.Observer.Panicked(ctx)
	s.config.Logger.ErrorContext(ctx, "panic", slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
	return errInternal
}

// bound returns a context that also ends when the server does.
func (s *Server) bound(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.life, func() { cancel(context.Cause(s.life)) })
	return ctx, func(cause error) {
		stop()
		cancel(cause)
	}
}

func (s *Server) boundUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel(nil)
	callOf(ctx).setCaller(callerOf(ctx))
	return handler(ctx, req)
}

// boundStream also ends the stream when the token is revoked that opened it; a unary call has been let in, and is short.
func (s *Server) boundStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, cancel := s.bound(stream.Context())
	defer cancel(nil)
	stop := whileAccepted(ctx, cancel)
	defer stop()
	callOf(ctx).setCaller(callerOf(ctx))
	wrapped := middleware.WrapServerStream(stream)
	wrapped.WrappedContext = ctx
	return handler(srv, wrapped)
}
