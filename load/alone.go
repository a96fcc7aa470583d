package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/server"
)

// calibration is how long evaluations are made in this process to time them.
const calibration = 2 * time.Second

// ask returns what the first server says of itself.
func ask(ctx context.Context, config Config) (*kantorv1.GetServerInfoResponse, error) {
	options, err := config.Target.Options()
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(config.Target.Addresses[0], options...)
	if err != nil {
		return nil, bad("address", "%s: %v", config.Target.Addresses[0], err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, config.Deadline)
	defer cancel()
	info, err := kantorv1.NewInfoServiceClient(conn).GetServerInfo(ctx, &kantorv1.GetServerInfoRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return nil, fmt.Errorf("no answer from %s: %w", config.Target.Addresses[0], err)
	}
	return info, nil
}

// alone returns the processor seconds that computing one of the requests takes in this process, with as many at once as threads. What decoding and encoding take
// is left out, by their share of the time.
func alone(ctx context.Context, config Config, threads int) (float64, error) {
	work, err := kinds(config)
	if err != nil {
		return 0, err
	}
	before := losses.Processors()
	losses.SetProcessors(max(threads, 1))
	defer losses.SetProcessors(before)
	var evaluations, computing, whole atomic.Int64
	var workers sync.WaitGroup
	errs := make([]error, max(threads, 1))
	processor, end := ownSeconds(), time.Now().Add(calibration)
	for i := range errs {
		workers.Go(func() {
			for n := i; time.Now().Before(end) && errs[i] == nil; n++ {
				start := time.Now()
				response, err := server.Evaluator{}.Evaluate(ctx, work[n%len(work)].requests[n%variants])
				errs[i] = err
				evaluations.Add(1)
				computing.Add(int64(response.GetTiming().GetCompute().AsDuration()))
				whole.Add(int64(time.Since(start)))
			}
		})
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	share := float64(computing.Load()) / float64(max(whole.Load(), 1))
	return (ownSeconds() - processor) / float64(evaluations.Load()) * share, nil
}

// ownSeconds is the processor time that this process has had.
func ownSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // which no system does for a process's own
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
