package eval

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
)

// learnt is a state, a function of its step.
func learnt(step int64) *kantorv1.ConeCriticState {
	zeros := func(shape ...int64) *kantorv1.Tensor {
		n := int64(1)
		for _, extent := range shape {
			n *= extent
		}
		return f64(shape, slices.Repeat([]float64{float64(step) / 3}, int(n))...)
	}
	return &kantorv1.ConeCriticState{Tips: zeros(2, 1, 1), Heights: zeros(2, 1), TipMoments: zeros(2, 2, 1, 1), HeightMoments: zeros(2, 2, 1), Averages: zeros(2), Step: step}
}

// answer is a response whose terms have a state each.
func answer(steps map[string]int64) *kantorv1.EvaluateResponse {
	out := &kantorv1.EvaluateResponse{}
	for name, step := range steps {
		extra := &kantorv1.Extra{Kind: &kantorv1.Extra_ConeCritic{ConeCritic: learnt(step)}}
		out.Terms = append(out.Terms, &kantorv1.TermResult{Name: name, Extras: map[string]*kantorv1.Extra{"state": extra}})
	}
	return out
}

// with is the request of a command whose state is in a file, and where its parts came from.
func with(t *testing.T, file string, command Command) (*kantorv1.EvaluateRequest, *origins, *states, error) {
	t.Helper()
	request, origin, err := command.request(nil)
	if err != nil {
		t.Fatal(err)
	}
	command.State = file
	learning, err := command.addStates(request, origin)
	return request, origin, learning, err
}

// What one command has learnt the next one starts from, bit for bit, each term from its own.
func TestStatesGoFromCommandToCommand(t *testing.T) {
	f := newFiles(t)
	one, file := f.npy("one", f64([]int64{1, 1}, 0)), filepath.Join(f.dir, "state.json")
	command := Command{Source: one, Target: one, Term: []string{"cone_critic", "cone_critic:name=other", "cone_critic:name=own,state=mine"}}
	request, _, learning, err := with(t, file, command)
	if err != nil || len(request.GetInputs()) != 2 {
		t.Fatalf("the first command has %v, %v, want no state", request, err)
	}
	if want := []string{"cone_critic.state", "other.state"}; !slices.Equal(request.GetObjective().GetExtras(), want) {
		t.Errorf("asks for %v, want %v", request.GetObjective().GetExtras(), want)
	}
	if err := learning.write(answer(map[string]int64{"cone_critic": 1, "other": 5})); err != nil {
		t.Fatal(err)
	}
	request, origin, learning, err := with(t, file, command)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		state string
		step  int64
	}{{"cone_critic", 1}, {"other", 5}, {"mine", 0}} {
		if got := request.GetObjective().GetTerms()[i].GetConeCritic().GetState(); got != want.state {
			t.Errorf("term %d has the state %q, want %q", i, got, want.state)
		}
		if want.step > 0 && !proto.Equal(request.GetInputs()[want.state].GetConeCritic(), learnt(want.step)) {
			t.Errorf("term %d starts from %v, want step %d", i, request.GetInputs()[want.state], want.step)
		}
	}
	if got := origin.flag(`inputs["other"].tips`); got != "--state (other.tips)" {
		t.Errorf("an error is said to be in %s", got)
	}
	response := answer(map[string]int64{"cone_critic": 2, "other": 6})
	if err := learning.write(response); err != nil {
		t.Fatal(err)
	}
	if saved, err := readStates(file); err != nil || saved["other"].GetConeCritic().GetStep() != 6 || len(saved) != 2 {
		t.Errorf("saved %v, %v, want both new states", saved, err)
	}
	for _, term := range response.GetTerms() {
		if len(term.GetExtras()) != 0 {
			t.Errorf("%s prints a state that nobody asked for", term.GetName())
		}
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) != 0 {
		t.Errorf("%v was left beside the state", left)
	}
}

