package server

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
)

// interceptors returns those of unary calls and of streams, outermost first and the same for both: the log sees the code that recovery gives a panic.
func (s *Server) interceptors() ([]grpc.UnaryServerInterceptor, []grpc.StreamServerInterceptor) {
	recovered := recovery.WithRecoveryHandlerContext(func(ctx context.Context, p any) error { return toStatus(s.panicked(ctx, p)).Err() })
	return []grpc.UnaryServerInterceptor{
			identifyUnary,
			s.logUnary,
			s.metrics.calls.UnaryServerInterceptor(),
			recovery.UnaryServerInterceptor(recovered),
			s.boundUnary,
		}, []grpc.StreamServerInterceptor{
			identifyStream,
			s.logStream,
			s.metrics.calls.StreamServerInterceptor(),
			recovery.StreamServerInterceptor(recovered),
			s.boundStream,
		}
}

// panicked logs a panic and returns what the caller may know of it.
func (s *Server) panicked(ctx context.Context, p any) error {
	s.config.Observer.Panicked(ctx)
	s.config.Logger.ErrorContext(ctx, "panic", slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
	return errInternal
}

// bound returns a context that also ends when the server does.
func (s *Server) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.life, func() { cancel(context.Cause(s.life)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

func (s *Server) boundUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	callOf(ctx).setCaller(callerOf(ctx))
	return handler(ctx, req)
}

func (s *Server) boundStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, cancel := s.bound(stream.Context())
	defer cancel()
	callOf(ctx).setCaller(callerOf(ctx))
	wrapped := middleware.WrapServerStream(stream)
	wrapped.WrappedContext = ctx
	return handler(srv, wrapped)
}
