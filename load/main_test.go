package load

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kantor/server"
)

// patience bounds every wait of these tests.
const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves on loopback until the test ends, and returns the address.
func serve(t *testing.T, config server.Config) string {
	t.Helper()
	config.DrainGrace = 50 * time.Millisecond
	srv, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// few is a short closed loop on an address.
func few(address string) Config {
	return Config{
		Target: Target{Addresses: []string{address}}, Mix: []Share{{Size{8, 2}, 3}, {Size{16, 3}, 1}}, Losses: []string{"sinkhorn"}, Trainers: 2,
		Duration: 200 * time.Millisecond, Deadline: patience, Verify: 1,
	}
}

func run(t *testing.T, config Config) *Report {
	t.Helper()
	report, err := Run(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return report
}
