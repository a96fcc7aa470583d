package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"

	"kantor/losses"
)

// configBytes is far more than all flags need.
const configBytes = 1 << 20

// entry is a line of a file: a flag's name and its value, as text.
type entry struct {
	key, text string
	line      int
	list      bool // the text is a list's, with commas between
}

// readFile takes what a file says.
func (s *settings) readFile(path string) error {
	text, err := readBounded(path)
	if err != nil {
		return &losses.InputError{Field: "--config", Reason: err.Error()}
	}
	entries, err := parseConfig(text)
	if err != nil {
		return &losses.InputError{Field: path, Reason: err.Error()}
	}
	for _, e := range entries {
		flag := s.named(e.key)
		source := fmt.Sprintf("%s:%d", filepath.Base(path), e.line)
		switch {
		case flag == nil:
			return &losses.InputError{Field: source, Reason: s.unknown(e.key)}
		case e.list && !flag.IsSlice():
			return &losses.InputError{Field: source, Reason: e.key + ": is a list, want one value"}
		}
		if err := s.add(flag, e.text, source); err != nil {
			return err
		}
	}
	return nil
}

// named returns the flag that a key of a file names, nil: there is none.
func (s *settings) named(key string) *kong.Flag {
	for _, flag := range s.flags {
		if flag.Name == key && settable(flag) {
			return flag
		}
	}
	return nil
}

// unknown says that there is no such key, and which is the nearest.
func (s *settings) unknown(key string) string {
	best, distance := "", len(key)/2+1
	for _, flag := range s.flags {
		if d := editDistance(key, flag.Name); settable(flag) && d < distance {
			best, distance = flag.Name, d
		}
	}
	if best == "" {
		return fmt.Sprintf("there is no key %q, `kantor serve --print-config` lists them", key)
	}
	return fmt.Sprintf("there is no key %q, did you mean %q?", key, best)
}

// readBounded reads a file of at most configBytes.
func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, configBytes+1))
	if err == nil && len(text) > configBytes {
		err = fmt.Errorf("%s: has more than %d bytes", path, configBytes)
	}
	return text, err
}

// parseConfig reads a file's text: one mapping from keys to values, or lists of them, which are left as they are written. Errors name the line.
func parseConfig(text []byte) ([]entry, error) {
	var documents []yaml.Node
	if err := yaml.Load(text, &documents, yaml.WithAllDocuments()); err != nil {
		return nil, err
	}
	if len(documents) > 1 {
		return nil, fmt.Errorf("line %d: a second document begins, want one", documents[1].Line)
	}
	if len(documents) == 0 || len(documents[0].Content) == 0 {
		return nil, nil // comments only
	}
	root := documents[0].Content[0]
	if root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: want lines of KEY: VALUE", root.Line)
	}
	var entries []entry
	seen := map[string]int{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d: a key is no name", key.Line)
		}
		if line, ok := seen[key.Value]; ok {
			return nil, fmt.Errorf("line %d: %s: is in line %d already", key.Line, key.Value, line)
		}
		seen[key.Value] = key.Line
		e, err := entryOf(key, value)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", value.Line, key.Value, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func entryOf(key, value *yaml.Node) (entry, error) {
	e := entry{key: key.Value, line: key.Line}
	switch {
	case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
		return e, errors.New("has no value, leave the key out for the default")
	case value.Kind == yaml.ScalarNode:
		e.text = value.Value
		return e, nil
	case value.Kind == yaml.SequenceNode:
		var items []string
		for _, item := range value.Content {
			if item.Kind != yaml.ScalarNode {
				return e, errors.New("want a list of values")
			}
			items = append(items, item.Value)
		}
		e.text, e.list = kong.JoinEscaped(items, ','), true
		return e, nil
	}
	return e, errors.New("want a value or a list of values")
}

// editDistance is how many characters have to be put in, left out or changed to make b of a (Levenshtein 1966).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
