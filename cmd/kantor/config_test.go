package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "write the files that are made from the flags")

// parseServe is what `kantor serve` makes of arguments.
func parseServe(t *testing.T, args ...string) (serveCommand, error) {
	t.Helper()
	commands := &cli{}
	_, err := newParser(commands, streams{nil, io.Discard, io.Discard}).Parse(append([]string{"serve"}, args...))
	return commands.Serve, err
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kantor.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A flag goes before the environment, that before the file, that before the default.
func TestConfigPrecedence(t *testing.T) {
	file := configFile(t, "drain-grace: 1s\nthreads: 1\nlog-level: debug\npair-memory: 1MiB\n")
	t.Setenv("KANTOR_THREADS", "2")
	t.Setenv("KANTOR_LOG_LEVEL", "warn")
	t.Setenv("KANTOR_PAIR_MEMORY", "") // is not set
	c, err := parseServe(t, "--config", file, "--log-level", "error")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(c.LogLevel, c.Threads, c.DrainGrace, c.PairMemory, c.MaxMessageSize)
	if want := "ERROR 2 1s 1MiB 128MiB\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	t.Setenv("KANTOR_CONFIG", file)
	if c, err = parseServe(t); err != nil || c.DrainGrace.String() != "1s" {
		t.Errorf("with the file's name in the environment: %v, %v", c.DrainGrace, err)
	}
	// A program that starts a server for itself is not asked what its environment says.
	if c, err = parseServe(t, "--exit-with-stdin"); err != nil || c.DrainGrace.String() != "30s" || c.Threads != 0 {
		t.Errorf("a server of a program's own: %v, %d threads, %v", c.DrainGrace, c.Threads, err)
	}
}

func TestConfigThatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"drain-grece: 1s":                            `kantor.yaml:1: there is no key "drain-grece", did you mean "drain-grace"?`,
		"threads: 1\n\n# x\ntls_cert: x":             `kantor.yaml:4: there is no key "tls_cert", did you mean "tls-cert"?`,
		"quite-something-else-altogether: 1":         "`kantor serve --print-config` lists them",
		"config: other.yaml":                         `there is no key "config"`,
		"print-config: true":                         `there is no key "print-config"`,
		"drain-grace: soon":                          `kantor.yaml:1: drain-grace: expected duration but got "soon"`,
		"threads: [1, 2]":                            "kantor.yaml:1: threads: is a list, want one value",
		"threads: {a: 1}":                            "line 1: threads: want a value or a list of values",
		"threads:":                                   "line 1: threads: has no value",
		"threads: 1\nthreads: 2":                     "line 2: threads: is in line 1 already",
		"log-format: xml":                            `kantor.yaml:1: log-format: got "xml", want one of text, json`,
		"insecure: maybe":                            "kantor.yaml:1: insecure: bool value must be",
		"- threads":                                  "line 1: want lines of KEY: VALUE",
		"just text":                                  "line 1: want lines of KEY: VALUE",
		"threads: 1\n---\nthreads: 2":                "document",
		"threads: &a 1\ninsecure: *a":                "want a value",
		"a: &a [x, x]\nb: &b [*a, *a]":               "want a list of values",
		"threads: 1\n\tinsecure: true":               "kantor.yaml",
		"threads: 1 # fine\nthreads: !!x 1":          "line 2: threads: is in line 1 already",
		"max-message-size: 1GB\nsize: 1":             `kantor.yaml:2: there is no key "size"`,
		strings.Repeat("# x\n", configBytes/4) + "#": "has more than 1048576 bytes",
	} {
		if _, err := parseServe(t, "--config", configFile(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want an error with %q", text, err, want)
		}
	}
	t.Setenv("KANTOR_DRAIN_GRACE", "soon")
	if _, err := parseServe(t); err == nil || !strings.Contains(err.Error(), "KANTOR_DRAIN_GRACE") {
		t.Errorf("got %v, want an error that names the variable", err)
	}
}

func TestConfigIsCheckedAndExitsWith2(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for want, args := range map[string][]string{
		"kantor.yaml:1: --drain-grace: is 0s": {"--config", configFile(t, "drain-grace: 0s")},
		"--config: open " + missing:           {"--config", missing},
		"--tls-cert: wants --tls-key":         {"--tls-cert", missing},
		"--tls-client-ca: wants --tls-cert":   {"--tls-client-ca", missing},
		"--tokens: open " + missing:           {"--tokens", missing},
		"--open-reflection: wants --tokens":   {"--open-reflection"},
		"--tls-cert: open " + missing:         {"--tls-cert", missing, "--tls-key", missing},
		"kantor.yaml:1: --tls-cert: wants":    {"--config", configFile(t, "tls-cert: x")},
		"other machines can reach this":       {"--listen", "0.0.0.0:0"},
		"--admin 0.0.0.0:0: other machines":   {"--admin", "0.0.0.0:0"},
		"would send their tokens in plain":    {"--listen", "0.0.0.0:0", "--insecure", "--tokens", tokensFile(t)},
		"is no address, want HOST:PORT":       {"--listen", "nowhere"},
	} {
		code, stdout, stderr := kantor(t, append([]string{"serve", "--check-config"}, args...)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: got %d, %q, want 2 and %q", args, code, stderr, want)
		}
	}
	for _, args := range [][]string{nil, {"--tokens", tokensFile(t)}, {"--listen", "0.0.0.0:1", "--insecure"}, {"--admin", "unix:/a"}, {"--config", "../../deploy/kantor.yaml"}} {
		if code, stdout, stderr := kantor(t, append([]string{"serve", "--check-config"}, args...)...); code != 0 || stdout != "a server can start like this\n" {
			t.Errorf("%v: got %d, %q, %q", args, code, stdout, stderr)
		}
	}
}

