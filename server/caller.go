package server

import (
	"context"
	"net"

	"google.golang.org/grpc/peer"
)

// localCaller is everybody who comes over a Unix socket without a name: its mode lets one user in.
const localCaller = "local"

type callerKey struct{}

// withCaller names who calls: whoever has authenticated a call says whose it is.
func withCaller(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, callerKey{}, name)
}

// callerOf is who calls, as far as turns are fair between callers: the name that withCaller gave, or else the host that the call comes from.
func callerOf(ctx context.Context) string {
	if name, ok := ctx.Value(callerKey{}).(string); ok {
		return name
	}
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return localCaller
	}
	if tcp, ok := p.Addr.(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	return localCaller
}
