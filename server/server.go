package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/server/internal/admission"
)

// Defaults of [Config].
const (
	DefaultMessageBytes = 128 << 20
	DefaultWindow       = 4
	DefaultQueue        = 256
	DefaultQueueWait    = 30 * time.Second
	DefaultStreamIdle   = 15 * time.Minute
	DefaultDrainGrace   = 30 * time.Second
)

// MaxQueue is the most requests of all callers that wait.
const MaxQueue = 4096

// limits protect the server from its clients.
type limits struct {
	connections int
	streams     uint32 // per connection
	headerBytes uint32
	handshake   time.Duration // from the connection to the end of TLS's and HTTP/2's
}

// Bounds that protect the server from its clients.
const (
	minLargeAtOnce       = 8 // requests computed at once that take long: they share the processors, and the next may be a short one of them
	minSmallAtOnce       = 4
	maxConnections       = 256
	maxStreams           = 64
	maxHeaderBytes       = 16 << 10
	handshakeTimeout     = 10 * time.Second
	killGrace            = time.Second // between the end of the grace and the end of the connections
	idleTimeout          = 15 * time.Minute
	pingInterval         = time.Minute
	pingTimeout          = 15 * time.Second
	minClientPing        = 10 * time.Second
	streamWindowBytes    = 4 << 20 // flow control windows and buffers: with the defaults, a megabyte takes twice as long
	connectionWindow     = 16 << 20
	connectionBufferSize = 256 << 10
)

// Config is what a server can be told.
type Config struct {
	// Version is named in results and by GetServerInfo. Empty: "dev".
	Version string
	// Logger takes one line per call, and what goes wrong. Nil: nothing is logged.
	Logger *slog.Logger
	// MessageBytes is the largest message, in either direction. Zero: DefaultMessageBytes.
	MessageBytes int
	// Window is the most batches in flight on one stream. Zero: DefaultWindow.
	Window int
	// MemoryBytes is the most memory that requests may take. Zero: there is no limit.
	MemoryBytes int64
	// Queue is the most requests of one caller that wait for their turn. Zero: DefaultQueue.
	Queue int
	// QueueWait is the longest that a request waits for its turn. Zero: DefaultQueueWait.
	QueueWait time.Duration
	// StreamIdle is how long a stream stays open that nothing happens on. Zero: DefaultStreamIdle.
	StreamIdle time.Duration
	// DrainGrace is how long a stop waits for what is open. Zero: DefaultDrainGrace.
	DrainGrace time.Duration
	// TLS encrypts. Nil: plain text.
	TLS *TLS
	// Tokens are asked of whoever calls anything but health. Nil: everybody may call who can connect.
	Tokens *Tokens
	// OpenReflection lets everybody list the services, where there are tokens.
	OpenReflection bool
	// limits are the bounds below, where a test has others.
	limits *limits
	// Observer is told what becomes of requests. Nil: nobody is.
	Observer Observer
	// Tracer makes the spans of calls and of their phases. Nil: there are none.
	Tracer trace.TracerProvider
}

