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
	rowInName = regexp.MustCompile(`(?m)^func (Test(T\d+[a-z]?)[A-Z]\w*)\(`)
	// A command of the text, and what it runs where.
	goTest       = regexp.MustCompile("`go test -run '?([^ `']+)'?((?: \\./[\\w/]+)+)`")
	pytest       = regexp.MustCompile("`\\.venv/bin/pytest -k (\\w+) ([\\w/]+\\.py)`")
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

// Every command in docs/mathematics.md runs something in each place that it names. What it runs passes, or this run of all tests fails.
func TestCommandsOfTheMathematics(t *testing.T) {
	text, err := os.ReadFile("../docs/mathematics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := testsByRow(t)[""]
	commands := goTest.FindAllStringSubmatch(string(text), -1)
	if written := strings.Count(string(text), "go test -run"); len(commands) != written || written < 20 {
		t.Errorf("%d of %d commands can be read", len(commands), written)
	}
	for _, m := range commands {
		pattern, err := regexp.Compile(m[1])
		if err != nil {
			t.Fatalf("%s: %v", m[0], err)
		}
		for folder := range strings.FieldsSeq(m[2]) {
			runs := func(test string) bool {
				name, isThere := strings.CutPrefix(test, filepath.Base(folder)+".")
				return isThere && pattern.MatchString(name)
			}
			if _, err := os.Stat(filepath.Join("..", folder)); err != nil || !slices.ContainsFunc(all, runs) {
				t.Errorf("%s runs nothing in %s (%v)", m[0], folder, err)
			}
		}
	}
	for _, m := range pytest.FindAllStringSubmatch(string(text), -1) {
		if source, err := os.ReadFile(filepath.Join("..", m[2])); err != nil || !strings.Contains(string(source), "\ndef "+m[1]+"(") {
			t.Errorf("%s runs nothing (%v)", m[0], err)
		}
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
