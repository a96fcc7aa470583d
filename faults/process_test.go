package faults

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds every wait for what takes a second or so. It is never reached unless something is broken.
const patience = 60 * time.Second

// process is a running `kantor serve`, which may be started again on its address.
type process struct {
	binary  string
	args    []string
	env     []string
	address string
	admin   string // the path of the socket that tells of it

	mu      sync.Mutex
	command *exec.Cmd
	log     *bytes.Buffer // to be read after wait
	wait    func() error
	ended   atomic.Bool // by stop: it is not started again
}

// listenAt is the place of the address among the arguments.
const listenAt = 2

// launch starts kantor serve on unix:PATH or HOST:PORT, with one thread that computes, so that time on processors is time of work.
func launch(binary, address, admin string, env []string, args ...string) (*process, error) {
	args = append([]string{"serve", "--listen", address, "--admin", "unix:" + admin, "--threads", "1", "--log-format", "json"}, args...)
	p := &process{binary: binary, args: args, env: env, admin: admin}
	return p, p.start()
}

// start starts it, and returns when it listens.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended.Load() {
		return nil
	}
	p.command, p.log = exec.Command(p.binary, p.args...), &bytes.Buffer{}
	p.command.Env = append(os.Environ(), p.env...)
	p.command.Stderr = p.log
	out, err := p.command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.command.Start(); err != nil {
		return err
	}
	p.wait = sync.OnceValue(p.command.Wait)
	line, err := bufio.NewReader(out).ReadString('\n')
	_, address, ok := strings.Cut(strings.TrimSpace(line), " listening on ")
	if err != nil || !ok {
		_ = p.command.Process.Kill()
		return fmt.Errorf("kantor serve said %q: %w\n%s", line, errors.Join(err, p.wait()), p.log)
	}
	p.address = address
	p.args[listenAt] = address // with the port that was free, for the next time
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return nil
}

// signal sends a signal.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.command.Process.Signal(s)
}

// restart waits for its end and starts it again.
func (p *process) restart() error {
	p.mu.Lock()
	wait := p.wait
	p.mu.Unlock()
	_ = wait()
	return p.start()
}

// stop ends it for good.
func (p *process) stop() {
	p.ended.Store(true)
	p.signal(syscall.SIGKILL)
	p.mu.Lock()
	wait := p.wait
	p.mu.Unlock()
	_ = wait()
}

// work is the time that it has spent on processors, all threads together; 0 once it is gone.
func (p *process) work() time.Duration {
	p.mu.Lock()
	pid := p.command.Process.Pid
	p.mu.Unlock()
	// The clock of another process's time on processors (clock_getcpuclockid(3), as the kernel's posix-timers.h defines it).
	const scheduled = 2
	var spent unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|scheduled, &spent); err != nil {
		return 0
	}
	return time.Duration(spent.Nano())
}

// untilBusy waits until it has worked for a while longer than before.
func (p *process) untilBusy(before time.Duration) error {
	const longer = 50 * time.Millisecond
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if p.work() > before+longer {
			return nil
		}
	}
	return fmt.Errorf("the server was given work and did none within %v", patience)
}

// untilIdle waits, at most limit, until it computes nothing, nothing waits, and no bytes are counted for anything; it returns what it had worked by then.
func (p *process) untilIdle(limit time.Duration) (time.Duration, error) {
	for end := time.Now().Add(limit); time.Now().Before(end); {
		worked, err := p.untilRest(limit)
		if err != nil {
			return worked, err
		}
		if p.work() == 0 { // it is gone
			return worked, nil
		}
		now, err := p.metrics()
		if err != nil {
			return worked, err
		}
		if now["kantor_running"] == 0 && now["kantor_queue_length"] == 0 && now["kantor_inflight_bytes"] == 0 {
			return worked, nil
		}
	}
	return 0, fmt.Errorf("the server still computes %v after the fault", limit)
}

// untilRest waits, at most limit, until it takes no time on processors, longer than it would for want of one on a busy machine.
func (p *process) untilRest(limit time.Duration) (time.Duration, error) {
	const (
		rest  = 500 * time.Millisecond
		noise = 2 * time.Millisecond // of the runtime's own threads, in that time
	)
	last, since := p.work(), time.Now()
	for end := since.Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		switch now := p.work(); {
		case now == 0: // it is gone
			_ = p.wait()
			return p.command.ProcessState.UserTime() + p.command.ProcessState.SystemTime(), nil
		case now > last+noise:
			last, since = now, time.Now()
		case time.Since(since) > rest:
			return now, nil
		}
	}
	return 0, fmt.Errorf("the server still works %v after the fault", limit)
}

// metrics are what it tells Prometheus, each summed over its labels.
func (p *process) metrics() (map[string]float64, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", p.admin)
		},
	}
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Get("http://admin/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	sums := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		number, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil { // a comment
			continue
		}
		name, _, _ = strings.Cut(name, "{")
		sums[name] += number
	}
	return sums, nil
}
