package load

import (
	"strconv"
	"strings"

	"kantor/losses"
)

// Size is that of one request: both sides have N points of dimension D.
type Size struct{ N, D int }

func (s Size) String() string { return strconv.Itoa(s.N) + "x" + strconv.Itoa(s.D) }

// Share is a size and how often it comes, relative to the others.
type Share struct {
	Size
	Weight float64
}

// ParseMix reads sizes with weights, "64x16:9,1024x32:1"; a weight that is left out is 1. The error is a *[losses.InputError].
func ParseMix(text string) ([]Share, error) {
	var mix []Share
	seen := map[Size]bool{}
	for part := range strings.SplitSeq(text, ",") {
		share, err := parseShare(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		if seen[share.Size] {
			return nil, bad("mix", "%v is given twice", share.Size)
		}
		seen[share.Size] = true
		mix = append(mix, share)
	}
	return mix, nil
}

func parseShare(part string) (Share, error) {
	size, weightText, weighted := strings.Cut(part, ":")
	nText, dText, ok := strings.Cut(size, "x")
	n, errN := strconv.Atoi(nText)
	d, errD := strconv.Atoi(dText)
	weight := 1.0
	var errWeight error
	if weighted {
		weight, errWeight = strconv.ParseFloat(weightText, 64)
	}
	switch {
	case !ok || errN != nil || errD != nil || errWeight != nil:
		return Share{}, bad("mix", "got %q, want NxD or NxD:WEIGHT, such as 256x16:9", part)
	case n < 1 || n > losses.MaxPoints:
		return Share{}, bad("mix", "%s has %d points, want 1 to %d", part, n, losses.MaxPoints)
	case d < 1 || d > losses.MaxDimension:
		return Share{}, bad("mix", "%s is of dimension %d, want 1 to %d", part, d, losses.MaxDimension)
	case !(weight > 0 && weight <= 1e9):
		return Share{}, bad("mix", "%s has a weight of %v, want more than 0", part, weight)
	}
	return Share{Size{n, d}, weight}, nil
}
