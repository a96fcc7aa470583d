package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// watchInterval is how often files are looked at. They are read whole: a file that an orchestrator swaps by links, or that is written twice within the
	// clock's grain, deceives whoever looks at times or waits for the kernel's word.
	watchInterval = time.Second
	maxFileBytes  = 1 << 20
)

// watchedFiles are files that are used together, and anew when one of them has changed.
type watchedFiles struct {
	secret []string // that others than the owner and the group must not read
	public []string
	use    func(contents [][]byte) error // of the secret ones and then the public ones; nothing may have changed where it fails
	last   [sha256.Size]byte             // of what was used, or failed, last
}

func (w *watchedFiles) paths() []string { return slices.Concat(w.secret, w.public) }

// reload uses the files if they have changed since the last time, and reports whether it did. What failed once is not tried again before it changes.
func (w *watchedFiles) reload() (changed bool, err error) {
	var contents [][]byte
	for i, path := range w.paths() {
		content, err := readBounded(path, i < len(w.secret))
		if err != nil {
			return w.failed(err)
		}
		contents = append(contents, content)
	}
	if !w.differs(bytes.Join(contents, []byte{0})) {
		return false, nil
	}
	if err := w.use(contents); err != nil {
		return false, fmt.Errorf("%s: %w", strings.Join(w.paths(), ", "), err)
	}
	return true, nil
}

// failed passes on an error that is not that of the last time.
func (w *watchedFiles) failed(err error) (bool, error) {
	if w.differs([]byte(err.Error())) {
		return false, err
	}
	return false, nil
}

func (w *watchedFiles) differs(state []byte) bool {
	digest := sha256.Sum256(state)
	if digest == w.last {
		return false
	}
	w.last = digest
	return true
}

// readBounded reads a regular file of at most maxFileBytes. The mode is that of the open file, not of what is at its path later.
func readBounded(path string, secret bool) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe's end would be waited for
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, fmt.Errorf("%s: is no regular file", path)
	case secret && mode.Perm()&0o027 != 0:
		return nil, fmt.Errorf("%s: has mode %04o, want 0600, or 0640 at most: others could read or change it", path, mode.Perm())
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFileBytes {
		return nil, fmt.Errorf("%s: has more than %d bytes", path, maxFileBytes)
	}
	return content, nil
}

// watched are the files that the server was told of.
func (s *Server) watched() []*watchedFiles {
	var files []*watchedFiles
	if s.config.TLS != nil {
		files = append(files, s.config.TLS.file)
	}
	if s.config.Tokens != nil {
		files = append(files, s.config.Tokens.file)
	}
	return files
}

// watch looks at files until the context ends. Files that are wrong change nothing but the log.
func (s *Server) watch(ctx context.Context, files ...*watchedFiles) {
	if len(files) == 0 {
		return
	}
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, f := range files {
			switch changed, err := f.reload(); {
			case err != nil:
				s.config.Logger.Error("not reloaded, what was read before stays in force", slog.String("error", err.Error()))
			case changed:
				s.config.Logger.Info("reloaded", slog.Any("files", f.paths()))
			}
		}
	}
}
