package eval

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/server"
)

// version is that of the server and of the command: a response names it.
const version = "test"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves on loopback until the test ends.
func serve(t *testing.T) (kantorv1.LossServiceClient, kantorv1.DiagnosticServiceClient) {
	t.Helper()
	srv, err := server.New(server.Config{Version: version, DrainGrace: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := server.Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	conn, err := grpc.NewClient(server.Address(listener), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return kantorv1.NewLossServiceClient(conn), kantorv1.NewDiagnosticServiceClient(conn)
}

// files writes .npy files and returns their paths by name.
type files struct {
	t   *testing.T
	dir string
}

func newFiles(t *testing.T) files { return files{t, t.TempDir()} }

func (f files) raw(name string, content []byte) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func (f files) npy(name string, tensor *kantorv1.Tensor) string {
	f.t.Helper()
	return f.raw(name, formatNpy(tensor))
}

func f64(shape []int64, values ...float64) *kantorv1.Tensor {
	t := &kantorv1.Tensor{Dtype: kantorv1.Dtype_DTYPE_FLOAT64, Shape: shape}
	for _, v := range values {
		t.Data = binary.LittleEndian.AppendUint64(t.Data, math.Float64bits(v))
	}
	return t
}

func f32(shape []int64, values ...float32) *kantorv1.Tensor {
	t := &kantorv1.Tensor{Dtype: kantorv1.Dtype_DTYPE_FLOAT32, Shape: shape}
	for _, v := range values {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(v))
	}
	return t
}

// run runs a command and returns what it printed.
func run(t *testing.T, c Command) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Run(t.Context(), version, c, strings.NewReader(""), &out)
	return out.String(), err
}

// printed is what a command's output says.
func printed(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return out
}