// withDefaults returns c with its zero values replaced.
func (c Config) withDefaults() (Config, error) {
	switch {
	case c.MessageBytes < 0:
		return c, fmt.Errorf("message bytes: got %d, want 0 or more", c.MessageBytes)
	case c.Window < 0:
		return c, fmt.Errorf("window: got %d, want 0 or more", c.Window)
	case c.DrainGrace < 0:
		return c, fmt.Errorf("drain grace: got %v, want 0 or more", c.DrainGrace)
	case c.MemoryBytes < 0:
		return c, fmt.Errorf("memory bytes: got %d, want 0 or more", c.MemoryBytes)
	case c.Queue < 0 || c.Queue > MaxQueue:
		return c, fmt.Errorf("queue: got %d, want 0 to %d", c.Queue, MaxQueue)
	case c.QueueWait < 0:
		return c, fmt.Errorf("queue wait: got %v, want 0 or more", c.QueueWait)
	case c.StreamIdle < 0:
		return c, fmt.Errorf("stream idle: got %v, want 0 or more", c.StreamIdle)
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.limits == nil {
		c.limits = &limits{connections: maxConnections, streams: maxStreams, headerBytes: maxHeaderBytes, handshake: handshakeTimeout}
	}
	if c.Observer == nil {
		c.Observer = unobserved{}
	}
	c.MessageBytes = cmp.Or(c.MessageBytes, DefaultMessageBytes)
	c.Window = cmp.Or(c.Window, DefaultWindow)
	c.Queue = cmp.Or(c.Queue, DefaultQueue)
	c.QueueWait = cmp.Or(c.QueueWait, DefaultQueueWait)
	c.StreamIdle = cmp.Or(c.StreamIdle, DefaultStreamIdle)
	c.DrainGrace = cmp.Or(c.DrainGrace, DefaultDrainGrace)
	return c, nil
}

// admission is how much is computed at once, and how much waits. Processors are shared out tile by tile among all that is computed, so that more at once
// answers nothing earlier; but what is short fills no processors by itself, and what is long does not always.
func (c Config) admission() admission.Limits {
	processors := losses.Processors()
	return admission.Limits{
		Small: max(minSmallAtOnce, 2*processors), Large: max(minLargeAtOnce, processors), Processors: processors,
		PerCaller: c.Queue, Queued: MaxQueue, Wait: c.QueueWait, Bytes: c.MemoryBytes,
	}
}

// Server is a loss server.
type Server struct {
	config    Config
	evaluator Evaluator
	counters  *counters
	metrics   *metrics
	admission *admission.Controller
	grpc      *grpc.Server
	health    *health.Server

	// life ends, with the cause errStopping, when what still runs is not waited for any longer.
	life context.Context
	kill context.CancelCauseFunc

	drainOnce sync.Once
	draining  chan struct{} // closed when the server begins to stop
	grace     time.Duration // written before draining is closed
	drained   chan struct{} // closed when the server has stopped
}

// New wires a server. It listens to nothing before [Server.Serve].
func New(config Config) (*Server, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		config:    config,
		evaluator: Evaluator{Version: config.Version, solve: injected()},
		counters:  newCounters(),
		metrics:   newMetrics(config.Version),
		admission: admission.New(config.admission()),
		health:    health.NewServer(),
		draining:  make(chan struct{}),
		drained:   make(chan struct{}),
	}
	s.config.Observer = observers{s.metrics, callLines{}, spans{}, config.Observer}
	s.life, s.kill = context.WithCancelCause(context.Background())
	s.grpc = grpc.NewServer(s.options()...)
	s.grpc.RegisterService(s.guarded(&kantorv1.LossService_ServiceDesc), lossService{server: s})
	s.grpc.RegisterService(s.guarded(&kantorv1.DiagnosticService_ServiceDesc), diagnosticService{server: s})
	s.grpc.RegisterService(s.guarded(&kantorv1.InfoService_ServiceDesc), infoService{server: s})
	healthpb.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.metrics.describe(s)
	for _, service := range []string{"", kantorv1.LossService_ServiceDesc.ServiceName, kantorv1.DiagnosticService_ServiceDesc.ServiceName,
		kantorv1.InfoService_ServiceDesc.ServiceName} {
		s.health.SetServingStatus(service, healthpb.HealthCheckResponse_SERVING)
	}
	return s, nil
}

func (s *Server) options() []grpc.ServerOption {
	unary, stream := s.interceptors()
	memory := &buffers{}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(s.config.MessageBytes),
		grpc.MaxSendMsgSize(s.config.MessageBytes),
		grpc.MaxConcurrentStreams(s.config.limits.streams),
		grpc.MaxHeaderListSize(s.config.limits.headerBytes),
		grpc.ConnectionTimeout(s.config.limits.handshake),
		grpc.InitialWindowSize(streamWindowBytes),
		grpc.InitialConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(connectionBufferSize),
		grpc.WriteBufferSize(connectionBufferSize),
		grpc.ForceServerCodecV2(codec{memory}),
		experimental.BufferPool(memory),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minClientPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTimeout, Time: pingInterval, Timeout: pingTimeout}),
		// A handler's goroutines end with it, so nothing computes after Serve has returned.
		grpc.WaitForHandlers(true),
		s.config.tracing(),
		grpc.ChainUnaryInterceptor(unary...),
		grpc.ChainStreamInterceptor(stream...),
	}
	if s.config.TLS != nil {
		options = append(options, grpc.Creds(s.config.TLS.credentials()))
	}
	return options
}

// Serve answers on the listener until the context ends, then stops as [Server.Drain] does and returns nil. It takes over the listener. A server serves
// once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { s.Drain(s.config.DrainGrace) })
	defer stop()
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	var watcher sync.WaitGroup
	watcher.Go(func() { s.watch(watching, s.watched()...) })
	defer watcher.Wait()
	defer unwatch()
	err := s.grpc.Serve(netutil.LimitListener(listener, s.config.limits.connections))
	select {
	case <-s.draining:
		<-s.drained
		err = nil
	default:
		if errors.Is(err, grpc.ErrServerStopped) {
			err = nil
		}
		s.Drain(0)
	}
	s.config.Logger.Info("stopped", s.Stats().attrs()...)
	return err
}

// Drain stops the server and returns when it has stopped. Health says so, streams are told, new calls are refused; what is open has the grace to end, then
// it is answered UNAVAILABLE; what does not take that answer either is cut off. Only the first call counts.
func (s *Server) Drain(grace time.Duration) {
	s.drainOnce.Do(func() {
		defer close(s.drained)
		s.health.Shutdown()
		s.grace = grace
		close(s.draining)
		s.config.Logger.Info("stopping", slog.Duration("grace", grace))
		stopped := make(chan struct{})
		go func() {
			s.grpc.GracefulStop() // does not return while a stream is open, hence the timers
			close(stopped)
		}()
		if !endsWithin(stopped, grace) {
			s.kill(errStopping)
			if !endsWithin(stopped, killGrace) {
				s.grpc.Stop()
				<-stopped
			}
		}
		s.kill(errStopping)
	})
	<-s.drained
}

// endsWithin waits for the channel to be closed, and reports whether it was.
func endsWithin(done <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
