// Package eval computes what a server computes without a socket: it makes a request of .npy files or JSON, gives it to the server's own decode, compute
// and encode, and prints the response. What is wrong with a request is said in terms of the flags it came from.
package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/server"
)

// Command is what `kantor eval` can be told. The tags are for the parser of the command line; the named files are short for entries of Input.
type Command struct {
	Source             string   `placeholder:"FILE" help:"Points [N,D] of the input \"source\", float32 or float64; or a batch of problems, [B,N,D]."`
	Target             string   `placeholder:"FILE" help:"Points of the input \"target\"."`
	SourceWeights      string   `placeholder:"FILE" help:"Weights [N] or [B,N] of the input \"source\" (1/N each)."`
	TargetWeights      string   `placeholder:"FILE" help:"Weights of the input \"target\"."`
	SourceSizes        string   `placeholder:"FILE" help:"How many of the N points of each problem of \"source\" count, [B], int64 (all)."`
	TargetSizes        string   `placeholder:"FILE" help:"How many of those of \"target\" count."`
	Mean               string   `placeholder:"FILE" help:"Means [N,D] or [B,N,D] of the input \"posterior\"."`
	LogVariance        string   `placeholder:"FILE" help:"Logarithms of variances of the input \"posterior\"."`
	Covariance         string   `placeholder:"FILE" help:"Covariances [N,D,D] or [B,N,D,D] of the input \"posterior\", instead of logarithms of variances."`
	Concentration      string   `placeholder:"FILE" help:"Concentrations [N] or [B,N] of the input \"posterior\", whose means are then directions."`
	Logits             string   `placeholder:"FILE" help:"Logits [N,K] or [B,N,K] of the input \"posterior\": of bits where a bernoulli_kl term takes it, else of classes."`
	Probabilities      string   `placeholder:"FILE" help:"Probabilities of the input \"posterior\", instead of logits."`
	PriorMean          string   `placeholder:"FILE" help:"Means of the input \"prior\", which a term that can have a prior of this kind and names none then uses."`
	PriorLogVariance   string   `placeholder:"FILE" help:"Logarithms of variances of the input \"prior\"."`
	PriorCovariance    string   `placeholder:"FILE" help:"Covariances of the input \"prior\"."`
	PriorLogits        string   `placeholder:"FILE" help:"Logits of the input \"prior\"."`
	PriorProbabilities string   `placeholder:"FILE" help:"Probabilities of the input \"prior\"."`
	Input              []string `sep:"none" placeholder:"NAME.FIELD=FILE" help:"Any array of any input; or NAME=standard_normal, NAME=uniform_cube:lower=0,size=64 and the like, samples of a prior. --list has all of both."`
	Term               []string `sep:"none" placeholder:"LOSS:FIELD=VALUE,..." help:"A term, such as sinkhorn:blur=0.5,debias=self or kl:weight=4. --list has all losses and fields."`
	Diagnostic         []string `sep:"none" placeholder:"KIND:FIELD=VALUE,..." help:"In place of terms, a number that tells how a latent space is doing, such as active_units or permutation_test:permutations=99. --list has all of them."`
	Extras             []string `sep:"none" placeholder:"TERM.EXTRA" help:"What else to print, such as sinkhorn.potentials or kl.per_dimension."`
	Seed               uint64   `placeholder:"N" help:"Seed of sampled inputs and of what terms draw (0)."`
	Gradients          string   `placeholder:"DIR" help:"Write the gradient of every given tensor to a file in DIR: source.npy, log-variance.npy."`
	GradientsPerTerm   bool     `help:"With --gradients, write those of each term's unweighted value too, to DIR/TERM."`
	State              string   `placeholder:"FILE" help:"What cone_critic terms have learnt: read if the file is there, and written anew."`
	Request            string   `placeholder:"FILE" help:"An EvaluateRequest, or a DiagnoseRequest, in protobuf's JSON form instead of all but --gradients; - is standard input."`
}

