package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"kantor/losses"
)

// pairMemory is the flag of the commands that compute.
type pairMemory struct {
	PairMemory size `default:"256MiB" placeholder:"SIZE" help:"Memory for matrices of pairs, for all problems at once; one that needs more computes its pairs anew each time (${default})."`
}

func (p pairMemory) set() error { return losses.SetPairMemory(int64(p.PairMemory)) }

// size is a number of bytes.
type size int64

// units are what a size can end with. Longer ones are first, where one ends with another.
var units = []struct {
	suffix string
	bytes  float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"b", 1},
}

// UnmarshalText reads 256MiB, 1.5 GiB, 500 MB or a number of bytes, in small letters or large ones.
func (s *size) UnmarshalText(text []byte) error {
	number, unit := strings.ToLower(strings.TrimSpace(string(text))), 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	value, err := strconv.ParseFloat(number, 64)
	bytes := math.Round(value * unit)
	if err != nil || !(bytes >= 0 && bytes < math.MaxInt64) {
		return fmt.Errorf("got %q, want a size such as 256MiB, 1.5GiB or 0", text)
	}
	*s = size(bytes)
	return nil
}

// String is what UnmarshalText reads, in the largest unit that the size is a whole number of.
func (s size) String() string {
	units := []string{"", "KiB", "MiB", "GiB", "TiB"}
	unit := 0
	for s != 0 && s%1024 == 0 && unit+1 < len(units) {
		s /= 1024
		unit++
	}
	return strconv.FormatInt(int64(s), 10) + units[unit]
}
