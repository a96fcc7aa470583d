package main

import (
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	kantorv1 "kantor/gen/kantor/v1"
)

// The flag decides which bits come out, so it is told with them.
func TestServeTellsItsPairMemory(t *testing.T) {
	s := serve(t, "--listen", "127.0.0.1:0", "--pair-memory", "1.5 MiB")
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	info, err := kantorv1.NewInfoServiceClient(conn).GetServerInfo(t.Context(), &kantorv1.GetServerInfoRequest{})
	if err != nil || info.GetBuild().GetPairMemoryBytes() != 3<<19 {
		t.Errorf("got %v, %v, want a pair memory of 1.5 MiB", info, err)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]size{
		"0": 0, "4096": 4096, "12b": 12, "1KiB": 1 << 10, "256MiB": 256 << 20, " 1.5 gib ": 3 << 29, "2TIB": 2 << 40, "500MB": 500e6, "1e3 kB": 1e6,
	} {
		var got size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %d, %v, want %d", text, got, err, want)
		}
		var again size
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%d is written as %q, which is %d, %v", got, got, again, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "NaN", "Inf", "1e30", "9223372036854775808", "256 MiBs", "1 2"} {
		var got size
		if err := got.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "256MiB") {
			t.Errorf("%q is %d, %v, want an error that shows a size", text, got, err)
		}
	}
}
