package load

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"text/tabwriter"
)

// What [Goals] holds a server to.
const (
	leastComputeShare = 0.9
	mostSlowdown      = 3.0
	mostSmallMillis   = 5.0
	mostRefusalMillis = 5.0

	goalTrainers = 64
	overload     = 3 // times the rate that the server had answers at
	overloads    = 3 // how often that is done on top of the last one
)

var (
	trainerSize = Size{256, 16}
	smallSize   = Size{64, 16}
	largeSize   = Size{16384, 16}
)

// Goal is one of them.
type Goal struct {
	Name string  `json:"name"`
	Got  float64 `json:"got"`
	Want float64 `json:"want"`
	Met  bool    `json:"met"`
	How  string  `json:"how"` // in words, with the numbers that it comes from
}

// GoalReport is what [Goals] measured.
type GoalReport struct {
	Goals []Goal `json:"goals"`
}

// Met reports whether every goal was.
func (r *GoalReport) Met() bool {
	for _, goal := range r.Goals {
		if !goal.Met {
			return false
		}
	}
	return len(r.Goals) > 0
}

// JSON writes the report for machines.
func (r *GoalReport) JSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// Table writes the report for people.
func (r *GoalReport) Table(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "goal\tgot\twant\tmet\thow")
	for _, g := range r.Goals {
		met := "no"
		if g.Met {
			met = "yes"
		}
		fmt.Fprintf(w, "%s\t%.3g\t%.3g\t%s\t%s\n", g.Name, g.Got, g.Want, met, g.How)
	}
	return w.Flush()
}

// Goals measures what a server is held to, each part for config.Duration: how much of its processor time is computing, what a small request suffers beside a large
// one, and how fast it refuses what is too much. Of config it takes where the server and its admin listener are, the deadline and the seed.
func Goals(ctx context.Context, config Config, admin string) (*GoalReport, error) {
	if admin == "" {
		return nil, bad("admin", "is missing, want HOST:PORT or unix:PATH of the server's admin listener: the goals are about where its processor time goes")
	}
	config.Losses, config.Rate, config.Stream, config.Cancel, config.Disconnect = []string{"sinkhorn"}, 0, false, 0, 0
	share, rate, err := computeShare(ctx, config, admin)
	if err != nil {
		return nil, err
	}
	beside, err := besideLarge(ctx, config)
	if err != nil {
		return nil, err
	}
	refusal, err := refusals(ctx, config, rate)
	if err != nil {
		return nil, err
	}
	return &GoalReport{[]Goal{share, beside, refusal}}, ctx.Err()
}

// computeShare is how much of a server's processor time is spent in what computes, by a profile. It also returns how many answers the server gave each second.
func computeShare(ctx context.Context, config Config, admin string) (Goal, float64, error) {
	config.Mix, config.Trainers = []Share{{trainerSize, 1}}, goalTrainers
	var profiling sync.WaitGroup
	var spent processorProfile
	var failed error
	config.started = func() {
		profiling.Go(func() { spent, failed = profileServer(ctx, admin, config.Duration) })
	}
	report, err := Run(ctx, config)
	profiling.Wait()
	if err := cmp.Or(err, failed); err != nil {
		return Goal{}, 0, err
	}
	if report.Answered == 0 || spent.all == 0 {
		return Goal{}, 0, fmt.Errorf("the server gave %d answers in %.2f s of processor time, want more of both: %+v", report.Answered, spent.all, report.Failures)
	}
	share, each := spent.computing/spent.all, spent.all/float64(report.Answered)
	return Goal{
		Name: fmt.Sprintf("compute by the server's processor time, %d trainers, %v", goalTrainers, trainerSize), Got: share, Want: leastComputeShare,
		Met: share >= leastComputeShare && report.Failed == 0,
		How: fmt.Sprintf("%.2f s of %.2f s in %.1f s; %.0f answers/s, %.3f ms each, %d failed", spent.computing, spent.all, report.Seconds, report.AchievedRate,
			1e3*each, report.Failed),
	}, report.AchievedRate, nil
}

// besideLarge compares the latency of small requests with and without a large one being computed.
func besideLarge(ctx context.Context, config Config) (Goal, error) {
	config.Trainers = 1
	small, large := config, config
	small.Mix, large.Mix = []Share{{smallSize, 1}}, []Share{{largeSize, 1}}
	lone, err := Run(ctx, small)
	if err != nil {
		return Goal{}, err
	}
	largeContext, enough := context.WithCancel(ctx)
	defer enough()
	// Longer than the small ones: it is ended, not waited for. One large request takes what it takes.
	large.Duration, large.Deadline, large.Verify = 10*config.Duration, 10*config.Duration+config.Deadline, 0
	type outcome struct {
		report *Report
		err    error
	}
	ended := make(chan outcome, 1)
	started := make(chan struct{})
	large.started = func() { close(started) }
	go func() {
		report, err := Run(largeContext, large)
		ended <- outcome{report, err}
	}()
	select {
	case <-started:
	case early := <-ended:
		return Goal{}, fmt.Errorf("the large request did not run: %w", early.err)
	}
	beside, err := Run(ctx, small)
	enough()
	other := <-ended
	if err != nil {
		return Goal{}, err
	}
	if other.err != nil || other.report.Answered+other.report.Interrupted == 0 {
		return Goal{}, fmt.Errorf("the large request did not run: %+v, %w", other.report, other.err)
	}
	want := max(mostSlowdown*lone.Latency.P99, mostSmallMillis)
	return Goal{
		Name: fmt.Sprintf("p99 of %v beside %v, ms", smallSize, largeSize), Got: beside.Latency.P99, Want: want,
		Met: beside.Answered > 0 && beside.Failed == 0 && beside.Latency.P99 <= want,
		How: fmt.Sprintf("alone p50 %.2f p99 %.2f (%d answers), beside p50 %.2f p99 %.2f (%d answers, %d failed)", lone.Latency.P50, lone.Latency.P99, lone.Answered,
			beside.Latency.P50, beside.Latency.P99, beside.Answered, beside.Failed),
	}, nil
}

// refusals measures how long a server takes to refuse what is too much for it: a multiple of the rate that it had answers at, and more where nothing is refused,
// since the machine may have had other things to do before.
func refusals(ctx context.Context, config Config, rate float64) (Goal, error) {
	config.Mix, config.Trainers, config.Rate = []Share{{trainerSize, 1}}, goalTrainers, rate
	goal := Goal{Name: "p99 of a refusal, ms", Want: mostRefusalMillis}
	for range overloads {
		config.Rate = min(config.Rate*overload, MaxRate)
		report, err := Run(ctx, config)
		if err != nil || ctx.Err() != nil {
			return goal, err
		}
		for _, f := range report.Failures {
			if f.Code == "ResourceExhausted" && f.Service.P99 >= goal.Got {
				goal.Got, goal.Met = f.Service.P99, f.Service.P99 <= mostRefusalMillis
				goal.How = fmt.Sprintf("%s: %d of %d requests at %.0f/s, %.0f answers/s; p50 %.2f max %.2f", f.Reason, f.Count, report.Started, config.Rate,
					report.AchievedRate, f.Service.P50, f.Service.Max)
			}
		}
		if goal.How != "" {
			return goal, nil
		}
	}
	goal.How = fmt.Sprintf("nothing was refused up to %.0f requests/s", config.Rate)
	return goal, nil
}
