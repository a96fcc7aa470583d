package eval

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	kantorv1 "kantor/gen/kantor/v1"
)

// part is what one flag says of an input: the file of an array or, without a field, its kind and settings.
type part struct{ flag, input, field, value string }

// tensor is the part's name: "input.field", or the input's.
func (p part) tensor() string {
	if p.field == "" {
		return p.input
	}
	return p.input + "." + p.field
}

// parts lists what the flags say of inputs.
func (c Command) parts() ([]part, error) {
	var out []part
	for i, file := range c.files() {
		if file != "" {
			input, field, _ := strings.Cut(shorts[i].tensor, ".")
			out = append(out, part{"--" + shorts[i].flag, input, field, file})
		}
	}
	for _, entry := range c.Input {
		key, value, ok := strings.Cut(entry, "=")
		if !ok {
			return nil, bad("--input", "is %q, want NAME.FIELD=FILE or NAME=standard_normal", entry)
		}
		input, field, dotted := strings.Cut(key, ".")
		if dotted && field == "" {
			return nil, bad("--input", "is %q, want NAME.FIELD=FILE or NAME=standard_normal", entry)
		}
		out = append(out, part{"--input " + key, input, field, value})
	}
	return out, nil
}

// inputs reads the inputs of the command, which the terms use.
func (c Command) inputs(terms []*kantorv1.Term) (map[string]*kantorv1.Input, *origins, error) {
	parts, err := c.parts()
	if err != nil {
		return nil, nil, err
	}
	origin := &origins{tensors: map[string]string{}, inputs: map[string]string{}}
	found, err := findKinds(parts, namedBits(terms), origin)
	if err != nil {
		return nil, nil, err
	}
	inputs := map[string]*kantorv1.Input{}
	for _, p := range parts {
		if inputs[p.input] == nil {
			inputs[p.input] = &kantorv1.Input{}
		}
		if err := p.set(inputs[p.input], found[p.input]); err != nil {
			return nil, nil, bad(p.flag, "%v", err)
		}
	}
	return inputs, origin, nil
}

// namedBits are the inputs that terms take for bits, by name.
func namedBits(terms []*kantorv1.Term) map[string]bool {
	out := map[string]bool{}
	for _, term := range terms {
		if kl := term.GetBernoulliKl(); kl != nil {
			out[cmp.Or(kl.GetPosterior(), "posterior")] = true
			out[cmp.Or(kl.GetPrior(), "prior")] = true
		}
	}
	return out
}

// findKinds finds what each input is: the first kind that has all that was said of it. Log-variances alone are a Gaussian's, with means a mixture's; logits and
// probabilities those of classes, unless a term takes the input for bits or the flags say that it is a bernoulli.
func findKinds(parts []part, bits map[string]bool, origin *origins) (map[string]kind, error) {
	left := map[string][]kind{} // the kinds that an input can still be
	for _, p := range parts {
		fitting, err := p.kinds()
		if err != nil {
			return nil, err
		}
		if flag := origin.tensors[p.tensor()]; flag != "" {
			return nil, bad(p.flag, "is given by %s too", flag)
		}
		if before := left[p.input]; before != nil {
			both := slices.DeleteFunc(slices.Clone(before), func(k kind) bool {
				return !slices.ContainsFunc(fitting, func(f kind) bool { return f.name() == k.name() })
			})
			if len(both) == 0 {
				part := "part of "
				if p.field == "" {
					part = ""
				}
				return nil, bad(p.flag, "is %sa %s, but %s makes the input a %s", part, fitting[0].name(), origin.inputs[p.input], before[0].name())
			}
			fitting = both
		}
		left[p.input] = fitting
		origin.add(p.input, p.tensor(), p.flag)
	}
	found := map[string]kind{}
	for input, fitting := range left {
		found[input] = fitting[0]
		if i := slices.IndexFunc(fitting, func(k kind) bool { return k.name() == bitsName }); i >= 0 && bits[input] {
			found[input] = fitting[i]
		}
	}
	return found, nil
}

const bitsName = "bernoulli"

// kinds are those that have what the part says.
func (p part) kinds() ([]kind, error) {
	family, _, _ := strings.Cut(p.value, ":")
	var fitting []kind
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name())
		if p.field == "" && k.name() == family || p.field != "" && k.array(p.field) != nil {
			fitting = append(fitting, k)
		}
	}
	switch {
	case len(fitting) > 0:
		return fitting, nil
	case p.field == "":
		return nil, bad(p.flag, "is %q, want NAME.FIELD=FILE, or NAME= and one of %q", p.value, names)
	}
	return nil, bad(p.flag, "%q is no array of an input, want one of %q", p.field, arrayFields())
}

// set puts the part into the input.
func (p part) set(input *kantorv1.Input, k kind) error {
	messages := k.messages(input)
	if p.field == "" {
		_, settings, _ := strings.Cut(p.value, ":")
		slices.Reverse(messages)
		return assignAll(settings, messages...)
	}
	fd := k.array(p.field)
	if oneof := realOneof(fd); oneof != nil {
		if set := messages[len(messages)-1].WhichOneof(oneof); set != nil {
			return fmt.Errorf("%s and %s are both given, want one of them", set.Name(), fd.Name())
		}
	}
	return readInto(messages[len(messages)-1], fd, p.value)
}

// readInto reads a file into a field that is an array.
func readInto(message protoreflect.Message, fd protoreflect.FieldDescriptor, file string) error {
	if isTensor(fd) {
		value, err := readTensor(file)
		if err == nil {
			message.Set(fd, protoreflect.ValueOfMessage(value.ProtoReflect()))
		}
		return err
	}
	values, err := readIntegers(file)
	for _, v := range values {
		message.Mutable(fd).List().Append(protoreflect.ValueOfInt64(v))
	}
	return err
}

// tensors returns the tensors that have gradients, which are those of all inputs but priors and what critics have learnt, by "input.field".
func tensors(inputs map[string]*kantorv1.Input) map[string]*kantorv1.Tensor {
	out := map[string]*kantorv1.Tensor{}
	for name, input := range inputs {
		kind := input.ProtoReflect().WhichOneof(kindOneof)
		if kind == nil || input.GetPrior() != nil || input.GetConeCritic() != nil {
			continue
		}
		input.ProtoReflect().Get(kind).Message().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if isTensor(fd) {
				out[fmt.Sprintf("%s.%s", name, fd.Name())] = v.Message().Interface().(*kantorv1.Tensor)
			}
			return true
		})
	}
	return out
}

// tensorNames lists the tensors of inputs as "input.field", sorted.
func tensorNames(inputs map[string]*kantorv1.Input) []string {
	return slices.Sorted(maps.Keys(tensors(inputs)))
}
