package faults

import (
	"context"
	"errors"
	"time"

	"kantor/internal/faultproxy"
)

// untilDeadline strikes while the server computes a heavy call that has a second, and measures what it does after that second.
func (s *stage) untilDeadline(strike func() error) (measured, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := s.dial(s.proxy.Address())
	if err != nil {
		return measured{}, err
	}
	defer c.conn.Close()
	req, before := heavy(), s.server.work()
	ended := make(chan error, 1)
	go func() {
		_, err := c.evaluate(ctx, s.call, req)
		ended <- err
	}()
	if err := errors.Join(s.server.untilBusy(before), strike()); err != nil {
		return measured{}, err
	}
	<-ctx.Done()
	at := s.server.work()
	done, err := s.server.untilIdle(patience)
	return measured{said(<-ended), milliseconds(done - at)}, err
}

// probeSlowReader reads nothing until the server rests, has it tell how many of many batches it has computed by then, and reads all. A unary call has one answer.
func probeSlowReader(s *stage) (measured, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := s.dial(s.proxy.Address())
	if err != nil {
		return measured{}, err
	}
	defer c.conn.Close()
	if s.call == unary {
		s.slow(faultproxy.ToClient)
		_, err := c.evaluate(ctx, unary, usual(1))
		return measured{said(err), 1}, errors.Join(err, s.bystander(ctx))
	}
	req := usual(1)
	wire, err := c.open(ctx, req.GetObjective())
	if err != nil {
		return measured{}, err
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for id := range uint64(manyBatches) {
			_ = wire.Send(batch(id+1, req))
		}
	}()
	if _, err := s.server.untilRest(patience); err != nil {
		return measured{}, err
	}
	resting, err := s.server.metrics()
	if err != nil {
		return measured{}, err
	}
	if err := s.bystander(ctx); err != nil {
		return measured{}, err
	}
	for range manyBatches {
		if _, err := result(wire); err != nil {
			return measured{}, err
		}
	}
	<-sent
	return measured{said(nil), resting["kantor_evaluations_total"]}, nil
}

// probeSlowWriter trickles a request, and measures what the server does until it is whole.
func probeSlowWriter(s *stage) (measured, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := s.dial(s.proxy.Address())
	if err != nil {
		return measured{}, err
	}
	defer c.conn.Close()
	if _, err := c.evaluate(ctx, s.call, usual(0)); err != nil { // the connection stands
		return measured{}, err
	}
	s.slow(faultproxy.ToServer)
	large := request(1, 1024, usual(0).GetObjective().GetTerms()[0].GetSinkhorn()) // 128 KiB: two seconds
	at, ended := s.server.work(), make(chan error, 1)
	go func() {
		_, err := c.evaluate(ctx, s.call, large)
		ended <- err
	}()
	done, err := s.server.untilRest(patience) // before the request is whole, which takes twice as long
	if len(ended) > 0 {
		return measured{}, errors.New("the request was whole before the server rested")
	}
	if err != nil {
		return measured{}, err
	}
	err = s.bystander(ctx)
	return measured{said(<-ended), milliseconds(done - at)}, err
}

// probeMemory asks for what does not fit beside another caller's, and then for what does; and how much of the memory was in use.
func probeMemory(s *stage) (measured, error) {
	if err := s.crowd(2 * time.Second); err != nil {
		return measured{}, err
	}
	c, err := s.dial(s.proxy.Address())
	if err != nil {
		return measured{}, err
	}
	defer c.conn.Close()
	large := request(1, 3000, usual(0).GetObjective().GetTerms()[0].GetSinkhorn())
	_, refused := c.evaluate(context.Background(), s.call, large)
	now, err := s.server.metrics()
	if err != nil {
		return measured{}, err
	}
	if err := s.bystander(context.Background()); err != nil {
		return measured{}, err
	}
	s.others.Wait()
	if _, err := c.evaluate(context.Background(), s.call, large); err != nil {
		return measured{}, err
	}
	_, err = s.server.untilIdle(patience)
	return measured{said(refused), now["kantor_inflight_bytes"] / now["kantor_memory_limit_bytes"]}, err
}

// probeCertificate counts the calls that are lost by another certificate, and wants new connections to be shown it.
func probeCertificate(s *stage) (measured, error) {
	before, err := s.dial(s.proxy.Address())
	if err != nil {
		return measured{}, err
	}
	defer before.conn.Close()
	_, err = before.evaluate(context.Background(), s.call, usual(1))
	if err := errors.Join(err, s.secured.rotateCertificate(s.server.address)); err != nil {
		return measured{}, err
	}
	after, err := s.dial(s.proxy.Address())
	if err != nil {
		return measured{}, err
	}
	defer after.conn.Close()
	var lost float64
	var last error
	for _, c := range []client{before, after} {
		if _, err := c.evaluate(context.Background(), s.call, usual(1)); err != nil {
			lost, last = lost+1, err
		}
	}
	return measured{said(last), lost}, nil
}

// probeToken keeps a token that the server forgets. A stream is ended with what it computes, and the work counts from when its caller knows; a call is not let in.
func probeToken(s *stage) (measured, error) {
	c, err := s.dial(s.proxy.Address())
	if err != nil {
		return measured{}, err
	}
	defer c.conn.Close()
	type end struct {
		err error
		at  time.Duration
	}
	ended := make(chan end, 1)
	compute := func() {
		_, err := c.evaluate(context.Background(), s.call, heavy())
		ended <- end{err, s.server.work()}
	}
	if s.call == stream {
		before := s.server.work()
		go compute()
		if err := s.server.untilBusy(before); err != nil {
			return measured{}, err
		}
	}
	if err := s.secured.rotateToken(s.server.address); err != nil {
		return measured{}, err
	}
	if s.call == unary {
		compute()
	}
	got := <-ended
	done, err := s.server.untilIdle(patience)
	return measured{said(got.err), milliseconds(done - got.at)}, err
}

// probePanic calls until one panics, and measures what the server does after that.
func probePanic(s *stage) (measured, error) {
	c, err := s.dial(s.proxy.Address())
	if err != nil {
		return measured{}, err
	}
	defer c.conn.Close()
	for range faultAt + 1 {
		at := s.server.work()
		if _, panicked := c.evaluate(context.Background(), s.call, usual(1)); panicked != nil {
			done, err := s.server.untilIdle(patience)
			return measured{said(panicked), milliseconds(done - at)}, errors.Join(err, s.bystander(context.Background()))
		}
	}
	return measured{}, errors.New("nothing panicked")
}
