package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"kantor/losses"
)

// healthCommand is what probes call where there is no other program, as in the image.
type healthCommand struct {
	Address string        `default:"127.0.0.1:7443" placeholder:"ADDRESS" help:"Server, HOST:PORT or unix:PATH (${default})."`
	Timeout time.Duration `default:"1s" help:"How long the answer may take (${default})."`
	targetFlags
}

// Run asks once. A server that stops, or does not answer, is an error.
func (c healthCommand) Run(std streams) error {
	if c.Timeout <= 0 {
		return &losses.InputError{Field: "--timeout", Reason: fmt.Sprintf("is %v, want more than 0", c.Timeout)}
	}
	target, err := c.target(c.Address)
	if err != nil {
		return err
	}
	options, err := target.Options()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(c.Address, options...)
	if err != nil {
		return &losses.InputError{Field: "--address", Reason: err.Error()}
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("no answer from %s: %w", c.Address, err)
	}
	if answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("%s is %v", c.Address, answer.GetStatus())
	}
	_, err = fmt.Fprintln(std.stdout, answer.GetStatus())
	return err
}