const secret = "not-to-be-seen-not-to-be-seen-not"

func tokensFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte("one:"+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is printed is a file that says the same, names the sources and no secret.
func TestPrintedConfigIsAConfig(t *testing.T) {
	t.Setenv("KANTOR_THREADS", "3")
	args := []string{"--config", configFile(t, "log-level: debug\npair-memory: 1536KiB\n"), "--listen", "[::1]:0", "--tokens", tokensFile(t), "--insecure",
		"--tls-cert", "a: b # c\n\"d'", "--tls-key", " true "}
	code, printed, stderr := kantor(t, append([]string{"serve", "--print-config"}, args...)...)
	if code != 0 {
		t.Fatalf("got %d, %s", code, stderr)
	}
	for _, want := range []string{"threads: 3 # KANTOR_THREADS", "log-level: DEBUG # kantor.yaml:1", "insecure: true # --insecure", "drain-grace: 30s # default"} {
		if !strings.Contains(printed, want+"\n") {
			t.Errorf("it lacks %q:\n%s", want, printed)
		}
	}
	if strings.Contains(printed, secret) {
		t.Errorf("it tells a token:\n%s", printed)
	}
	before, err := parseServe(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KANTOR_THREADS", "")
	after, err := parseServe(t, "--config", configFile(t, printed))
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	before.configured, after.configured = configured{}, configured{}
	if !reflect.DeepEqual(before, after) {
		t.Errorf("got %+v, want %+v", after, before)
	}
}

// The example has every flag, with what it is for and its default. Where one was added: go test ./cmd/kantor -run ExampleConfig -update
func TestExampleConfigIsComplete(t *testing.T) {
	const path = "../../deploy/kantor.yaml"
	want := exampleConfig(t)
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s is not what the flags say (%v): go test ./cmd/kantor -run ExampleConfig -update", path, err)
	}
	// With the defaults, and with every line in force that is one.
	active := slices.Collect(func(yield func(string) bool) {
		for line := range strings.Lines(string(got)) {
			if key, ok := strings.CutPrefix(line, "#"); ok && key != "" && key[0] != ' ' && !yield(key) {
				return
			}
		}
	})
	for _, text := range []string{string(got), strings.Join(active, "")} {
		c, err := parseServe(t, "--config", configFile(t, text))
		if err != nil {
			t.Fatal(err)
		}
		without, err := parseServe(t)
		if err != nil {
			t.Fatal(err)
		}
		c.configured, without.configured = configured{}, configured{}
		if !reflect.DeepEqual(c, without) {
			t.Errorf("the example has %+v, want the defaults %+v", c, without)
		}
	}
}

// exampleConfig is the example as the flags have it.
func exampleConfig(t *testing.T) []byte {
	t.Helper()
	text := bytes.NewBufferString("# Everything that `kantor serve --config FILE` takes, with its default: take the # away before what is to differ.\n" +
		"# Every key is also a flag, --drain-grace, and a variable, KANTOR_DRAIN_GRACE, which go before the file.\n")
	for _, flag := range serveFlags(t) {
		if !settable(flag) {
			continue
		}
		text.WriteString("\n")
		for _, line := range wrapped(flag.Help, 110) {
			fmt.Fprintf(text, "# %s\n", line)
		}
		value := flag.Default
		if value == "" {
			value = `""`
			if flag.IsBool() {
				value = "false"
			}
		}
		fmt.Fprintf(text, "#%s: %s\n", flag.Name, value)
	}
	return text.Bytes()
}

func serveFlags(t *testing.T) []*kong.Flag {
	t.Helper()
	for _, node := range newParser(&cli{}, streams{nil, io.Discard, io.Discard}).Model.Children {
		if node.Name == "serve" {
			return node.Flags
		}
	}
	t.Fatal("there is no serve")
	return nil
}

// wrapped breaks a text into lines.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}

// No flag's variable is one that the client or the kernels have another use for.
func TestVariablesHaveOneMeaning(t *testing.T) {
	others := []string{"KANTOR_ADDRESS", "KANTOR_BINARY", "KANTOR_SHARE", "KANTOR_DUMP", "KANTOR_VEC", "KANTOR_TOKEN", "KANTOR_TLS_CA",
		// what Kubernetes sets where a service has the name kantor
		"KANTOR_PORT", "KANTOR_SERVICE_HOST", "KANTOR_SERVICE_PORT"}
	for _, flag := range serveFlags(t) {
		if slices.Contains(others, variable(flag)) {
			t.Errorf("--%s: %s means something else", flag.Name, variable(flag))
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0}} {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("%q, %q: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

// FuzzParseConfig wants of any file no panic, and entries that are of its size.
func FuzzParseConfig(f *testing.F) {
	example, err := os.ReadFile("../../deploy/kantor.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"", "#", string(example), "threads: 1", "a: [b, 'c,d']", "a: {b: c}", "- a", "a: &x b\nc: *x", "? [a]\n: b", "a: |\n  b\n  c\n", "---\n...\n",
		"<<: {a: b}", "a: !!binary x", "\xff\xfe", "a:\n\tb", strings.Repeat("[", 1000), "&a [*a]"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, err := parseConfig(text)
		if err != nil {
			return
		}
		size := 0
		for _, e := range entries {
			size += len(e.key) + len(e.text)
			if e.line < 1 {
				t.Errorf("%q is in line %d", e.key, e.line)
			}
		}
		if size > 8*len(text)+8 { // an escape may stand for several bytes
			t.Errorf("%d bytes of %d", size, len(text))
		}
	})
}
