package server

import (
	"context"
	"errors"
	"strconv"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"kantor/losses"
	"kantor/server/internal/admission"
)

// domain is that of every ErrorInfo.
const domain = "kantor"

// Errors travel in the trailer, which a Python client takes up to 8 KiB of by default. Names in a request may be longer.
const (
	maxFieldBytes  = 256
	maxReasonBytes = 512
)

var (
	// errStopping is the cause with which work ends when the server does not wait for it any longer.
	errStopping = errors.New("the server is stopping")
	// errInternal stands for a panic, whose text is for the log alone: it may hold anything.
	errInternal = errors.New("internal error, which the server's log tells more of")
	// errIdle is the cause with which a stream ends that nothing happens on.
	errIdle = errors.New("the stream was idle for longer than the server keeps one open: open another")
)

// pushback is gRPC's way to say when to come back, in milliseconds, or never where it is negative.
const pushback = "grpc-retry-pushback-ms"

// tooLargeError is a response above the message limit.
type tooLargeError struct{ reason string }

func (e *tooLargeError) Error() string { return e.reason }

// toStatus is where every error gets its code and its details; nothing else picks one. A status that gRPC itself made stays as it is. Nil is OK.
func toStatus(err error) *status.Status {
	var bad *losses.InputError
	var tooLarge *tooLargeError
	var refusal *admission.Refusal
	var unknown *unauthenticatedError
	switch {
	case err == nil:
		return status.New(codes.OK, "")
	case errors.As(err, &bad):
		field, reason := clip(bad.Field, maxFieldBytes), clip(bad.Reason, maxReasonBytes)
		return detailed(codes.InvalidArgument, field+": "+reason, "BAD_INPUT",
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: reason}}})
	case errors.As(err, &tooLarge):
		return detailed(codes.ResourceExhausted, tooLarge.reason, "RESPONSE_TOO_LARGE")
	case errors.As(err, &refusal):
		return refused(refusal)
	case errors.Is(err, errIdle):
		return detailed(codes.Unavailable, errIdle.Error(), "STREAM_IDLE")
	case errors.Is(err, errRevoked): // whoever has the token that came instead may go on at once
		return detailed(codes.Unauthenticated, errRevoked.reason, errRevoked.code, &errdetails.RetryInfo{RetryDelay: durationpb.New(0)})
	case errors.As(err, &unknown):
		return detailed(codes.Unauthenticated, unknown.reason, unknown.code)
	case errors.Is(err, errStopping):
		return detailed(codes.Unavailable, errStopping.Error(), "STOPPING")
	case errors.Is(err, errInternal):
		return detailed(codes.Internal, errInternal.Error(), "INTERNAL")
	case errors.Is(err, context.DeadlineExceeded):
		return detailed(codes.DeadlineExceeded, "the deadline passed before the computation ended", "DEADLINE_EXCEEDED")
	case errors.Is(err, context.Canceled):
		return detailed(codes.Canceled, "the call was cancelled", "CANCELLED")
	}
	if s, ok := status.FromError(err); ok {
		return s
	}
	// An error of a kind that is not listed is our bug; its text may hold anything.
	return detailed(codes.Internal, errInternal.Error(), "INTERNAL")
}

// refused is the status of a request that is not computed. No other try helps one that is too large or too late.
func refused(r *admission.Refusal) *status.Status {
	switch {
	case r.Reason == admission.TooLate:
		return detailed(codes.DeadlineExceeded, r.Error(), reasonOf(r))
	case r.Retry == 0:
		return detailed(codes.ResourceExhausted, r.Error(), reasonOf(r))
	}
	return detailed(codes.ResourceExhausted, r.Error(), reasonOf(r), &errdetails.RetryInfo{RetryDelay: durationpb.New(r.Retry)})
}

// reasonOf is the ErrorInfo reason of a refusal.
func reasonOf(r *admission.Refusal) string { return RejectionReasons()[r.Reason] }

// unaryError is the error of a call, which also tells gRPC's own retries when to come back.
func unaryError(ctx context.Context, err error) error {
	var refusal *admission.Refusal
	if errors.As(err, &refusal) {
		milliseconds := int64(-1)
		if refusal.Retry > 0 {
			milliseconds = max(1, refusal.Retry.Milliseconds())
		}
		_ = grpc.SetTrailer(ctx, metadata.Pairs(pushback, strconv.FormatInt(milliseconds, 10))) // fails only outside a call
	}
	return toStatus(err).Err()
}

func detailed(code codes.Code, message, reason string, more ...protoadapt.MessageV1) *status.Status {
	s := status.New(code, message)
	details := append(more, &errdetails.ErrorInfo{Reason: reason, Domain: domain})
	if withDetails, err := s.WithDetails(details...); err == nil {
		return withDetails
	}
	return s
}

// clip shortens text to at most n bytes, without cutting a character in two.
func clip(text string, n int) string {
	const mark = "…"
	if len(text) <= n {
		return text
	}
	n -= len(mark)
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + mark
}
