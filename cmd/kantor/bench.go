package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"kantor/losses/kernelbench"
)

type benchCommand struct {
	Kernel  benchKernel  `cmd:"" help:"Each instruction set's fused softmin in float32 on one processor, against 2D/peak + t_exp of the same run."`
	Scaling benchScaling `cmd:"" help:"A softmin over N x N pairs on one processor and on all."`
}

// benchOptions are common to both.
type benchOptions struct {
	JSON  bool `name:"json" help:"Print JSON instead of a table."`
	Quick bool `help:"One short round of everything: whether it runs, not how fast."`
}

// kernelReport is what `kantor bench kernel` prints.
type kernelReport struct {
	Kernels []kernelRow `json:"kernels"`
}

type kernelRow struct {
	Implementation string  `json:"implementation"`
	D              int     `json:"d"`
	GpairPerS      float64 `json:"gpair_per_s"`
	PeakGflopPerS  float64 `json:"peak_gflop_per_s"` // fused multiply-adds on registers
	ExpNs          float64 `json:"t_exp_ns"`         // of a pair at D=0
	Roofline       float64 `json:"of_roofline"`      // (2D/peak + t_exp) by the time of a pair
}

// scalingReport is what `kantor bench scaling` prints.
type scalingReport struct {
	Processors int          `json:"processors"`
	D          int          `json:"d"`
	Sizes      []scalingRow `json:"sizes"`
}

type scalingRow struct {
	N            int     `json:"n"`
	OneGpairPerS float64 `json:"one_gpair_per_s"`
	AllGpairPerS float64 `json:"all_gpair_per_s"`
	Speedup      float64 `json:"speedup"`
}

type benchKernel struct{ benchOptions }

// Run measures the kernels.
func (c benchKernel) Run(std streams) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var report kernelReport
	for _, name := range kernelbench.Implementations() {
		peakRun, operations := kernelbench.Peak(name)
		expRun, expPairs := kernelbench.Softmin(name, 0)
		dims := []int{1, 2, 3, 8, 16, 32, 64, 128}
		runs := []func(){peakRun, expRun}
		pairs := expPairs
		for _, d := range dims {
			run, n := kernelbench.Softmin(name, d)
			runs, pairs = append(runs, run), n
		}
		// In turn, so that what else the machine does meets all of them.
		seconds, err := c.interleaved(ctx, runs)
		if err != nil {
			return err
		}
		peak, exp := float64(operations)/seconds[0], seconds[1]/float64(expPairs)
		for i, d := range dims {
			own := seconds[i+2] / float64(pairs)
			report.Kernels = append(report.Kernels, kernelRow{Implementation: name, D: d, GpairPerS: 1e-9 / own, PeakGflopPerS: peak / 1e9, ExpNs: exp * 1e9,
				Roofline: (2*float64(d)/peak + exp) / own})
		}
	}
	return c.print(std.stdout, report, func(w io.Writer) {
		fmt.Fprintln(w, "kernels\tD\tGpair/s\tpeak Gflop/s\tt_exp ns\tof the roofline\t")
		for _, r := range report.Kernels {
			fmt.Fprintf(w, "%s\t%d\t%.3f\t%.1f\t%.3f\t%.2f\t\n", r.Implementation, r.D, r.GpairPerS, r.PeakGflopPerS, r.ExpNs, r.Roofline)
		}
	})
}

type benchScaling struct {
	benchOptions
	D int `default:"32" help:"Dimension of the points."`
}

// Run measures passes over all pairs.
func (c benchScaling) Run(std streams) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	processors := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(processors)
	report := scalingReport{Processors: processors, D: c.D}
	sizes := []int{1024, 4096, 16384}
	if c.Quick {
		sizes = []int{64, 128, 256}
	}
	for _, n := range sizes {
		pass, pairs := kernelbench.Pass(n, c.D)
		on := func(processors int) func() {
			return func() {
				runtime.GOMAXPROCS(processors)
				_ = pass(ctx) // its error is the context's, which interleaved returns
			}
		}
		seconds, err := c.interleaved(ctx, []func(){on(1), on(processors)})
		if err != nil {
			return err
		}
		report.Sizes = append(report.Sizes, scalingRow{N: n, OneGpairPerS: float64(pairs) / seconds[0] / 1e9, AllGpairPerS: float64(pairs) / seconds[1] / 1e9,
			Speedup: seconds[0] / seconds[1]})
	}
	return c.print(std.stdout, report, func(w io.Writer) {
		fmt.Fprintf(w, "N\tone, Gpair/s\tall %d, Gpair/s\tspeed-up\t\n", processors)
		for _, r := range report.Sizes {
			fmt.Fprintf(w, "%d\t%.3f\t%.3f\t%.2f\t\n", r.N, r.OneGpairPerS, r.AllGpairPerS, r.Speedup)
		}
	})
}

// interleaved returns the median seconds of each, of at least five turns and a second of all of them together, after one to warm up. The error is the
// context's.
func (c benchOptions) interleaved(ctx context.Context, runs []func()) ([]float64, error) {
	times := make([][]float64, len(runs))
	for start, turn := time.Now(), 0; ; turn++ {
		for i, run := range runs {
			before := time.Now()
			run()
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if took := time.Since(before).Seconds(); turn > 0 || c.Quick {
				times[i] = append(times[i], max(took, 1e-9))
			}
		}
		if c.Quick || turn >= 5 && time.Since(start) > time.Second {
			break
		}
	}
	medians := make([]float64, len(runs))
	for i, t := range times {
		slices.Sort(t)
		medians[i] = t[len(t)/2]
	}
	return medians, nil
}

// print writes a report as JSON or as a table.
func (c benchOptions) print(to io.Writer, report any, table func(w io.Writer)) error {
	if c.JSON {
		encoder := json.NewEncoder(to)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	table(w)
	return w.Flush()
}
