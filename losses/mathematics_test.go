package losses

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	rowLine  = regexp.MustCompile(`(?m)^\| (T\d+[a-z]?) \| .+ \| (.*) \|$`)
	testName = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	mention  = regexp.MustCompile("`(\\w+\\.Test\\w+)`")
	// A row's tests have its number in their name or in front of their comment.
	rowInName    = regexp.MustCompile(`(?m)^func (Test(T\d+[a-z]?)[A-Z]\w*)\(`)
	rowInComment = regexp.MustCompile(`(?m)^// (?:Row )?(T\d+[a-z]?)[ :].*\n(?://.*\n)*func (Test\w+)\(`)
)

// docs/mathematics.md names every test of every row, and no test that is not there.
func TestRowsOfTheMathematics(t *testing.T) {
	text, err := os.ReadFile("../docs/mathematics.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testsByRow(t)
	for _, m := range mention.FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(tests[""], m[1]) {
			t.Errorf("there is no test %s", m[1])
		}
	}
	delete(tests, "")
	for _, m := range rowLine.FindAllStringSubmatch(string(text), -1) {
		row, names := m[1], m[2]
		if want := "`" + strings.Join(tests[row], "`, `") + "`"; names != want {
			t.Errorf("row %s names the tests %s, want %s", row, names, want)
		}
		delete(tests, row)
	}
	for row, names := range tests {
		t.Errorf("row %s is not there once, and has the tests %s", row, names)
	}
}

// testsByRow finds the tests of rows, each as "package.Name", sorted; under "" all tests that there are.
func testsByRow(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	add := func(path, row, test string) {
		if name := filepath.Base(filepath.Dir(path)) + "." + test; !slices.Contains(found[row], name) {
			found[row] = append(found[row], name)
		}
	}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			if err == nil && entry.IsDir() && path != ".." && strings.HasPrefix(entry.Name(), ".") {
				return filepath.SkipDir
			}
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range testName.FindAllStringSubmatch(string(source), -1) {
			add(path, "", m[1])
		}
		for _, m := range rowInName.FindAllStringSubmatch(string(source), -1) {
			add(path, m[2], m[1])
		}
		for _, m := range rowInComment.FindAllStringSubmatch(string(source), -1) {
			add(path, m[1], m[2])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range found {
		slices.Sort(names)
	}
	return found
}