// Run computes a command and prints the result as one JSON object. What is wrong with the command is a *[losses.InputError] whose field is a flag or, with
// Request, a path in the request.
func Run(ctx context.Context, version string, c Command, stdin io.Reader, stdout io.Writer) error {
	text, err := c.read(stdin)
	if err != nil {
		return bad("--request", "%v", err)
	}
	if len(c.Diagnostic) > 0 || ofDiagnostics(text) {
		return c.diagnose(ctx, version, text, stdout)
	}
	request, origin, err := c.request(text)
	if err != nil {
		return err
	}
	learning, err := c.addStates(request, origin)
	if err != nil {
		return err
	}
	response, err := server.Evaluator{Version: version}.Evaluate(ctx, request)
	if err != nil {
		return origin.translate(err)
	}
	if c.Gradients != "" {
		if err := writeAllGradients(c.Gradients, response); err != nil {
			return fmt.Errorf("--gradients: %w", err)
		}
	}
	if err := learning.write(response); err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	return print(stdout, response)
}

// read returns what --request names; nothing without it.
func (c Command) read(stdin io.Reader) ([]byte, error) {
	switch c.Request {
	case "":
		return nil, nil
	case "-":
		return io.ReadAll(stdin)
	}
	return os.ReadFile(c.Request)
}

// request makes the request that the command stands for, and tells where its parts came from; nil: from a request, whose text is given.
func (c Command) request(text []byte) (*kantorv1.EvaluateRequest, *origins, error) {
	if c.Request == "" {
		return c.assemble()
	}
	if c.givesMore() {
		return nil, nil, bad("--request", "is the whole request, want no other flag with it but --gradients")
	}
	request := &kantorv1.EvaluateRequest{}
	if err := protojson.Unmarshal(text, request); err != nil {
		return nil, nil, bad("--request", "%v", err)
	}
	if c.Gradients != "" && len(request.GetObjective().GetGradients()) == 0 {
		if request.Objective == nil {
			request.Objective = &kantorv1.Objective{}
		}
		request.Objective.Gradients = tensorNames(request.GetInputs())
	}
	return request, nil, nil
}

// givesMore reports whether anything was given that a request already holds.
func (c Command) givesMore() bool {
	for _, file := range c.files() {
		if file != "" {
			return true
		}
	}
	return len(c.Input) > 0 || len(c.Term) > 0 || len(c.Extras) > 0 || c.Seed != 0 || c.GradientsPerTerm || c.State != ""
}

// assemble makes a request of files and terms.
func (c Command) assemble() (*kantorv1.EvaluateRequest, *origins, error) {
	objective := &kantorv1.Objective{Extras: slices.Clone(c.Extras), GradientsPerTerm: c.GradientsPerTerm}
	for i, text := range c.Term {
		term, err := ParseTerm(text)
		if err != nil {
			return nil, nil, bad(termFlag(i, ""), "%v", err)
		}
		objective.Terms = append(objective.Terms, term)
	}
	inputs, origin, err := c.inputs(objective.Terms)
	if err != nil {
		return nil, nil, err
	}
	if c.GradientsPerTerm && c.Gradients == "" {
		return nil, nil, bad("--gradients-per-term", "is given alone, want --gradients with it")
	}
	for _, term := range objective.Terms {
		usePrior(term, inputs["prior"])
	}
	if c.Gradients != "" {
		objective.Gradients = tensorNames(inputs)
	}
	return &kantorv1.EvaluateRequest{Objective: objective, Inputs: inputs, Seed: c.Seed}, origin, nil
}

// usePrior lets a term that names no prior use the input "prior", where that is one that it takes.
func usePrior(term *kantorv1.Term, prior *kantorv1.Input) {
	name := func(have *string, takes bool) {
		if *have == "" && takes {
			*have = "prior"
		}
	}
	switch loss := term.GetLoss().(type) {
	case *kantorv1.Term_Kl:
		name(&loss.Kl.Prior, prior.GetGaussian() != nil)
	case *kantorv1.Term_Bures:
		name(&loss.Bures.Prior, prior.GetGaussian() != nil || prior.GetMeasure() != nil)
	case *kantorv1.Term_CategoricalKl:
		name(&loss.CategoricalKl.Prior, prior.GetCategorical() != nil)
	case *kantorv1.Term_BernoulliKl:
		name(&loss.BernoulliKl.Prior, prior.GetBernoulli() != nil)
	}
}

// bad returns an InputError for a flag.
func bad(flag, format string, args ...any) error { return losses.Badf(flag, format, args...) }

// translate says an error in terms of flags.
func (o *origins) translate(err error) error {
	var input *losses.InputError
	if o == nil || !errors.As(err, &input) {
		return err
	}
	return &losses.InputError{Field: o.flag(input.Field), Reason: input.Reason}
}
