package server

import (
	"context"
	"crypto/rand"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// requestIDHeader carries a call's id, in the request where the caller picks it, and in the response always.
const requestIDHeader = "x-request-id"

// maxRequestIDBytes is more than a UUID or a trace's id needs, and little enough for every line of a log.
const maxRequestIDBytes = 128

type requestIDKey struct{}

// requestID returns the id of the call that the context belongs to, "" outside a call. It is the caller's own where that is sane, so it identifies nothing.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// withRequestID returns a context whose call has an id: the one it has, the caller's, or a random one. A stream's batches share the stream's.
func withRequestID(ctx context.Context) (context.Context, string) {
	if id := requestID(ctx); id != "" {
		return ctx, id
	}
	id := rand.Text()
	if given := metadata.ValueFromIncomingContext(ctx, requestIDHeader); len(given) == 1 && saneRequestID(given[0]) {
		id = given[0]
	}
	return context.WithValue(ctx, requestIDKey{}, id), id
}

// saneRequestID tells whether an id can stand in a header, in a line of a log and in a shell's command without being quoted.
func saneRequestID(id string) bool {
	if id == "" || len(id) > maxRequestIDBytes {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}

// identifyUnary gives a call its id, and tells it in the response's header and, as RequestInfo, in an error.
func identifyUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, id := withRequestID(ctx)
	if err := grpc.SetHeader(ctx, metadata.Pairs(requestIDHeader, id)); err != nil {
		return nil, err
	}
	response, err := handler(ctx, req)
	return response, identified(err, id)
}

// identifyStream does for a stream what identifyUnary does for a call.
func identifyStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, id := withRequestID(stream.Context())
	if err := stream.SetHeader(metadata.Pairs(requestIDHeader, id)); err != nil {
		return err
	}
	wrapped := middleware.WrapServerStream(stream)
	wrapped.WrappedContext = ctx
	return identified(handler(srv, wrapped), id)
}

// identified adds the call's id to an error that is a status.
func identified(err error, id string) error {
	if err == nil {
		return nil
	}
	with, failed := status.Convert(err).WithDetails(&errdetails.RequestInfo{RequestId: id})
	if failed != nil {
		return err
	}
	return with.Err()
}
