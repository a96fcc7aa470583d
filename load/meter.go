package load

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
)

// Range and precision of the histograms, in microseconds and significant digits.
const (
	leastMicros  = 1
	mostMicros   = int64(time.Hour / time.Microsecond)
	digits       = 3
	guessedTypic = 10 * time.Millisecond // before anything was measured
)

// meter notes what becomes of requests.
type meter struct {
	config Config
	start  time.Time

	mu          sync.Mutex
	classes     map[*kind]*class
	order       []*class
	failures    map[failureKey]*failure
	intended    int64
	unfinished  int64
	givenUp     int64
	verified    int64
	differing   int64
	first       map[*kind]*[variants][]byte // digest of the first answer to each request
	worst       time.Duration               // since the last progress
	answers     int64
	sumOfTaking time.Duration
}

// class is what is known of one kind of request.
type class struct {
	kind    *kind
	latency *hdrhistogram.Histogram
	failed  int64
	compute time.Duration // as the server timed it
}

type failureKey struct{ code, reason, class string }

// failure is what is known of one way to fail.
type failure struct {
	count   int64
	message string // of the first
	service *hdrhistogram.Histogram
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(leastMicros, mostMicros, digits)
}

func newMeter(config Config, work []kind) *meter {
	m := &meter{config: config, start: time.Now(), classes: map[*kind]*class{}, failures: map[failureKey]*failure{}, first: map[*kind]*[variants][]byte{}}
	for i := range work {
		c := &class{kind: &work[i], latency: newHistogram()}
		m.classes[c.kind], m.order = c, append(m.order, c)
		m.first[c.kind] = &[variants][]byte{}
	}
	return m
}

// record notes a duration, held to the histogram's range.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), leastMicros), mostMicros)) // in range, so there is no error
}

func (m *meter) intend() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.intended++
}

// answered notes a result, and compares a share of them with the first to the same request.
func (m *meter) answered(work *kind, number int, response *kantorv1.EvaluateResponse, took time.Duration) {
	m.mu.Lock()
	c := m.classes[work]
	record(c.latency, took)
	c.compute += response.GetTiming().GetCompute().AsDuration()
	m.answers++
	m.sumOfTaking += took
	m.worst = max(m.worst, took)
	compare := m.first[work][number] == nil || rand.Float64() < m.config.Verify
	m.mu.Unlock()
	if !compare || m.config.Verify == 0 {
		return
	}
	found := digest(response)
	m.mu.Lock()
	defer m.mu.Unlock()
	if first := m.first[work][number]; first == nil {
		m.first[work][number] = found
	} else if m.verified++; !bytes.Equal(first, found) {
		m.differing++
	}
}

// digest is of all that a repetition must not change: everything but the timing.
func digest(response *kantorv1.EvaluateResponse) []byte {
	response.Timing = nil
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(response)
	if err != nil { // what was just unmarshalled can be marshalled
		text = []byte(err.Error())
	}
	sum := sha256.Sum256(text)
	return sum[:]
}

// failed notes an error; took counts from when the request was due, service from when it was sent.
func (m *meter) failed(work *kind, err error, took, service time.Duration) {
	s := status.Convert(err)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.classes[work].failed++
	m.worst = max(m.worst, took)
	key := failureKey{s.Code().String(), reason(s), work.name(len(m.config.Losses) > 1)}
	if m.failures[key] == nil {
		m.failures[key] = &failure{message: s.Message(), service: newHistogram()}
	}
	m.failures[key].count++
	record(m.failures[key].service, service)
}

func (m *meter) interrupted() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unfinished++
}

func (m *meter) abandoned() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.givenUp++
}

// typical is the mean latency so far.
func (m *meter) typical() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.answers == 0 {
		return guessedTypic
	}
	return m.sumOfTaking / time.Duration(m.answers)
}

func (m *meter) progress(elapsed time.Duration) Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := Progress{Elapsed: elapsed, Answered: m.answers, Worst: m.worst}
	for _, c := range m.order {
		p.Failed += c.failed
	}
	m.worst = 0
	return p
}

// report sums up.
func (m *meter) report(elapsed time.Duration, info *kantorv1.GetServerInfoResponse) *Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &Report{
		Version: info.GetBuild().GetVersion(), Kernel: info.GetBuild().GetKernel(), Threads: int(info.GetThreads()),
		Loop: "closed", Trainers: m.config.Trainers, Stream: m.config.Stream, Seconds: elapsed.Seconds(), IntendedRate: m.config.Rate,
		Started: m.intended, Answered: m.answers, Abandoned: m.givenUp, Interrupted: m.unfinished, Verified: m.verified, Differing: m.differing,
		AchievedRate: float64(m.answers) / elapsed.Seconds(),
	}
	if m.config.Rate > 0 {
		r.Loop = "open"
	}
	all := newHistogram()
	var compute time.Duration
	for _, c := range m.order {
		all.Merge(c.latency)
		compute += c.compute
		r.Failed += c.failed
		r.Classes = append(r.Classes, Class{Size: c.kind.size.String(), Loss: c.kind.loss, Answered: c.latency.TotalCount(), Failed: c.failed,
			Latency: summarise(c.latency), ComputeSeconds: c.compute.Seconds()})
	}
	r.Latency, r.ComputeSeconds = summarise(all), compute.Seconds()
	for key, f := range m.failures {
		r.Failures = append(r.Failures, Failure{Code: key.code, Reason: key.reason, Class: key.class, Count: f.count, Message: f.message,
			Service: summarise(f.service)})
	}
	slices.SortFunc(r.Failures, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Code+a.Reason+a.Class, b.Code+b.Reason+b.Class))
	})
	return r
}

// summarise takes the percentiles of a histogram, in milliseconds.
func summarise(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	at := func(percentile float64) float64 { return float64(h.ValueAtPercentile(percentile)) / 1e3 }
	return Latency{Mean: h.Mean() / 1e3, P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1e3}
}
