package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"

	"kantor/losses"
)

// environmentPrefix is that of the variables that stand for flags: KANTOR_DRAIN_GRACE for --drain-grace.
const environmentPrefix = "KANTOR_"

// configured are the flags that say where the others come from.
type configured struct {
	Config      string `placeholder:"FILE" help:"Take what no flag and no variable gives from a YAML file, whose keys are the names of the flags."`
	CheckConfig bool   `help:"Say whether a server could start like this, and exit; 2: it could not."`
	PrintConfig bool   `help:"Print what is in force and where each comes from, as a file that --config takes, and exit."`

	settings *settings `kong:"-"`
}

// Help implements [kong.HelpProvider].
func (configured) Help() string {
	return "What no flag gives comes from the environment, KANTOR_DRAIN_GRACE for --drain-grace, then from the file of --config, then from the defaults. " +
		"A server with --exit-with-stdin or --exit-with-lease takes nothing from the environment."
}

// BeforeResolve reads the environment and the file, for what the command line leaves open.
func (c *configured) BeforeResolve(ctx *kong.Context) error {
	s := &settings{flags: ctx.Selected().Flags, commandLine: map[string]bool{}, given: map[string]setting{}}
	for _, path := range ctx.Path {
		if path.Flag != nil {
			s.commandLine[path.Flag.Name] = true
		}
	}
	// Who starts a server for themselves says what it is to do. What the environment says is meant for one that others use.
	if !s.commandLine["exit-with-stdin"] && !s.commandLine["exit-with-lease"] {
		if err := s.readEnvironment(os.LookupEnv); err != nil {
			return err
		}
	}
	path := s.given["config"].text
	for _, flag := range s.flags {
		if flag.Name == "config" && s.commandLine["config"] {
			path, _ = ctx.FlagValue(flag).(string)
		}
	}
	if path != "" {
		if err := s.readFile(path); err != nil {
			return err
		}
	}
	c.settings = s
	ctx.AddResolver(s)
	return nil
}

// settings are what the environment and a file give for a command's flags.
type settings struct {
	flags       []*kong.Flag
	commandLine map[string]bool    // flags that stand there
	given       map[string]setting // by the names of the flags
}

// setting is one value that is not from the command line.
type setting struct {
	text   string
	source string // KANTOR_THREADS, kantor.yaml:3
}

// Validate implements [kong.Resolver]: what is read has been checked.
func (*settings) Validate(*kong.Application) error { return nil }

// Resolve implements [kong.Resolver].
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if given, ok := s.given[flag.Name]; ok && slices.Contains(s.flags, flag) {
		return given.text, nil
	}
	return nil, nil
}

// add takes a value for a flag, unless one that goes before it is there.
func (s *settings) add(flag *kong.Flag, text, source string) error {
	if err := acceptable(flag, text); err != nil {
		return &losses.InputError{Field: source, Reason: fmt.Sprintf("%s: %v", flag.Name, err)}
	}
	if _, ok := s.given[flag.Name]; !ok {
		s.given[flag.Name] = setting{text, source}
	}
	return nil
}

func (s *settings) readEnvironment(lookup func(string) (string, bool)) error {
	for _, flag := range s.flags {
		if name := variable(flag); settable(flag) || flag.Name == "config" {
			if text, ok := lookup(name); ok && text != "" {
				if err := s.add(flag, text, name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// variable is the name of the environment variable that stands for a flag.
func variable(flag *kong.Flag) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
}

// settable tells whether a flag can be in a file: not those that say what to do with one.
func settable(flag *kong.Flag) bool {
	return !slices.Contains([]string{"config", "check-config", "print-config", "help"}, flag.Name)
}

// acceptable tries whether a flag takes a value.
func acceptable(flag *kong.Flag, text string) error {
	target := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: kong.Scan().PushTyped(text, kong.FlagValueToken)}, target); err != nil {
		return err
	}
	if flag.Enum != "" && !flag.EnumMap()[target.String()] {
		return fmt.Errorf("got %q, want one of %s", text, strings.Join(flag.EnumSlice(), ", "))
	}
	return nil
}

// located adds to an error of a flag where its value comes from.
func (s *settings) located(err error) error {
	var bad *losses.InputError
	if s == nil || !errors.As(err, &bad) {
		return err
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(bad.Field, "--"), " ")
	if given, ok := s.given[name]; ok && !s.commandLine[name] {
		return fmt.Errorf("%s: %w", given.source, err)
	}
	return err
}

// print writes what is in force, each with its source, as a file that says the same. No flag holds a secret: those are in files, which are named only.
func (s *settings) print(to io.Writer) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, flag := range s.flags {
		if !settable(flag) {
			continue
		}
		value := &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(flag.Target.Interface()), LineComment: s.source(flag)}
		if flag.Target.Kind() == reflect.String || strings.TrimSpace(value.Value) == "" {
			value.Tag = "!!str"
		}
		if flag.Target.Kind() == reflect.Slice {
			value = &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, LineComment: value.LineComment}
			for i := range flag.Target.Len() {
				value.Content = append(value.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: fmt.Sprint(flag.Target.Index(i).Interface())})
			}
		}
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: flag.Name}, value)
	}
	text, err := yaml.Marshal(root)
	if err != nil {
		return err
	}
	_, err = to.Write(text)
	return err
}

// source says where a flag's value comes from.
func (s *settings) source(flag *kong.Flag) string {
	if s.commandLine[flag.Name] {
		return "--" + flag.Name
	}
	if given, ok := s.given[flag.Name]; ok {
		return given.source
	}
	return "default"
}
