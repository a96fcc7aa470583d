package server

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// rawPeer is a client that keeps no rules but those of HTTP/2's framing.
type rawPeer struct {
	t       *testing.T
	conn    net.Conn
	framer  *http2.Framer
	headers bytes.Buffer
	encoder *hpack.Encoder
}

func rawDial(t *testing.T, s *started) *rawPeer {
	t.Helper()
	conn, err := net.Dial("tcp", s.conn.Target())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	p := &rawPeer{t: t, conn: conn, framer: http2.NewFramer(conn, conn)}
	p.encoder = hpack.NewEncoder(&p.headers)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := p.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return p
}

// call begins a stream of a method; what it writes may fail, where the server has had enough.
func (p *rawPeer) call(id uint32, method string, more ...hpack.HeaderField) error {
	p.headers.Reset()
	for _, fields := range [][]hpack.HeaderField{{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: method},
		{Name: ":authority", Value: "x"}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"}}, more} {
		for _, f := range fields {
			if err := p.encoder.WriteField(f); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	block, first := p.headers.Bytes(), true
	for first || len(block) > 0 {
		part := block[:min(len(block), 16000)]
		block = block[len(part):]
		var err error
		if first {
			err = p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: part, EndHeaders: len(block) == 0})
		} else {
			err = p.framer.WriteContinuation(id, len(block) == 0, part)
		}
		if err != nil {
			return err
		}
		first = false
	}
	return nil
}

// until reads frames until one is as wanted, and fails the test if the connection ends before.
func (p *rawPeer) until(want func(http2.Frame) bool) {
	p.t.Helper()
	for {
		frame, err := p.framer.ReadFrame()
		if err != nil {
			p.t.Fatalf("%v, before the frame that was waited for", err)
		}
		if want(frame) {
			return
		}
	}
}

const evaluateMethod = "/kantor.v1.LossService/Evaluate"

// answers fails unless others are still served.
func (s *started) answers(t *testing.T) {
	t.Helper()
	if _, err := s.losses.Evaluate(testContext(t), klRequest(1)); err != nil {
		t.Errorf("others are not served: %v", err)
	}
}

// A header list above the limit ends the stream that it is for. A client that asks the server first, as gRPC's does, fails before it sends.
func TestLimitHeaderBomb(t *testing.T) {
	s := start(t, Config{})
	ctx := metadata.AppendToOutgoingContext(testContext(t), "x-long", strings.Repeat("x", 2*maxHeaderBytes))
	if _, err := s.losses.Evaluate(ctx, klRequest(1)); err == nil {
		t.Error("a list of 32 KiB was taken")
	}
	// Indexed fields are a byte each on the wire and hundreds when they are read: 8 KB would be 4 MB.
	p := rawDial(t, s)
	bomb := []hpack.HeaderField{{Name: "x-bomb", Value: strings.Repeat("x", 500)}}
	for range 8000 {
		bomb = append(bomb, bomb[0])
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for id := uint32(1); id < 200; id += 2 {
		if err := p.call(id, evaluateMethod, bomb...); err != nil {
			t.Fatal(err)
		}
		p.until(func(f http2.Frame) bool {
			reset, ok := f.(*http2.RSTStreamFrame)
			return ok && reset.StreamID == id
		})
	}
	runtime.ReadMemStats(&after)
	if spent := after.TotalAlloc - before.TotalAlloc; spent > 40<<20 {
		t.Errorf("100 bombs of 4 MB each took %d bytes", spent)
	}
	s.answers(t)
}

// Streams that are reset as soon as they are begun (CVE-2023-44487) are never more than the limit at work, and leave nothing behind.
func TestLimitRapidReset(t *testing.T) {
	s := start(t, Config{})
	s.answers(t)
	goroutines := runtime.NumGoroutine()
	p := rawDial(t, s)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for {
			if _, err := p.framer.ReadFrame(); err != nil {
				return
			}
		}
	}()
	most := 0
	for id := uint32(1); id < 20000; id += 2 {
		if err := errors.Join(p.call(id, "/kantor.v1.LossService/EvaluateStream"), p.framer.WriteRSTStream(id, http2.ErrCodeCancel)); err != nil {
			break // the server may end the connection
		}
		most = max(most, runtime.NumGoroutine()-goroutines)
	}
	// A stream has three goroutines at most: its handler, its reader, and what carries the end of its context.
	if most > 4*maxStreams {
		t.Errorf("there were %d goroutines more", most)
	}
	s.answers(t)
	_ = p.conn.Close()
	<-drained
	waitUntil(t, func() bool { return runtime.NumGoroutine() <= goroutines+2 }, "what served the streams has ended")
}

// Beyond the limit a stream is refused, or waits where the client counts, and those that are open go on.
func TestLimitStreams(t *testing.T) {
	s := start(t, Config{})
	p := rawDial(t, s)
	for id := uint32(1); id <= 2*maxStreams+1; id += 2 {
		if err := p.call(id, "/kantor.v1.LossService/EvaluateStream"); err != nil {
			t.Fatal(err)
		}
	}
	p.until(func(f http2.Frame) bool {
		reset, ok := f.(*http2.RSTStreamFrame)
		if ok && (reset.StreamID != 2*maxStreams+1 || reset.ErrCode != http2.ErrCodeRefusedStream) {
			t.Errorf("stream %d was reset with %v, want the one above the limit refused", reset.StreamID, reset.ErrCode)
		}
		return ok
	})
	s.answers(t)
}

