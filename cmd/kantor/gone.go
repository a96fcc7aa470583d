package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"kantor/losses"
)

// goneGrace is how long a server that nobody needs any more waits for what is open: whoever started it has gone.
const goneGrace = time.Second

// logBytes is where the log of a server with a lease begins anew, if it is a file: nobody else looks after its size.
const logBytes = 4 << 20

// goneWith are the flags of a server that other programs start for themselves.
type goneWith struct {
	ExitWithStdin   bool   `help:"Stop when standard input ends, so that the server does not outlive the program that started it."`
	ExitWithLease   string `placeholder:"FILE" help:"Stop when no process holds a shared lock (flock) on FILE any more, and remove it, FILE.start and FILE.log."`
	RemoveDirectory bool   `help:"Remove the socket's directory at such an end, if it is empty."`
}

// whenAlone calls drain when those are gone whom the flags name. After the server has ended, leave removes what was theirs; before they are gone it does not,
// because they may start another server in the same place.
func (g goneWith) whenAlone(stdin io.Reader, l *lease, socket string, drain func()) (leave func()) {
	ended := make(chan struct{})
	if g.ExitWithStdin {
		go func() {
			_, _ = io.Copy(io.Discard, stdin)
			close(ended)
			drain()
		}()
	}
	if l != nil {
		go func() {
			if l.await() == nil {
				drain()
			}
		}()
	}
	return func() {
		gone := l != nil && l.remove()
		select {
		case <-ended:
			gone = true
		default:
		}
		if path, ok := strings.CutPrefix(socket, "unix:"); ok && gone && g.RemoveDirectory {
			_ = os.Remove(filepath.Dir(path)) // which fails where it is not empty
		}
	}
}

// logTo bounds a log that nobody else does.
func (g goneWith) logTo(w io.Writer) io.Writer {
	file, ok := w.(*os.File)
	if !ok || g.ExitWithLease == "" {
		return w
	}
	return &boundedLog{file: file}
}

// lease is a file that the programs which need this server hold shared locks on. The kernel releases those when they end, however they end. A lock belongs to
// an open file, so a forked child that keeps the file open keeps the server too.
//
// Who needs the server takes the lease, sees that it is still at its path, and only then starts a server where there is none, one after the other by the lock
// of FILE.start. So whoever has the lease exclusively is alone, and may remove the files, the lease as the last of them.
type lease struct {
	path string
	file *os.File
}

// openLease opens the file of --exit-with-lease; nil: there is no such flag.
func (g goneWith) openLease() (*lease, error) {
	if g.ExitWithLease == "" {
		return nil, nil
	}
	file, err := os.OpenFile(g.ExitWithLease, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &losses.InputError{Field: "--exit-with-lease", Reason: err.Error()}
	}
	return &lease{path: g.ExitWithLease, file: file}, nil
}

// await returns when no other process holds the lease. It waits in the kernel, for days if need be.
func (l *lease) await() error { return lock(l.file, syscall.LOCK_EX) }

// remove removes the files, and reports whether they were this server's to remove: nobody has the lease, and it is the one at its path.
func (l *lease) remove() bool {
	defer runtime.KeepAlive(l.file) // locked until it is removed
	if lock(l.file, syscall.LOCK_EX|syscall.LOCK_NB) != nil || !isAt(l.file, l.path) {
		return false
	}
	for _, suffix := range []string{".log", ".start", ""} {
		if err := os.Remove(l.path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return false
		}
	}
	return true
}

// lock locks a file as flock does, and again where a signal came between.
func lock(file *os.File, how int) error {
	for {
		if err := syscall.Flock(int(file.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// isAt reports whether an open file is the one at a path.
func isAt(file *os.File, path string) bool {
	open, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(open, there)
}

// boundedLog writes to a file that was opened to append, and empties it when it has grown too large.
type boundedLog struct {
	file    *os.File
	written int
}

// Write implements io.Writer, for one goroutine at a time, as slog's handlers call it.
func (b *boundedLog) Write(p []byte) (int, error) {
	if b.written += len(p); b.written > logBytes {
		b.written = len(p)
		_ = b.file.Truncate(0) // a terminal or a pipe cannot be, and needs not
	}
	return b.file.Write(p)
}
