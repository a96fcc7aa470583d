package server

import "context"

// observers tell each of several.
type observers []Observer

// Admitted implements [Observer].
func (o observers) Admitted(ctx context.Context, a Admitted) {
	for _, each := range o {
		each.Admitted(ctx, a)
	}
}

// Finished implements [Observer].
func (o observers) Finished(ctx context.Context, f Finished) {
	for _, each := range o {
		each.Finished(ctx, f)
	}
}

// Rejected implements [Observer].
func (o observers) Rejected(ctx context.Context, reason string) {
	for _, each := range o {
		each.Rejected(ctx, reason)
	}
}

// Panicked implements [Observer].
func (o observers) Panicked(ctx context.Context) {
	for _, each := range o {
		each.Panicked(ctx)
	}
}