// Who connects and says nothing is cut off when the time for a handshake is over, with TLS and without.
func TestLimitSlowHandshake(t *testing.T) {
	ca := newAuthority(t)
	for what, config := range map[string]Config{"TCP": {}, "TLS": {TLS: readTLS(t, ca.files("server", nil))}} {
		t.Run(what, func(t *testing.T) {
			config.limits = &limits{connections: 4, streams: maxStreams, headerBytes: maxHeaderBytes, handshake: 100 * time.Millisecond}
			s := start(t, config)
			for _, says := range []string{"", http2.ClientPreface[:10], "\x16\x03\x01"} {
				conn, err := net.Dial("tcp", s.conn.Target())
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.SetDeadline(time.Now().Add(patience))
				_, _ = io.WriteString(conn, says)
				if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("after %q it was not cut off within %v", says, patience)
				}
				_ = conn.Close()
			}
			if config.TLS != nil {
				if _, err := dialTLS(t, s, &tls.Config{RootCAs: ca.pool()}).Evaluate(testContext(t), klRequest(1)); err != nil {
					t.Errorf("others are not served: %v", err)
				}
				return
			}
			s.answers(t)
		})
	}
}

// Connections above the limit wait until another ends; those that are there are served.
func TestLimitConnections(t *testing.T) {
	s := start(t, Config{limits: &limits{connections: 3, streams: maxStreams, headerBytes: maxHeaderBytes, handshake: handshakeTimeout}})
	s.answers(t)
	first, second, waiting := rawDial(t, s), rawDial(t, s), rawDial(t, s)
	greeted := func(f http2.Frame) bool { _, ok := f.(*http2.SettingsFrame); return ok }
	first.until(greeted)
	second.until(greeted)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = waiting.framer.ReadFrame()
	}()
	s.answers(t)
	select {
	case <-answered:
		t.Error("the connection above the limit was served")
	default:
	}
	_ = first.conn.Close()
	waitFor(t, answered, "the connection to be served when another has ended")
}

// Compressed messages are refused: what they unpack to is not known before.
func TestLimitCompression(t *testing.T) {
	s := start(t, Config{})
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(make([]byte, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p := rawDial(t, s)
	if err := p.call(1, evaluateMethod, hpack.HeaderField{Name: "grpc-encoding", Value: "gzip"}); err != nil {
		t.Fatal(err)
	}
	message := append(binary.BigEndian.AppendUint32([]byte{1}, uint32(packed.Len())), packed.Bytes()...)
	for len(message) > 0 {
		part := message[:min(len(message), 16000)]
		message = message[len(part):]
		if err := p.framer.WriteData(1, len(message) == 0, part); err != nil {
			t.Fatal(err)
		}
	}
	p.until(func(f http2.Frame) bool {
		headers, ok := f.(*http2.HeadersFrame)
		if !ok {
			return false
		}
		fields, err := hpack.NewDecoder(4096, nil).DecodeFull(headers.HeaderBlockFragment())
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range fields {
			if field.Name == "grpc-status" && field.Value != "12" {
				t.Errorf("status %s, want 12, UNIMPLEMENTED", field.Value)
			}
		}
		return headers.StreamEnded()
	})
	s.answers(t)
}

// A message that says it is larger than the limit is refused by its first five bytes.
func TestLimitDeclaredLength(t *testing.T) {
	s := start(t, Config{})
	p := rawDial(t, s)
	if err := p.call(1, evaluateMethod); err != nil {
		t.Fatal(err)
	}
	if err := p.framer.WriteData(1, false, []byte{0, 0xff, 0xff, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	p.until(func(f http2.Frame) bool {
		return f.Header().StreamID == 1 && f.Header().Flags.Has(http2.FlagHeadersEndStream)
	})
	s.answers(t)
}

// A tensor is as large as its bytes, whatever its shape says.
func TestLimitDeclaredShape(t *testing.T) {
	s := start(t, Config{})
	s.answers(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, shape := range [][]int64{{1 << 40, 1 << 20}, {1 << 62, 4}, {-1, 8}, {1 << 31, 1}, {0, 1 << 62}, make([]int64, 1000)} {
		request := klRequest(1)
		request.Inputs["posterior"].GetGaussian().Mean.Shape = shape
		_, err := s.losses.Evaluate(testContext(t), request)
		if code, _ := violation(err); code != codes.InvalidArgument {
			t.Errorf("%v: got %v, want InvalidArgument", shape[:2], err)
		}
	}
	runtime.ReadMemStats(&after)
	if spent := after.TotalAlloc - before.TotalAlloc; spent > 16<<20 {
		t.Errorf("%d bytes were allocated for shapes", spent)
	}
}
