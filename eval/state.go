package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"

	kantorv1 "kantor/gen/kantor/v1"
)

// A state is what a cone critic has learnt. It is in a file between one command and the next: the inputs of an EvaluateRequest in protobuf's JSON form, each
// under the name of its term.

// states are the states that a command reads and writes.
type states struct {
	file  string
	terms []string // whose states they are
	shown []string // those whose extra state is printed too
}

// addStates gives every cone critic without a state what the file says that it has learnt, and asks for what it will have learnt.
func (c Command) addStates(request *kantorv1.EvaluateRequest, origin *origins) (*states, error) {
	if c.State == "" {
		return nil, nil
	}
	saved, err := readStates(c.State)
	if err != nil {
		return nil, bad("--state", "%v", err)
	}
	out := &states{file: c.State}
	for _, term := range request.GetObjective().GetTerms() {
		critic := term.GetConeCritic()
		if critic == nil || critic.GetState() != "" {
			continue
		}
		name := term.GetName()
		if name == "" {
			name = "cone_critic"
		}
		out.terms = append(out.terms, name)
		if extra := name + ".state"; slices.Contains(request.Objective.Extras, extra) {
			out.shown = append(out.shown, name)
		} else {
			request.Objective.Extras = append(request.Objective.Extras, extra)
		}
		if saved[name] == nil {
			continue // its first batch
		}
		if flag := origin.inputs[name]; flag != "" {
			return nil, bad(flag, "gives an input %q, the name of the state of the term %q, want another one", name, name)
		}
		request.Inputs[name], critic.State = saved[name], name
		origin.addState(name)
	}
	if len(out.terms) == 0 {
		return nil, bad("--state", "is for cone_critic terms without a state, of which there is none")
	}
	for name := range saved {
		if !slices.Contains(out.terms, name) {
			return nil, bad("--state", "%s is what a term %q has learnt, and there is no such cone_critic term", c.State, name)
		}
	}
	return out, nil
}

// readStates reads a file of states by the names of their terms; none if there is no file yet.
func readStates(file string) (map[string]*kantorv1.Input, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	saved := &kantorv1.EvaluateRequest{}
	if err := protojson.Unmarshal(text, saved); err != nil {
		return nil, fmt.Errorf("%s is no state (%w)", file, err)
	}
	return saved.GetInputs(), nil
}

// write writes what the terms have learnt and takes it out of the response, but where it was asked for by name.
func (s *states) write(response *kantorv1.EvaluateResponse) error {
	if s == nil {
		return nil
	}
	learnt := &kantorv1.EvaluateRequest{Inputs: map[string]*kantorv1.Input{}}
	for _, term := range response.GetTerms() {
		if !slices.Contains(s.terms, term.GetName()) {
			continue
		}
		state := term.GetExtras()["state"].GetConeCritic()
		learnt.Inputs[term.GetName()] = &kantorv1.Input{Kind: &kantorv1.Input_ConeCritic{ConeCritic: state}}
		if !slices.Contains(s.shown, term.GetName()) {
			delete(term.Extras, "state")
		}
	}
	text, err := protojson.Marshal(learnt)
	if err != nil {
		return err
	}
	// By another name first: a loop that is stopped here leaves the old state, not half of the new one.
	fresh := s.file + ".new"
	if err := os.WriteFile(fresh, append(text, '\n'), 0o666); err != nil {
		return err
	}
	return os.Rename(fresh, s.file)
}
