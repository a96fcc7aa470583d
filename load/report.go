package load

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// Report is what was measured.
type Report struct {
	Version string `json:"version"` // of the first server
	Kernel  string `json:"kernel"`
	Threads int    `json:"threads"`

	Loop     string  `json:"loop"` // open or closed
	Trainers int     `json:"trainers"`
	Stream   bool    `json:"stream"`
	Seconds  float64 `json:"seconds"` // until the last answer

	IntendedRate float64 `json:"intended_per_s"` // 0: the loop was closed
	AchievedRate float64 `json:"achieved_per_s"` // answers

	Started     int64 `json:"started"`
	Answered    int64 `json:"answered"`
	Failed      int64 `json:"failed"`
	Abandoned   int64 `json:"abandoned"`   // given up on purpose
	Interrupted int64 `json:"interrupted"` // in flight when the load was stopped

	Verified  int64 `json:"verified"`  // answers that were compared with the first to the same request
	Differing int64 `json:"differing"` // of those, in at least one bit

	Latency  Latency   `json:"latency_ms"`
	Classes  []Class   `json:"classes"`
	Failures []Failure `json:"failures"`

	ComputeSeconds float64 `json:"compute_s"`    // of all answers, by the server's clock; evaluations at the same time count each
	ServerSeconds  float64 `json:"server_cpu_s"` // processor time of Config.PID; 0: not asked for
}

// Latency is the distribution of a time, in milliseconds. All are 0 where nothing was measured.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Class is what became of the requests of one size and loss.
type Class struct {
	Size           string  `json:"size"`
	Loss           string  `json:"loss"`
	Answered       int64   `json:"answered"`
	Failed         int64   `json:"failed"`
	Latency        Latency `json:"latency_ms"`
	ComputeSeconds float64 `json:"compute_s"`
}

// Failure is one way in which requests failed.
type Failure struct {
	Code    string  `json:"code"`
	Reason  string  `json:"reason"` // of the status's ErrorInfo; empty: it has none
	Class   string  `json:"class"`
	Count   int64   `json:"count"`
	Message string  `json:"message"`    // of the first
	Service Latency `json:"service_ms"` // from when the request was sent, also where the loop is open
}

// JSON writes the report for machines.
func (r *Report) JSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// Table writes the report for people.
func (r *Report) Table(to io.Writer) error {
	how := "calls"
	if r.Stream {
		how = "streams"
	}
	fmt.Fprintf(to, "kantor %s, kernel %s, %d threads; %s loop, %d trainers, %s, %.1f s\n", r.Version, r.Kernel, r.Threads, r.Loop, r.Trainers, how, r.Seconds)
	if r.IntendedRate > 0 {
		fmt.Fprintf(to, "intended %.1f/s, answered %.1f/s\n", r.IntendedRate, r.AchievedRate)
	} else {
		fmt.Fprintf(to, "answered %.1f/s\n", r.AchievedRate)
	}
	fmt.Fprintf(to, "started %d, answered %d, failed %d", r.Started, r.Answered, r.Failed)
	if r.Abandoned > 0 {
		fmt.Fprintf(to, ", given up on purpose %d", r.Abandoned)
	}
	if r.Interrupted > 0 {
		fmt.Fprintf(to, ", interrupted %d", r.Interrupted)
	}
	fmt.Fprintf(to, "; %d answers compared, %d differ\n", r.Verified, r.Differing)
	if r.ServerSeconds > 0 {
		fmt.Fprintf(to, "server: %.2f s of processor time, %.2f ms an answer\n", r.ServerSeconds, 1e3*r.ServerSeconds/float64(max(r.Answered, 1)))
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nlatency, ms\tanswered\tfailed\tmean\tp50\tp90\tp99\tp99.9\tmax\t")
	for _, c := range r.Classes {
		row(w, c.Size+" "+c.Loss, c.Answered, c.Failed, c.Latency)
	}
	if len(r.Classes) > 1 {
		row(w, "all", r.Answered, r.Failed, r.Latency)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return r.failures(to)
}

func row(w io.Writer, name string, answered, failed int64, l Latency) {
	fmt.Fprintf(w, "%s\t%d\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", name, answered, failed, l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max)
}

func (r *Report) failures(to io.Writer) error {
	if len(r.Failures) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nfailures\tcode\treason\tof\tp50 ms\tp99 ms\tthe first one said")
	for _, f := range r.Failures {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%.2f\t%.2f\t%s\n", f.Count, f.Code, f.Reason, f.Class, f.Service.P50, f.Service.P99, f.Message)
	}
	return w.Flush()
}
