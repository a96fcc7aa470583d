package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// computing is the package whose functions compute.
const computing = "kantor/losses"

// maxProfileBytes is more than any profile has.
const maxProfileBytes = 64 << 20

// processorProfile is where a server's processor time went, in seconds.
type processorProfile struct{ computing, all float64 }

// profileServer takes a profile of a server's processor time by its admin listener, HOST:PORT or unix:PATH.
func profileServer(ctx context.Context, admin string, d time.Duration) (processorProfile, error) {
	seconds := max(1, int(d.Round(time.Second)/time.Second))
	network, address, host := "tcp", admin, admin
	if path, ok := strings.CutPrefix(admin, "unix:"); ok {
		network, address, host = "unix", path, "localhost"
	}
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", host, seconds)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return processorProfile{}, bad("admin", "%v", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address) // and no proxy
	}}}
	response, err := client.Do(request)
	if err != nil {
		return processorProfile{}, fmt.Errorf("no profile from the admin listener: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return processorProfile{}, fmt.Errorf("no profile from the admin listener: %s says %s", url, response.Status)
	}
	parsed, err := profile.Parse(io.LimitReader(response.Body, maxProfileBytes))
	if err != nil {
		return processorProfile{}, fmt.Errorf("the profile from the admin listener: %w", err)
	}
	return sumProfile(parsed)
}

// sumProfile adds up what a profile has of processor time.
func sumProfile(p *profile.Profile) (processorProfile, error) {
	index := -1
	for i, kind := range p.SampleType {
		if kind.Type == "cpu" && kind.Unit == "nanoseconds" {
			index = i
		}
	}
	if index < 0 {
		return processorProfile{}, fmt.Errorf("the profile has no processor time in nanoseconds")
	}
	var sum processorProfile
	for _, sample := range p.Sample {
		seconds := float64(sample.Value[index]) / 1e9
		sum.all += seconds
		if isComputing(sample) {
			sum.computing += seconds
		}
	}
	return sum, nil
}

// isComputing reports whether a function that computes is anywhere on a sample's stack.
func isComputing(sample *profile.Sample) bool {
	for _, location := range sample.Location {
		for _, line := range location.Line {
			if line.Function != nil && strings.HasPrefix(line.Function.Name, computing) {
				return true
			}
		}
	}
	return false
}
