package server

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc/peer"
)

func TestCallerOf(t *testing.T) {
	from := func(address net.Addr) context.Context {
		return peer.NewContext(context.Background(), &peer.Peer{Addr: address})
	}
	tcp := from(&net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 4711})
	for name, c := range map[string]struct {
		ctx  context.Context
		want string
	}{
		"a host, whatever its port": {tcp, "192.0.2.7"},
		"IPv6":                      {from(&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1}), "2001:db8::1"},
		"a Unix socket":             {from(&net.UnixAddr{Name: "@", Net: "unix"}), "local"},
		"no peer":                   {context.Background(), "local"},
		"a name comes first":        {withCaller(tcp, "ann"), "ann"},
	} {
		if got := callerOf(c.ctx); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
