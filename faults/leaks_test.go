package faults

import (
	"os/exec"
	"strings"
	"testing"
)

// Whatever a package's tests start has ended when they have, in every package that has tests.
func TestEveryPackageLooksForLeaks(t *testing.T) {
	const format = `{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{join .TestImports ","}},{{join .XTestImports ","}}{{end}}`
	out, err := exec.Command("go", "list", "-f", format, "kantor/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 20 {
		t.Fatalf("go list knows of %d packages with tests: %v", len(lines), lines)
	}
	for _, line := range lines {
		if name, imports, _ := strings.Cut(line, " "); !strings.Contains(imports+",", "go.uber.org/goleak,") {
			t.Errorf("%s: its tests do not end with goleak.VerifyTestMain", name)
		}
	}
}
