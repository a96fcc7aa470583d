package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/security.md names no test that is not there.
func TestSecurityPageNamesTests(t *testing.T) {
	var sources strings.Builder
	for _, pattern := range []string{"../../server/*_test.go", "*_test.go", "../../clients/python/tests/test_*.py"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %v", pattern, paths, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(text)
		}
	}
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+|test_\\w+)`").FindAllStringSubmatch(string(page), -1)
	if len(names) < 40 {
		t.Errorf("%d tests are named, want those of every defence", len(names))
	}
	for _, name := range names {
		if !strings.Contains(sources.String(), "func "+name[1]+"(") && !strings.Contains(sources.String(), "def "+name[1]+"(") {
			t.Errorf("there is no %s", name[1])
		}
	}
}

// What docs/configuration.md shows is what the commands print.
func TestConfigurationPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(os.Args[0], filepath.Join(dir, "kantor")); err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(yaml|console)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	commands := 0
	for _, block := range blocks {
		if block[1] == "yaml" {
			if err := os.WriteFile(filepath.Join(dir, "kantor.yaml"), []byte(block[2]), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for _, session := range strings.Split("\n"+block[2], "\n$ ")[1:] {
			line, want, _ := strings.Cut(session, "\n")
			c := exec.CommandContext(t.Context(), "sh", "-c", line)
			c.Dir, c.Env = dir, append(os.Environ(), asKantor+"=1", "PATH="+dir+":"+os.Getenv("PATH"))
			out, _ := c.CombinedOutput()
			if got := strings.TrimSpace(string(out)); got != strings.TrimSpace(want) {
				t.Errorf("$ %s\ngot  %s\nwant %s", line, got, want)
			}
			commands++
		}
	}
	if commands < 6 {
		t.Errorf("%d commands were found", commands)
	}
}
