package admission

import (
	"math"
	"slices"
	"time"
)

const (
	// firstGuess is the seconds that a pair takes, all its iterations together, on a machine of which nothing is known yet.
	firstGuess = 2e-8
	// newestShare is the weight of the newest measurement in a mean.
	newestShare = 0.25
	// remembered is of how many requests of a class the least is taken, and enough how many there must be.
	remembered, enough = 16, 3
	// leastShare of the fastest of them is what a request may take that is lucky: its data may need fewer iterations than any before.
	leastShare = 0.5
	// tryAfter is the one of so many hopeless requests that is computed nonetheless, so that what has become faster is found out.
	tryAfter = 16
	// maxClasses bounds what is remembered.
	maxClasses = 1 << 10
)

// class is the requests that take about equally long for the same work.
type class struct {
	kind              string
	pairs, iterations int8 // half octaves
	bytes             int8 // octaves, which tell dimensions apart
}

func classOf(r Request) class {
	return class{r.Kind, octaves(2, r.Pairs), octaves(2, float64(r.Iterations)), octaves(1, float64(r.Input+r.Memory))}
}

// octaves is the logarithm of v to the base 2 in steps of 1/n.
func octaves(n, v float64) int8 { return int8(math.Round(n * math.Log2(max(1, v)))) }

// mean is a mean in which older numbers count less and less.
type mean struct {
	value float64
	known bool
}

func (m *mean) add(v float64) {
	if !m.known {
		m.value, m.known = v, true
		return
	}
	m.value += newestShare * (v - m.value)
}

// record is what is known of a class.
type record struct {
	mean     mean      // seconds for each pair and iteration
	newest   []float64 // the same of the last ones, at most remembered
	next     int       // the oldest of them, once there are as many
	hopeless int       // requests that could not be done in time, since the last that was tried nonetheless
}

// speeds is what this machine has shown of how long requests take. Seconds are the machine's: while several requests run, each takes its part of them.
type speeds struct {
	classes map[class]*record
	kinds   map[string]*mean // seconds for each pair, by kind
	all     mean
}

func newSpeeds() *speeds { return &speeds{classes: map[class]*record{}, kinds: map[string]*mean{}} }

// work is what the time of a class's requests grows with.
func work(r Request) float64 { return max(1, r.Pairs) * float64(max(1, r.Iterations)) }

// likely is the time that a request probably takes.
func (s *speeds) likely(r Request) time.Duration {
	switch known, kind := s.classes[classOf(r)], s.kinds[r.Kind]; {
	case known != nil:
		return seconds(known.mean.value * work(r))
	case kind != nil:
		return seconds(kind.value * max(1, r.Pairs))
	case s.all.known:
		return seconds(s.all.value * max(1, r.Pairs))
	}
	return seconds(firstGuess * r.Pairs)
}

// least is the time that a request takes even if it is lucky; 0: too little is known of such requests.
func (s *speeds) least(r Request) time.Duration {
	known := s.classes[classOf(r)]
	if known == nil || len(known.newest) < enough {
		return 0
	}
	return seconds(leastShare * slices.Min(known.newest) * work(r))
}

// tryHopeless counts a request that seems hopeless, and reports whether it is one to try nonetheless.
func (s *speeds) tryHopeless(r Request) bool {
	known := s.classes[classOf(r)]
	if known == nil {
		return true
	}
	known.hopeless = (known.hopeless + 1) % tryAfter
	return known.hopeless == 0
}

// learn takes a measurement: the machine's time that a request took to its end.
func (s *speeds) learn(r Request, took time.Duration) {
	c := classOf(r)
	known := s.classes[c]
	if known == nil {
		forgetOne(s.classes)
		known = &record{}
		s.classes[c] = known
	}
	rate := took.Seconds() / work(r)
	known.mean.add(rate)
	if len(known.newest) < remembered {
		known.newest = append(known.newest, rate)
	} else {
		known.newest[known.next] = rate
		known.next = (known.next + 1) % remembered
	}
	kind := s.kinds[r.Kind]
	if kind == nil {
		forgetOne(s.kinds)
		kind = &mean{}
		s.kinds[r.Kind] = kind
	}
	perPair := took.Seconds() / max(1, r.Pairs)
	kind.add(perPair)
	s.all.add(perPair)
}

// forgetOne makes room in a map that is full. Which one goes does not matter: it is learnt again.
func forgetOne[K comparable, V any](m map[K]V) {
	if len(m) < maxClasses {
		return
	}
	for k := range m {
		delete(m, k)
		return
	}
}

// seconds is a duration, at most a year: long ones are not told apart.
func seconds(s float64) time.Duration {
	const year = 365 * 24 * time.Hour
	if !(s < year.Seconds()) {
		return year
	}
	return time.Duration(s * float64(time.Second))
}
