package main

import (
	"fmt"
	"log/slog"
	"net"
	"sync"

	"kantor/server"
)

// observed are the flags of what a server shows of itself beside its log.
type observed struct {
	Admin         string `placeholder:"ADDRESS" help:"Answer /metrics, /healthz, /readyz and /debug/pprof over HTTP on HOST:PORT or unix:PATH. Without it there is no such listener."`
	AdminInsecure bool   `help:"Let --admin be an address that other machines can reach, for scrapes and probes from there; /debug/pprof is left out then."`
}

// checkAdmin refuses an address that no admin listener may have.
func (o observed) checkAdmin() error {
	if o.Admin == "" {
		return nil
	}
	if err := server.CheckAdminAddress(o.Admin, o.AdminInsecure); err != nil {
		return fmt.Errorf("--admin %w", err)
	}
	return nil
}

// listenAdmin returns nil where no admin listener is asked for.
func (o observed) listenAdmin() (net.Listener, error) {
	if o.Admin == "" {
		return nil, nil
	}
	listener, err := server.ListenAdmin(o.Admin, o.AdminInsecure)
	if err != nil {
		return nil, fmt.Errorf("--admin %w", err)
	}
	return listener, nil
}

// closeListener closes a listener, which may be nil.
func closeListener(listener net.Listener) error {
	if listener == nil {
		return nil
	}
	return listener.Close()
}

// serveAdmin answers on a listener, which may be nil, until the server has stopped; wait returns then.
func serveAdmin(srv *server.Server, listener net.Listener, logger *slog.Logger) (wait func()) {
	var serving sync.WaitGroup
	if listener != nil {
		logger.Info("admin listening", slog.String("address", server.Address(listener)))
		serving.Go(func() {
			if err := srv.ServeAdmin(listener); err != nil {
				logger.Error("admin listener", slog.Any("error", err))
			}
		})
	}
	return serving.Wait
}
