// Command kantor serves losses over gRPC and computes them from files.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"kantor/losses"
)

// Exit codes beside 0.
const (
	exitFailure = 1
	exitUsage   = 2 // what was given is wrong
)

type cli struct {
	Serve   serveCommand   `cmd:"" help:"Serve losses over gRPC until SIGTERM or SIGINT, or with those who need it (--exit-with-stdin, --exit-with-lease)."`
	Eval    evalCommand    `cmd:"" help:"Compute losses of .npy files, or of an EvaluateRequest in JSON, as the server does, and print them as JSON."`
	Bench   benchCommand   `cmd:"" help:"Measure the vector kernels on this machine."`
	Load    loadCommand    `cmd:"" help:"Put a load of evaluations on servers and measure latencies and errors."`
	Health  healthCommand  `cmd:"" help:"Ask a server whether it serves: exits with 0 if so, with 1 if not."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// streams are the process's, as commands see them.
type streams struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

func main() { os.Exit(run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})) }

// run runs one command and returns the exit code.
func run(args []string, std streams) int {
	command, err := newParser(&cli{}, std).Parse(args)
	if err != nil {
		return report(std, exitUsage, withChoices(err))
	}
	if err := command.Run(std); err != nil {
		return report(std, exitCode(err), err)
	}
	return 0
}

func newParser(commands *cli, std streams) *kong.Kong {
	return kong.Must(commands,
		kong.Name("kantor"),
		kong.Description("A loss server: transport and KL losses with gradients, over gRPC."),
		kong.Writers(std.stdout, std.stderr))
}

// withChoices adds to the parser's word on an argument that is no command, nor nearly one, which commands there are.
func withChoices(err error) error {
	var parse *kong.ParseError
	if !errors.As(err, &parse) || !strings.HasPrefix(err.Error(), "unexpected argument ") || strings.Contains(err.Error(), "did you mean") {
		return err
	}
	node := parse.Context.Selected()
	if node == nil {
		node = parse.Context.Model.Node
	}
	var names []string
	for _, child := range node.Children {
		names = append(names, strconv.Quote(child.Name))
	}
	if len(names) == 0 {
		return err
	}
	return fmt.Errorf("%w, want one of %s", err, strings.Join(names, ", "))
}

// exitCode tells what the caller can mend from what they cannot.
func exitCode(err error) int {
	var input *losses.InputError
	if errors.As(err, &input) {
		return exitUsage
	}
	return exitFailure
}

func report(std streams, code int, err error) int {
	fmt.Fprintln(std.stderr, "kantor:", err)
	return code
}
