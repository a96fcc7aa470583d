package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"kantor/losses"
	"kantor/server"
)

// minMessageBytes leaves room for an objective and what says that a request is too large. Protocol buffers end at 2 GiB.
const minMessageBytes = 64 << 10

// maxThreads is the most that --threads takes: more than any machine has processors, and little enough for Go to keep books on.
const maxThreads = 4096

type serveCommand struct {
	Listen         string        `default:"127.0.0.1:7443" placeholder:"ADDRESS" help:"HOST:PORT, or unix:PATH for a socket of mode 0600 (${default})."`
	Insecure       bool          `help:"Listen in plain text on an address that other machines can reach."`
	LogFormat      string        `default:"text" enum:"text,json" help:"Log as text or as json, on standard error (${default})."`
	LogLevel       slog.Level    `default:"info" help:"Log this and above: debug, info, warn or error (${default})."`
	DrainGrace     time.Duration `default:"30s" help:"How long a stop waits for open calls (${default})."`
	MaxMessageSize size          `default:"128MiB" placeholder:"SIZE" help:"Refuse requests above this, and answers; 64KiB to 2047MiB (${default})."`
	Threads        int           `default:"0" placeholder:"N" help:"How many threads compute, for all calls together; 0: as many as the affinity mask and the control group's quota allow (${default})."`
	admission
	configured
	secured
	goneWith
	pairMemory
	observed
}

// Run serves until it is told to stop.
func (c serveCommand) Run(std streams) error {
	if c.PrintConfig {
		return c.settings.print(std.stdout)
	}
	config, err := c.serverConfig()
	if err != nil {
		return c.settings.located(err)
	}
	if c.CheckConfig {
		_, err := fmt.Fprintln(std.stdout, "a server can start like this")
		return err
	}
	lease, err := c.openLease()
	if err != nil {
		return err
	}
	setThreads(c.Threads) // before anyone can ask how many there are
	config.Logger = c.logger(c.logTo(std.stderr))
	traces := newTracing(context.Background(), config.Logger, versionText())
	defer traces.close()
	config.Tracer = traces.tracer()
	srv, err := server.New(config)
	if err != nil {
		return err
	}
	listener, admin, err := c.listen(srv)
	if err != nil {
		return err
	}
	// When the program that started it is gone, so are its pipes. A line of log to one of them must not kill the server before it has stopped.
	signal.Ignore(syscall.SIGPIPE)
	signalled, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	context.AfterFunc(signalled, func() {
		stop() // first: when anyone can see that the server stops, a second signal ends the process at once
		cancel()
	})
	leave := c.whenAlone(std.stdin, lease, c.Listen, func() { srv.Drain(min(goneGrace, c.DrainGrace)) })
	if _, err := fmt.Fprintf(std.stdout, "kantor %s listening on %s\n", versionText(), server.Address(listener)); err != nil {
		return errors.Join(err, listener.Close(), closeListener(admin))
	}
	ended := serveAdmin(srv, admin, config.Logger)
	defer runtime.KeepAlive(paceCollections(groupMemory(os.DirFS("/"))))
	err = srv.Serve(ctx, listener)
	ended()
	leave()
	return err
}

// listen opens the server's address and the admin listener's; the latter is nil where none is asked for.
func (c serveCommand) listen(srv *server.Server) (listener, admin net.Listener, err error) {
	if admin, err = c.listenAdmin(); err != nil {
		return nil, nil, err
	}
	if listener, err = srv.Listen(c.Listen, c.Insecure); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("--listen %w", err), closeListener(admin))
	}
	return listener, admin, nil
}

// serverConfig is what the server is told, once all of it has been looked at.
func (c serveCommand) serverConfig() (server.Config, error) {
	config := server.Config{Version: versionText(), DrainGrace: c.DrainGrace, MessageBytes: int(c.MaxMessageSize)}
	if err := c.check(); err != nil {
		return config, err
	}
	c.admission.apply(&config, memoryAllowed(os.DirFS("/")))
	if err := c.secure(&config); err != nil {
		return config, err
	}
	if err := config.CheckAddress(c.Listen, c.Insecure); err != nil {
		return config, fmt.Errorf("--listen %w", err)
	}
	return config, c.checkAdmin()
}

// check refuses flags that no server can follow, and sets what holds for the whole process.
func (c serveCommand) check() error {
	switch {
	case c.DrainGrace <= 0:
		return &losses.InputError{Field: "--drain-grace", Reason: fmt.Sprintf("is %v, want more than 0", c.DrainGrace)}
	case c.MaxMessageSize < minMessageBytes || c.MaxMessageSize > math.MaxInt32:
		return &losses.InputError{Field: "--max-message-size", Reason: fmt.Sprintf("is %d bytes, want %d to %d", c.MaxMessageSize, minMessageBytes, math.MaxInt32)}
	case c.Threads < 0 || c.Threads > maxThreads:
		return &losses.InputError{Field: "--threads", Reason: fmt.Sprintf("is %d, want 0 to %d", c.Threads, maxThreads)}
	case c.RemoveDirectory && !strings.HasPrefix(c.Listen, "unix:"):
		return &losses.InputError{Field: "--remove-directory", Reason: fmt.Sprintf("the address is %s, want unix:PATH", c.Listen)}
	}
	if err := c.admission.check(); err != nil {
		return err
	}
	return c.set()
}

// setThreads sets how many threads compute, 0: as many as Go finds allowed, by the affinity mask and the control group's quota, which it rounds up and takes
// for 2 at least. It gives Go one processor more than that. Go looks for messages only when one of its processors has nothing to do, or after 10 ms:
// with all of them computing, a request would wait that long to be read. A processor more than the machine has makes it the kernel that lets a goroutine
// with a message run beside the others.
func setThreads(n int) {
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	losses.SetProcessors(n)
	runtime.GOMAXPROCS(n + 1)
}

func (c serveCommand) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
