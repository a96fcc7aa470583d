package server

import (
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	kantorv1 "kantor/gen/kantor/v1"
)

// identityOf returns the id that an error names.
func identityOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RequestInfo); ok {
			return info.GetRequestId()
		}
	}
	return ""
}

func TestRequestIDIsTakenWhereItIsSane(t *testing.T) {
	s := start(t, Config{})
	seen := map[string]bool{}
	for _, test := range []struct {
		given []string
		taken bool
	}{
		{[]string{"job-7.step_12:a"}, true},
		{[]string{strings.Repeat("x", maxRequestIDBytes)}, true},
		{[]string{strings.Repeat("x", maxRequestIDBytes+1)}, false},
		{[]string{"two words"}, false},
		{[]string{`"quoted"`}, false},
		{[]string{""}, false},
		{[]string{"one", "two"}, false},
		{nil, false},
		{nil, false},
	} {
		ctx := testContext(t)
		for _, id := range test.given {
			ctx = metadata.AppendToOutgoingContext(ctx, requestIDHeader, id)
		}
		var header metadata.MD
		_, err := s.losses.Evaluate(ctx, &kantorv1.EvaluateRequest{}, grpc.Header(&header))
		got := header.Get(requestIDHeader)
		if err == nil || len(got) != 1 || identityOf(err) != got[0] {
			t.Fatalf("%q: the header says %q and the error %q (%v)", test.given, got, identityOf(err), err)
		}
		if taken := len(test.given) == 1 && got[0] == test.given[0]; taken != test.taken {
			t.Errorf("%q became %q, want it taken: %v", test.given, got[0], test.taken)
		}
		if seen[got[0]] || !saneRequestID(got[0]) {
			t.Errorf("the id %q is not sane, or not new", got[0])
		}
		seen[got[0]] = true
	}
}

func TestRequestIDOfAStream(t *testing.T) {
	s := start(t, Config{})
	stream, err := s.losses.EvaluateStream(metadata.AppendToOutgoingContext(testContext(t), requestIDHeader, "epoch-3"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&kantorv1.EvaluateStreamRequest{}); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	header, headerErr := stream.Header()
	if got := header.Get(requestIDHeader); headerErr != nil || len(got) != 1 || got[0] != "epoch-3" || identityOf(err) != "epoch-3" {
		t.Errorf("the header says %q (%v) and the error %q (%v)", got, headerErr, identityOf(err), err)
	}
}