// A state that is asked for by name is printed too, and asked for once.
func TestStateThatIsShown(t *testing.T) {
	f := newFiles(t)
	one := f.npy("one", f64([]int64{1, 1}, 0))
	command := Command{Source: one, Target: one, Term: []string{"cone_critic"}, Extras: []string{"cone_critic.state"}}
	request, _, learning, err := with(t, filepath.Join(f.dir, "state.json"), command)
	if err != nil || !slices.Equal(request.GetObjective().GetExtras(), command.Extras) {
		t.Fatalf("asks for %v, %v, want %v", request.GetObjective().GetExtras(), err, command.Extras)
	}
	response := answer(map[string]int64{"cone_critic": 1})
	if err := learning.write(response); err != nil || response.GetTerms()[0].GetExtras()["state"] == nil {
		t.Errorf("the state is gone from %v (%v)", response, err)
	}
}

// A file that is no state of these terms is refused: to start anew in silence would lose what was learnt.
func TestStatesThatAreRefused(t *testing.T) {
	f := newFiles(t)
	one := f.npy("one", f64([]int64{1, 1}, 0))
	file := filepath.Join(f.dir, "state.json")
	command := func(term string, inputs ...string) Command {
		return Command{Source: one, Target: one, Term: []string{term}, Input: inputs}
	}
	_, _, learning, err := with(t, file, command("cone_critic:name=a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := learning.write(answer(map[string]int64{"a": 1})); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		file    string
		command Command
		want    string
	}{
		"another term": {file, command("cone_critic:name=b"), "--state: " + file + ` is what a term "a" has learnt`},
		"no critic":    {file, command("sinkhorn"), "--state: is for cone_critic terms"},
		"given too":    {file, command("cone_critic:name=a", "a.points="+one), `--input a.points: gives an input "a"`},
		"no state":     {f.raw("broken.json", []byte("{")), command("cone_critic"), "broken.json is no state"},
		"a folder":     {f.dir, command("cone_critic"), "--state: read " + f.dir},
	} {
		if _, _, _, err := with(t, test.file, test.command); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	if err := (&states{file: filepath.Join(f.dir, "nowhere", "s.json")}).write(&kantorv1.EvaluateResponse{}); !os.IsNotExist(err) {
		t.Errorf("got %v, want that there is no such folder", err)
	}
}

// A loop in a shell learns what a client learns that carries the state itself, bit for bit.
func TestALoopOfCommandsTrainsACritic(t *testing.T) {
	f := newFiles(t)
	file := filepath.Join(f.dir, "state.json")
	client, _ := serve(t)
	var state *kantorv1.Input
	for step := range 4 {
		x, y := f64([]int64{2, 1}, float64(step), 1), f64([]int64{2, 1}, 5, float64(6+step))
		text, err := run(t, Command{Source: f.npy("x", x), Target: f.npy("y", y), Term: []string{"cone_critic:cones=3,steps=2"}, State: file, Seed: uint64(step)})
		if err != nil {
			t.Fatal(err)
		}
		critic := &kantorv1.ConeCritic{Cones: 3, Steps: proto.Int32(2)}
		request := &kantorv1.EvaluateRequest{
			Objective: &kantorv1.Objective{Terms: []*kantorv1.Term{{Loss: &kantorv1.Term_ConeCritic{ConeCritic: critic}}}, Extras: []string{"cone_critic.state"}},
			Inputs: map[string]*kantorv1.Input{
				"source": {Kind: &kantorv1.Input_Measure{Measure: &kantorv1.Measure{Points: x}}},
				"target": {Kind: &kantorv1.Input_Measure{Measure: &kantorv1.Measure{Points: y}}},
			},
			Seed: uint64(step),
		}
		if state != nil {
			critic.State, request.Inputs["mine"] = "mine", state
		}
		response, err := client.Evaluate(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if got := printed(t, text)["value"]; got != response.GetValue() {
			t.Errorf("step %d: the command says %v, the server %v", step, got, response.GetValue())
		}
		learnt := response.GetTerms()[0].GetExtras()["state"].GetConeCritic()
		state = &kantorv1.Input{Kind: &kantorv1.Input_ConeCritic{ConeCritic: learnt}}
		saved, err := readStates(file)
		if err != nil || !proto.Equal(saved["cone_critic"].GetConeCritic(), learnt) || learnt.GetStep() != int64(2*(step+1)) {
			t.Errorf("step %d: saved %v (%v), want %v", step, saved, err, learnt)
		}
	}
}
