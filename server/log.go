package server

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// call is what the line of a call's end tells beside its code: what was computed for it, which goroutines of a stream's batches add at the same time. It
// holds no numbers of the inputs, and no name that the caller chose.
type call struct {
	mu        sync.Mutex
	caller    string
	results   int
	failures  int
	rejected  int      // of the failures: was not admitted
	phases    phases   // summed over the results
	losses    []string // of the results, each once
	points    int      // of the largest input
	dimension int      // the highest of the inputs'
}

// maxFinishAttrs is the most attributes that a finish line has.
const maxFinishAttrs = 17

type callKey struct{}

// callOf returns the call that a context belongs to; nil: none that is logged.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// callLines adds to the lines of calls what is evaluated for them.
type callLines struct{ unobserved }

// Finished implements [Observer].
func (callLines) Finished(ctx context.Context, f Finished) { callOf(ctx).add(f) }

// Rejected implements [Observer].
func (callLines) Rejected(ctx context.Context, _ string) { callOf(ctx).reject() }

// add adds what one request or batch came to, if it has a result.
func (c *call) add(f Finished) {
	if c == nil || f.Err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phases = c.phases.plus(phasesOf(f))
	c.points, c.dimension = max(c.points, f.Points), max(c.dimension, f.Dimension)
	for _, loss := range f.Losses {
		if !slices.Contains(c.losses, loss) {
			c.losses = append(c.losses, loss)
		}
	}
}

// count counts one request or batch that ended with err.
func (c *call) count(err error) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failures++
	} else {
		c.results++
	}
}

// reject counts a request or batch that was not admitted.
func (c *call) reject() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rejected++
}

// setCaller notes who calls, which is known only inside of the interceptor that asks them.
func (c *call) setCaller(name string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.caller = name
}

// phaseAttrs are the names of the phases' times.
var phaseAttrs = [phaseCount]string{"decode_seconds", "queue_seconds", "compute_seconds", "encode_seconds"}

// appendTo adds the call's own to the attributes of its finish line.
func (c *call) appendTo(attrs []slog.Attr) []slog.Attr {
	c.mu.Lock()
	defer c.mu.Unlock()
	attrs = append(attrs, slog.String("caller", c.caller))
	if c.results+c.failures > 0 {
		attrs = append(attrs, slog.Int("results", c.results), slog.Int("failures", c.failures), slog.Int("rejected", c.rejected))
	}
	if len(c.losses) == 0 {
		return attrs
	}
	attrs = append(attrs, slog.String("losses", strings.Join(c.losses, ",")), slog.Int("n", c.points), slog.Int("d", c.dimension))
	for i, name := range phaseAttrs {
		attrs = append(attrs, slog.Float64(name, c.phases[i].Seconds()))
	}
	return attrs
}

// logUnary writes the line of a call's end.
func (s *Server) logUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start, c := time.Now(), &call{}
	ctx = context.WithValue(ctx, callKey{}, c)
	response, err := handler(ctx, req)
	s.logFinish(ctx, info.FullMethod, start, c, err)
	return response, err
}

// logStream does for a stream what logUnary does for a call.
func (s *Server) logStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start, c := time.Now(), &call{}
	wrapped := middleware.WrapServerStream(stream)
	wrapped.WrappedContext = context.WithValue(stream.Context(), callKey{}, c)
	err := handler(srv, wrapped)
	s.logFinish(wrapped.WrappedContext, info.FullMethod, start, c, err)
	return err
}

// logFinish writes one line. Of an error it has the code and the reason: the words may repeat what the caller sent.
func (s *Server) logFinish(ctx context.Context, method string, start time.Time, c *call, err error) {
	st := status.Convert(err)
	level := finishLevel(method, st.Code())
	if !s.config.Logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, maxFinishAttrs)
	attrs = append(attrs, slog.String("request_id", requestID(ctx)), slog.String("method", strings.TrimPrefix(method, "/")),
		slog.String("code", st.Code().String()))
	if reason := reasonIn(st); reason != "" {
		attrs = append(attrs, slog.String("reason", reason))
	}
	attrs = append(attrs, slog.Float64("seconds", time.Since(start).Seconds()))
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		attrs = append(attrs, slog.String("trace_id", span.TraceID().String()))
	}
	s.config.Logger.LogAttrs(ctx, level, "finished call", c.appendTo(attrs)...)
}

// finishLevel is how loud a call's end is: a server asked every second whether it is healthy has nothing to tell of that.
func finishLevel(method string, code codes.Code) slog.Level {
	if (code == codes.OK || code == codes.Canceled) && strings.HasPrefix(method, "/"+healthpb.Health_ServiceDesc.ServiceName+"/") {
		return slog.LevelDebug
	}
	return slog.Level(logging.DefaultServerCodeToLevel(code))
}

// reasonIn returns the reason that an error's details name; "": none.
func reasonIn(st *status.Status) string {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
