package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// Bounds that protect the admin listener, which few talk to and none for long.
const (
	maxAdminConnections  = 32
	maxScrapes           = 4 // at once
	adminHeaderTimeout   = 3 * time.Second
	adminReadTimeout     = 10 * time.Second
	adminWriteTimeout    = 2 * time.Minute // which also bounds the seconds of a profile
	adminIdleTimeout     = 2 * time.Minute // above the minute that scrapes usually are apart
	adminMaxHeaderBytes  = 8 << 10
	adminMaxRequestBytes = 1 << 10
)

// CheckAdminAddress tells whether an admin listener may be there. Nobody is asked who they are, so an address that other machines can reach is refused unless
// insecure. The error is a *[losses.InputError].
func CheckAdminAddress(address string, insecure bool) error {
	if strings.HasPrefix(address, "unix:") {
		return nil
	}
	resolved, err := resolve(address, true)
	if err == nil && !resolved.IP.IsLoopback() && !insecure {
		err = badf(address, "other machines can reach this address, and anyone who does is answered: listen on 127.0.0.1 or unix:PATH, or accept that with "+
			"--admin-insecure")
	}
	return err
}

// ListenAdmin listens for [Server.ServeAdmin] on an address that [CheckAdminAddress] has nothing against.
func ListenAdmin(address string, insecure bool) (net.Listener, error) {
	if err := CheckAdminAddress(address, insecure); err != nil {
		return nil, err
	}
	return Listen(address, insecure)
}

// ServeAdmin answers over HTTP on the listener, which it takes over, until the server has stopped; then it returns nil. It goes on while the server stops, to
// say so:
//
//	/metrics       for Prometheus
//	/healthz       200 as long as the process answers
//	/readyz        200, and 503 from the moment that the server begins to stop
//	/debug/pprof/  Go's profiles, where no other machine can reach the listener: they cost time, and show what the process does
func (s *Server) ServeAdmin(listener net.Listener) error {
	web := &http.Server{
		Handler:           s.adminHandler(private(listener.Addr())),
		ReadHeaderTimeout: adminHeaderTimeout,
		ReadTimeout:       adminReadTimeout,
		WriteTimeout:      adminWriteTimeout,
		IdleTimeout:       adminIdleTimeout,
		MaxHeaderBytes:    adminMaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelDebug),
	}
	closed := make(chan struct{})
	served := make(chan struct{})
	go func() {
		defer close(closed)
		select {
		case <-s.drained:
		case <-served:
		}
		_ = web.Close()
	}()
	err := web.Serve(netutil.LimitListener(listener, maxAdminConnections))
	close(served)
	<-closed
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// private reports whether no other machine can reach an address.
func private(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}

func (s *Server) adminHandler(profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelError),
		MaxRequestsInFlight: maxScrapes,
		ProcessStartTime:    s.metrics.start,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	if profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return http.MaxBytesHandler(mux, adminMaxRequestBytes)
}

// ready says whether new calls are taken.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-s.draining:
		say(w, http.StatusServiceUnavailable, "stopping")
	default:
		say(w, http.StatusOK, "ready")
	}
}

func say(w http.ResponseWriter, code int, word string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, fmt.Sprintln(word))
}
