package main

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"kantor/eval"
)

type evalCommand struct {
	eval.Command
	List listFlag `help:"Print every loss, diagnostic and kind of input with its fields or, of the names behind it, all about each; and do nothing else."`
	pairMemory
}

// Run computes once.
func (c evalCommand) Run(std streams) error {
	if c.List.given {
		return eval.List(std.stdout, c.List.names...)
	}
	if err := c.set(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return eval.Run(ctx, versionText(), c.Command, std.stdin, std.stdout)
}

// listFlag is a flag with or without names: --list, --list=kl, --list kl bures.
type listFlag struct {
	given bool
	names []string
}

// IsBool tells the parser that the flag can stand alone.
func (*listFlag) IsBool() bool { return true }

// Decode implements [kong.MapperValue]: whatever follows and is no flag is a name.
func (f *listFlag) Decode(ctx *kong.DecodeContext) error {
	f.given = true
	for ctx.Scan.Peek().IsValue() {
		f.names = append(f.names, ctx.Scan.Pop().String())
	}
	return nil
}
