package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"kantor/load"
)

type loadCommand struct {
	Address    []string      `default:"127.0.0.1:7443" placeholder:"ADDRESS" help:"Servers, HOST:PORT or unix:PATH; trainers are dealt out among several (${default})."`
	Mix        string        `default:"256x16" placeholder:"NxD:WEIGHT,…" help:"Sizes, N points of dimension D on both sides, and how often each comes (${default})."`
	Loss       []string      `default:"sinkhorn" sep:"none" placeholder:"LOSS:FIELD=VALUE,…" help:"Losses, each as --term of kantor eval; again for more (${default})."`
	Rate       float64       `default:"0" placeholder:"PER-SECOND" help:"Requests that are due each second, at random moments; latencies count from then. 0: each trainer sends the next when it has an answer (${default})."`
	Trainers   int           `default:"8" placeholder:"N" help:"How many callers, each with a connection of its own (${default})."`
	Stream     bool          `help:"Send batches over a stream for each trainer instead of calls."`
	Duration   time.Duration `default:"10s" help:"How long requests start (${default})."`
	Deadline   time.Duration `default:"30s" help:"How long each request may take (${default})."`
	Seed       uint64        `default:"1" help:"Decides points, order and moments (${default})."`
	Verify     float64       `default:"0.1" placeholder:"SHARE" help:"Share of answers that are compared, bit for bit, with the first to the same request (${default})."`
	Cancel     float64       `default:"0" placeholder:"SHARE" help:"Share of requests that are cancelled at a random moment (${default})."`
	Disconnect float64       `default:"0" placeholder:"SHARE" help:"Share of requests that are given up with the connection (${default})."`
	PID        int           `name:"pid" placeholder:"PID" help:"Process of a server on this machine, to report its processor time."`
	Goals      bool          `help:"Measure what a server is held to, with sizes of its own, instead of a mix: needs --admin. Exits with 1 where a goal is missed."`
	Admin      string        `placeholder:"ADDRESS" help:"The server's admin listener, HOST:PORT or unix:PATH, for --goals."`
	JSON       bool          `name:"json" help:"Print JSON instead of a table."`
	targetFlags
}

var (
	errDiffering = errors.New("answers differ from the first to the same request")
	errGoals     = errors.New("a goal was missed")
)

// Run puts the load on.
func (c loadCommand) Run(std streams) error {
	config, err := c.config()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if c.Goals {
		return c.goals(ctx, config, std)
	}
	end := func() {}
	if file, ok := std.stderr.(*os.File); ok && isTerminal(file) {
		config.Progress, end = showProgress(file)
	}
	report, err := load.Run(ctx, config)
	end()
	if err != nil {
		return err
	}
	if err := c.print(std.stdout, report); err != nil {
		return err
	}
	if report.Differing > 0 {
		return errDiffering
	}
	return nil
}

// goals measures the goals and prints them.
func (c loadCommand) goals(ctx context.Context, config load.Config, std streams) error {
	goals, err := load.Goals(ctx, config, c.Admin)
	if err != nil {
		return err
	}
	if err := c.print(std.stdout, goals); err != nil {
		return err
	}
	if !goals.Met() {
		return errGoals
	}
	return nil
}

func (c loadCommand) print(to io.Writer, report interface {
	JSON(io.Writer) error
	Table(io.Writer) error
}) error {
	if c.JSON {
		return report.JSON(to)
	}
	return report.Table(to)
}

func (c loadCommand) config() (load.Config, error) {
	mix, err := load.ParseMix(c.Mix)
	if err != nil {
		return load.Config{}, err
	}
	target, err := c.target(c.Address...)
	if err != nil {
		return load.Config{}, err
	}
	return load.Config{
		Target: target, Mix: mix, Losses: c.Loss, Rate: c.Rate, Trainers: c.Trainers, Stream: c.Stream, Duration: c.Duration, Deadline: c.Deadline, Seed: c.Seed,
		Verify: c.Verify, Cancel: c.Cancel, Disconnect: c.Disconnect, PID: c.PID,
	}, nil
}

// showProgress keeps one line up to date; end removes it.
func showProgress(to io.Writer) (show func(load.Progress), end func()) {
	const clear = "\r\x1b[K"
	return func(p load.Progress) {
		fmt.Fprintf(to, "%s%v: %d answered, %d failed, slowest of the last second %v", clear, p.Elapsed.Round(time.Second), p.Answered, p.Failed,
			p.Worst.Round(10*time.Microsecond))
	}, func() { fmt.Fprint(to, clear) }
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
