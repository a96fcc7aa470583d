package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	kantorv1 "kantor/gen/kantor/v1"
)

// leased is a server in a directory of its own, and the test's hold on it.
type leased struct {
	*serving
	dir, path string
	holds     []*os.File
}

func serveLeased(t *testing.T, holders int) *leased {
	t.Helper()
	l := &leased{dir: shortDir(t)}
	l.path = filepath.Join(l.dir, "lease")
	for range holders {
		l.holds = append(l.holds, hold(t, l.path))
	}
	l.serving = serve(t, "--listen", "unix:"+filepath.Join(l.dir, "s"), "--exit-with-lease", l.path, "--remove-directory")
	return l
}

// evaluateOnce leaves no stream open, for which a stop would wait.
func (s *serving) evaluateOnce() {
	s.t.Helper()
	if err := s.evaluate().CloseSend(); err != nil {
		s.t.Fatal(err)
	}
}

// hold takes a shared lock, as every program that needs the server does.
func hold(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock(file, syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	return file
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func TestServeEndsWithTheLastHolderOfItsLease(t *testing.T) {
	l := serveLeased(t, 2)
	for _, suffix := range []string{".log", ".start"} {
		if err := os.WriteFile(l.path+suffix, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_ = l.holds[0].Close()
	l.evaluateOnce()
	_ = l.holds[1].Close()
	l.stopped()
	if exists(l.dir) {
		t.Error("the directory is still there")
	}
}

// Its clients start another one in its place.
func TestServeThatIsStoppedLeavesTheDirectoryToThoseWhoNeedIt(t *testing.T) {
	leased := serveLeased(t, 1)
	dir := shortDir(t)
	started := serve(t, "--listen", "unix:"+filepath.Join(dir, "s"), "--exit-with-stdin", "--remove-directory")
	for s, path := range map[*serving]string{leased.serving: leased.path, started: dir} {
		if err := s.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := s.wait(); err != nil {
			t.Fatal(err)
		}
		if !exists(path) {
			t.Errorf("%s is gone", path)
		}
	}
}

// Who comes while a server ends may have made the files anew.
func TestServeRemovesNoFilesOfOthers(t *testing.T) {
	for _, change := range []func(l *leased) error{
		func(l *leased) error { return errors.Join(os.Remove(l.path), os.WriteFile(l.path, nil, 0o600)) },
		func(l *leased) error { return os.WriteFile(filepath.Join(l.dir, "other"), nil, 0o600) },
	} {
		l := serveLeased(t, 1)
		l.evaluateOnce()
		if err := change(l); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadDir(l.dir)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.holds[0].Close()
		l.stopped()
		after, err := os.ReadDir(l.dir)
		want := len(before) - 1 // the socket
		if exists(filepath.Join(l.dir, "other")) {
			want = 1
		}
		if err != nil || len(after) != want {
			t.Errorf("%v, %v are left of %v, want %d", after, err, before, want)
		}
	}
}

func TestServeRemovesItsDirectoryWithStandardInput(t *testing.T) {
	for _, other := range []bool{false, true} {
		dir := shortDir(t)
		s := serve(t, "--listen", "unix:"+filepath.Join(dir, "s"), "--exit-with-stdin", "--remove-directory")
		s.evaluateOnce()
		if other {
			if err := os.WriteFile(filepath.Join(dir, "other"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_ = s.stdin.Close()
		s.stopped()
		if exists(dir) != other || exists(filepath.Join(dir, "other")) != other {
			t.Errorf("with another's file %v: the directory is there: %v", other, exists(dir))
		}
	}
}

func TestALogWithALeaseIsBounded(t *testing.T) {
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if w := (goneWith{}).logTo(file); w != file {
		t.Error("without a lease the log is somebody's who asked for it")
	}
	w, line := goneWith{ExitWithLease: "x"}.logTo(file), bytes.Repeat([]byte("x"), logBytes/4)
	for i, want := range []int64{1, 2, 3, 4, 1, 2} {
		if _, err := w.Write(line); err != nil {
			t.Fatal(err)
		}
		if info, err := file.Stat(); err != nil || info.Size() != want*logBytes/4 {
			t.Fatalf("after %d lines: %d bytes, %v, want %d quarters", i+1, info.Size(), err, want)
		}
	}
}

func TestServeTellsItsThreads(t *testing.T) {
	for flag, want := range map[string]int32{"--threads=3": 3, "--threads=0": 2} {
		t.Setenv("GOMAXPROCS", "2")
		s := serve(t, "--listen", "127.0.0.1:0", flag)
		conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		info, err := kantorv1.NewInfoServiceClient(conn).GetServerInfo(t.Context(), &kantorv1.GetServerInfoRequest{})
		if err != nil || info.GetThreads() != want {
			t.Errorf("%s: got %v, %v, want %d threads", flag, info, err, want)
		}
	}
}

func TestServeRefusesALeaseThatIsNone(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "file"), nil, 0o600), os.Symlink(filepath.Join(dir, "file"), link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, filepath.Join(dir, "none")} {
		code, _, stderr := kantor(t, "serve", "--listen", "127.0.0.1:0", "--exit-with-lease", path)
		if code != exitUsage || !strings.Contains(stderr, "--exit-with-lease: open "+path) {
			t.Errorf("%s: exit code %d, %s", path, code, stderr)
		}
	}
}
