package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	kantorv1 "kantor/gen/kantor/v1"
)

// asKantor makes this test binary the command itself, for tests of signals, exit codes and pipes.
const asKantor = "KANTOR_TEST_AS_COMMAND"

// patience bounds every wait of these tests.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asKantor) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], args...)
	c.Env = append(os.Environ(), asKantor+"=1")
	return c
}

// kantor runs the command to its end.
func kantor(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := command(t, args...)
	var out, log bytes.Buffer
	c.Stdout, c.Stderr = &out, &log
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), log.String()
}

// serving is a running `kantor serve`.
type serving struct {
	*exec.Cmd
	t       *testing.T
	address string
	stdin   io.WriteCloser
	log     bytes.Buffer // to be read after wait
	wait    func() error
}

func serve(t *testing.T, args ...string) *serving {
	t.Helper()
	s := &serving{Cmd: command(t, append([]string{"serve", "--log-format", "json"}, args...)...), t: t}
	s.Stderr = &s.log
	stdout, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.stdin, err = s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	killer := time.AfterFunc(patience, func() { _ = s.Process.Kill() })
	s.wait = sync.OnceValue(func() error {
		defer killer.Stop()
		return s.Wait()
	})
	t.Cleanup(func() {
		_ = s.Process.Kill()
		_ = s.wait()
	})
	ready, err := bufio.NewReader(stdout).ReadString('\n')
	_, address, ok := strings.Cut(strings.TrimSpace(ready), " listening on ")
	if err != nil || !ok || !strings.HasPrefix(ready, "kantor "+version+" ") {
		t.Fatalf("got %q, %v, want the line that says it is ready\n%s", ready, err, s.log.String())
	}
	s.address = address
	return s
}

// evaluate makes one call, so that the connection is known to work.
func (s *serving) evaluate() grpc.BidiStreamingClient[kantorv1.EvaluateStreamRequest, kantorv1.EvaluateStreamResponse] {
	s.t.Helper()
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	one := &kantorv1.Tensor{Dtype: kantorv1.Dtype_DTYPE_FLOAT64, Shape: []int64{1, 1}, Data: make([]byte, 8)}
	objective := &kantorv1.Objective{Terms: []*kantorv1.Term{{Loss: &kantorv1.Term_Kl{Kl: &kantorv1.GaussianKl{}}}}}
	posterior := &kantorv1.Gaussian{Mean: one, Spread: &kantorv1.Gaussian_LogVariance{LogVariance: one}}
	inputs := map[string]*kantorv1.Input{"posterior": {Kind: &kantorv1.Input_Gaussian{Gaussian: posterior}}}
	client := kantorv1.NewLossServiceClient(conn)
	if _, err := client.Evaluate(s.t.Context(), &kantorv1.EvaluateRequest{Objective: objective, Inputs: inputs}); err != nil {
		s.t.Fatal(err)
	}
	stream, err := client.EvaluateStream(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	open := &kantorv1.EvaluateStreamRequest_Open{Open: &kantorv1.Open{Objective: objective}}
	if err := stream.Send(&kantorv1.EvaluateStreamRequest{Message: open}); err != nil {
		s.t.Fatal(err)
	}
	if m, err := stream.Recv(); err != nil || m.GetOpened() == nil {
		s.t.Fatalf("got %v, %v, want opened", m, err)
	}
	return stream
}

// stopped wants the process to have ended well, with its counts as the last line of the log.
func (s *serving) stopped() {
	s.t.Helper()
	if err := s.wait(); err != nil {
		s.t.Errorf("%v\n%s", err, s.log.String())
	}
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	var last struct {
		Message     string `json:"msg"`
		Evaluations int
		Terms       map[string]int
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Message != "stopped" || last.Evaluations != 1 || last.Terms["kl"] != 1 {
		s.t.Errorf("the last line is %s (%v), want one evaluation with one kl term", lines[len(lines)-1], err)
	}
}

func TestServeStopsOnSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := serve(t, "--listen", "127.0.0.1:0")
		stream := s.evaluate()
		if err := s.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(); err != nil || m.GetDraining().GetGrace().AsDuration() != 30*time.Second {
			t.Errorf("%v: got %v, %v, want draining with the default grace", sig, m, err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		s.stopped()
	}
}

func TestServeEndsAtOnceOnTheSecondSignal(t *testing.T) {
	s := serve(t, "--listen", "127.0.0.1:0", "--drain-grace", "10m")
	stream := s.evaluate()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if m, err := stream.Recv(); err != nil || m.GetDraining() == nil {
		t.Fatalf("got %v, %v, want draining", m, err)
	}
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = s.wait()
	if status := s.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("got %v, want an end by SIGTERM", s.ProcessState)
	}
}

// A server that a client started ends with the client, also with a stream open.
func TestServeEndsWithStandardInput(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	s := serve(t, "--listen", "unix:"+path, "--exit-with-stdin")
	if s.address != "unix:"+path {
		t.Errorf("listens on %q", s.address)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("got %v, %v, want a socket of mode 0600", info, err)
	}
	s.evaluate()
	if err := s.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	s.stopped()
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is still there")
	}
}

