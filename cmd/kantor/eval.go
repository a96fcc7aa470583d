package main

import (
	"context"
	"os/signal"
	"syscall"

	"kantor/eval"
)

type evalCommand struct {
	eval.Command
	pairMemory
}

// Run computes once.
func (c evalCommand) Run(std streams) error {
	if err := c.set(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return eval.Run(ctx, versionText(), c.Command, std.stdin, std.stdout)
}
