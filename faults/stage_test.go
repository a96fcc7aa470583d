package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"kantor/internal/faultproxy"
)

// longPatience bounds what takes as long as a keepalive: a peer that is gone is found out after a minute and a quarter.
const longPatience = 3 * time.Minute

// stage is a server and the proxy before it, for one fault and one kind of call: over TCP for unary calls, over Unix sockets for streams.
type stage struct {
	call      string
	directory string
	server    *process
	proxy     *faultproxy.Proxy

	decide atomic.Pointer[func(faultproxy.Unit) faultproxy.Fault] // nil: nothing happens
	calls  atomic.Int64                                           // that clients began
	others sync.WaitGroup                                         // calls of other callers
	failed atomic.Pointer[error]                                  // what went wrong where it cannot be returned
}

// setUp starts both.
func setUp(binary, call string, f fault) (*stage, error) {
	directory, err := os.MkdirTemp("", "faults") // short, as the path of a socket has to be
	if err != nil {
		return nil, err
	}
	s := &stage{call: call, directory: directory}
	listen := "127.0.0.1:0"
	if call == stream {
		listen = "unix:" + filepath.Join(directory, "server")
	}
	if s.server, err = launch(binary, listen, filepath.Join(directory, "admin"), f.env, f.args...); err != nil {
		return nil, errors.Join(err, os.RemoveAll(directory))
	}
	if call == stream {
		listen = "unix:" + filepath.Join(directory, "proxy")
	}
	s.proxy, err = faultproxy.Start(faultproxy.Config{Listen: listen, Target: s.server.address, Decide: s.harm})
	if err != nil {
		s.server.stop()
		return nil, errors.Join(err, os.RemoveAll(directory))
	}
	return s, nil
}

func (s *stage) tearDown() error {
	s.others.Wait()
	s.server.stop()
	err := errors.Join(s.proxy.Close(), os.RemoveAll(s.directory))
	if failed := s.failed.Load(); failed != nil {
		err = errors.Join(err, *failed)
	}
	return err
}

func (s *stage) harm(u faultproxy.Unit) faultproxy.Fault {
	if u.Direction == faultproxy.ToServer && u.Type == faultproxy.Headers {
		s.calls.Add(1)
	}
	if decide := s.decide.Load(); decide != nil {
		return (*decide)(u)
	}
	return faultproxy.Fault{}
}

// fail notes what went wrong beside the test.
func (s *stage) fail(err error) {
	if err != nil {
		s.failed.CompareAndSwap(nil, &err)
	}
}

// next harms the next frame of data that goes a way, once.
func (s *stage) next(way faultproxy.Direction, harm func() faultproxy.Fault) {
	var struck atomic.Bool
	decide := func(u faultproxy.Unit) faultproxy.Fault {
		if u.Direction == way && u.Type == faultproxy.Data && struck.CompareAndSwap(false, true) {
			return harm()
		}
		return faultproxy.Fault{}
	}
	s.decide.Store(&decide)
}

// slow slows all data that goes a way, to 64 KiB a second: a quarter of a second for a step.
func (s *stage) slow(way faultproxy.Direction) {
	decide := func(u faultproxy.Unit) faultproxy.Fault {
		if u.Direction == way && u.Type == faultproxy.Data {
			return faultproxy.Fault{Rate: 64 << 10}
		}
		return faultproxy.Fault{}
	}
	s.decide.Store(&decide)
}

// measured is what a client saw that makes no call again, and what the server did after the fault.
type measured struct {
	saw    string
	amount float64 // in the unit of the fault's bound
}

// milliseconds is an amount of work.
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// whileComputing strikes while the server computes a heavy call, waits until it rests, and tells how long it worked after the fault and what the caller saw.
func (s *stage) whileComputing(ctx context.Context, strike func(client) error, options ...grpc.DialOption) (measured, error) {
	c, err := dial(s.proxy.Address(), options...)
	if err != nil {
		return measured{}, err
	}
	defer c.conn.Close()
	if _, err := c.evaluate(ctx, s.call, usual(0)); err != nil { // the connection stands
		return measured{}, err
	}
	req, before, ended := heavy(), s.server.work(), make(chan error, 1)
	go func() {
		_, err := c.evaluate(ctx, s.call, req)
		ended <- err
	}()
	if err := s.server.untilBusy(before); err != nil {
		return measured{}, err
	}
	at := s.server.work()
	if err := strike(c); err != nil {
		return measured{}, err
	}
	done, err := s.server.untilIdle(longPatience)
	if err != nil {
		return measured{}, err
	}
	select {
	case err := <-ended:
		return measured{said(err), milliseconds(done - at)}, nil
	case <-time.After(longPatience):
		return measured{}, fmt.Errorf("the call does not end")
	}
}

// bystander makes a call twice past the proxy, as another trainer does, and wants the same bits.
func (s *stage) bystander(ctx context.Context) error {
	c, err := dial(s.server.address)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	var seen [2]string
	for i := range seen {
		response, err := c.evaluate(ctx, s.call, usual(7))
		if err != nil {
			return fmt.Errorf("another trainer: %w", err)
		}
		seen[i] = bits(response)
	}
	if seen[0] != seen[1] {
		return errors.New("another trainer: the same call gave two results")
	}
	return nil
}