// shortDir is a directory whose sockets' paths are below the 108 bytes that Linux allows.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kantor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A program that was killed takes its ends of all pipes along, that of the log too. The server still stops as it should, and leaves no socket behind.
func TestServeEndsWellWithoutAnyoneToLogTo(t *testing.T) {
	socket := filepath.Join(shortDir(t), "s")
	c := command(t, "serve", "--listen", "unix:"+socket, "--exit-with-stdin", "--log-level", "info")
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(patience, func() { _ = c.Process.Kill() }).Stop()
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	for _, pipe := range []io.Closer{log, stdout, stdin} {
		if err := pipe.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if _, err := os.Stat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"serve", "--listen", "0.0.0.0:0"}, "--listen 0.0.0.0:0: other machines can reach this address"},
		{[]string{"serve", "--listen", "nowhere"}, "--listen nowhere: is no address"},
		{[]string{"serve", "--drain-grace", "0s"}, "--drain-grace: is 0s"},
		{[]string{"serve", "--max-message-size", "1KiB"}, "--max-message-size: is 1024 bytes, want 65536 to"},
		{[]string{"serve", "--max-message-size", "2GiB"}, "--max-message-size: is 2147483648 bytes, want 65536 to 2147483647"},
		{[]string{"serve", "--log-format", "xml"}, "--log-format"},
		{[]string{"serve", "--log-level", "loud"}, "--log-level"},
		{[]string{"serve", "--pair-memory", "much"}, `--pair-memory: got "much", want a size such as 256MiB`},
		{[]string{"serve", "--lisen", "x"}, "--lisen"},
		{[]string{"serve", "--admin", "0.0.0.0:0"}, "--admin 0.0.0.0:0: other machines can reach this address, and anyone who does is answered"},
		{[]string{"serve", "--admin", "nowhere"}, "--admin nowhere: is no address"},
		{[]string{"serve", "--threads=-1"}, "--threads: is -1, want 0 to 4096"},
		{[]string{"serve", "--remove-directory"}, "--remove-directory: the address is 127.0.0.1:7443, want unix:PATH"},
		{[]string{"eval", "--term", "kl", "--seed", "x"}, "--seed"},
		{[]string{"eval", "--term", "wasserstein"}, `--term 1: "wasserstein" is no loss`},
		{[]string{"eval", "--source", "nowhere.npy"}, "--source: stat nowhere.npy"},
		{[]string{"eval", "--list", "wasserstein"}, `--list: has "wasserstein", want one of ["sinkhorn"`},
		{[]string{"bench", "nothing"}, `unexpected argument nothing, want one of "kernel", "scaling"`},
		{[]string{"bench"}, `expected one of "kernel", "scaling"`},
		{[]string{"serve", "nothing"}, "unexpected argument nothing\n"},
		{[]string{"walk"}, `unexpected argument walk, want one of "serve", "eval", "bench", "load", "health", "version"`},
		{nil, "expected one of"},
	} {
		code, stdout, stderr := kantor(t, c.args...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit code %d, %q, %q, want %d and one line with %q", c.args, code, stdout, stderr, exitUsage, c.want)
		}
	}
}

// What the caller cannot mend by another flag is no usage error.
func TestFailure(t *testing.T) {
	s := serve(t, "--listen", "127.0.0.1:0")
	if code, _, stderr := kantor(t, "serve", "--listen", s.address); code != exitFailure || !strings.Contains(stderr, "--listen") {
		t.Errorf("a port in use: exit code %d, %s", code, stderr)
	}
}

func TestVersion(t *testing.T) {
	code, stdout, _ := kantor(t, "version")
	want := "kantor " + version + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + " kernel="
	if code != 0 || !strings.HasPrefix(stdout, want) {
		t.Errorf("exit code %d, %q, want %q", code, stdout, want)
	}
}

// With and without names, however they are joined to the flag; another flag behind them is no name.
func TestEvalList(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--list"}, "Losses: --term LOSS:FIELD=VALUE,...\n"},
		{[]string{"--list=kl"}, "--term kl:FIELD=VALUE,...\n"},
		{[]string{"--list", "kl", "--seed", "3"}, "--term kl:FIELD=VALUE,...\n"},
		{[]string{"--list", "measure", "kl"}, "--input NAME.FIELD=FILE\n"},
	} {
		if code, stdout, stderr := kantor(t, append([]string{"eval"}, c.args...)...); code != 0 || stderr != "" || !strings.HasPrefix(stdout, c.want) {
			t.Errorf("%v: exit code %d, %q, %q, want %q", c.args, code, stdout, stderr, c.want)
		}
	}
}

// The closed form of the divergence of N(½, ¼), from files on disk to JSON on standard output.
func TestEval(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, value float64) string {
		header := "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }\n"
		raw := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), 0)
		raw = binary.LittleEndian.AppendUint64(append(raw, header...), math.Float64bits(value))
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	code, stdout, stderr := kantor(t, "eval", "--mean", file("m.npy", 0.5), "--log-variance", file("v.npy", math.Log(0.25)),
		"--term", "kl:weight=2", "--gradients", filepath.Join(dir, "gradients"))
	var out struct{ Value float64 }
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || code != 0 || math.Abs(out.Value-2*0.4431471805599453) > 1e-12 {
		t.Errorf("exit code %d, %s, %s (%v)", code, stdout, stderr, err)
	}
	for _, name := range []string{"mean.npy", "log-variance.npy"} {
		if _, err := os.Stat(filepath.Join(dir, "gradients", name)); err != nil {
			t.Error(err)
		}
	}
}
