package server

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	kantorv1 "kantor/gen/kantor/v1"
)

// grpcurl is a client that knows nothing of kantor but what reflection tells it. The first run compiles it.
func grpcurl(t *testing.T, s *started, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "go", append([]string{"tool", "-modfile=../tools/go.mod", "grpcurl", "-plaintext"}, args...)...)
	for i, arg := range command.Args {
		command.Args[i] = strings.ReplaceAll(arg, "SERVER", s.conn.Target())
	}
	var stderr bytes.Buffer
	command.Stdin, command.Stderr = strings.NewReader(stdin), &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("grpcurl %v: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

func TestGenericClientListsAndCalls(t *testing.T) {
	s := start(t, Config{Version: "v1.2.3"})
	services := grpcurl(t, s, "", "SERVER", "list")
	for _, want := range []string{"kantor.v1.LossService", "kantor.v1.DiagnosticService", "kantor.v1.InfoService", "grpc.health.v1.Health"} {
		if !strings.Contains(services, want) {
			t.Errorf("list lacks %s:\n%s", want, services)
		}
	}
	if text := grpcurl(t, s, "", "SERVER", "describe", "kantor.v1.Term"); !strings.Contains(text, "SinkhornDivergence sinkhorn = 10") {
		t.Errorf("describe lacks the terms:\n%s", text)
	}
	var info kantorv1.GetServerInfoResponse
	if err := protojson.Unmarshal([]byte(grpcurl(t, s, "", "SERVER", "kantor.v1.InfoService/GetServerInfo")), &info); err != nil {
		t.Fatal(err)
	}
	if info.GetBuild().GetVersion() != "v1.2.3" || info.GetLimits().GetMessageBytes() != DefaultMessageBytes {
		t.Errorf("info %v", &info)
	}
	req, err := protojson.Marshal(klRequest(3))
	if err != nil {
		t.Fatal(err)
	}
	var response kantorv1.EvaluateResponse
	if err := protojson.Unmarshal([]byte(grpcurl(t, s, string(req), "-d", "@", "SERVER", "kantor.v1.LossService/Evaluate")), &response); err != nil {
		t.Fatal(err)
	}
	if response.GetValue() != 4.5 {
		t.Errorf("value %v, want ½·3²", response.GetValue())
	}
}
