package eval

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	kantorv1 "kantor/gen/kantor/v1"
)

var (
	kindOneof   = (&kantorv1.Input{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")
	familyOneof = (&kantorv1.Prior{}).ProtoReflect().Descriptor().Oneofs().ByName("family")
	tensorName  = (&kantorv1.Tensor{}).ProtoReflect().Descriptor().FullName()
)

// inputs reads the inputs of the command.
func (c Command) inputs() (map[string]*kantorv1.Input, *origins, error) {
	inputs := map[string]*kantorv1.Input{}
	origin := &origins{tensors: map[string]string{}, inputs: map[string]string{}}
	for i, file := range c.files() {
		if file == "" {
			continue
		}
		if err := addArray(inputs, origin, "--"+shorts[i].flag, shorts[i].tensor, file); err != nil {
			return nil, nil, err
		}
	}
	for _, entry := range c.Input {
		key, value, ok := strings.Cut(entry, "=")
		if !ok {
			return nil, nil, bad("--input", "is %q, want NAME.FIELD=FILE or NAME=standard_normal", entry)
		}
		add := addArray
		if !strings.Contains(key, ".") {
			add = addPrior
		}
		if err := add(inputs, origin, "--input "+key, key, value); err != nil {
			return nil, nil, err
		}
	}
	return inputs, origin, nil
}

// addArray reads a file into the tensor or the integers "input.field".
func addArray(inputs map[string]*kantorv1.Input, origin *origins, flag, array, file string) error {
	name, field, _ := strings.Cut(array, ".")
	kind, fd := arrayField(field)
	if fd == nil {
		return bad(flag, "%q is no array of an input, want one of %q", field, arrayFields())
	}
	if inputs[name] == nil {
		inputs[name] = &kantorv1.Input{}
	}
	input := inputs[name].ProtoReflect()
	if set := input.WhichOneof(kindOneof); set != nil && set != kind {
		return bad(flag, "is part of a %s, but %s makes the input a %s", kind.Name(), origin.inputs[name], set.Name())
	}
	message := input.Mutable(kind).Message()
	if message.Has(fd) {
		return bad(flag, "is given by %s too", origin.tensors[array])
	}
	if err := readInto(message, fd, file); err != nil {
		return bad(flag, "%v", err)
	}
	origin.add(name, array, flag)
	return nil
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

// addPrior makes an input that the server samples, of family:field=value,…
func addPrior(inputs map[string]*kantorv1.Input, origin *origins, flag, name, text string) error {
	if inputs[name] != nil {
		return bad(flag, "is given by %s too", origin.inputs[name])
	}
	family, settings, _ := strings.Cut(text, ":")
	prior := &kantorv1.Prior{}
	fd := familyOneof.Fields().ByName(protoreflect.Name(family))
	if fd == nil {
		return bad(flag, "is %q, want NAME.FIELD=FILE, or NAME= and one of %q", text, fieldNames(familyOneof.Fields()))
	}
	prior.ProtoReflect().Mutable(fd)
	if err := assignAll(settings, prior.ProtoReflect()); err != nil {
		return bad(flag, "%v", err)
	}
	inputs[name] = &kantorv1.Input{Kind: &kantorv1.Input_Prior{Prior: prior}}
	origin.add(name, name, flag)
	return nil
}

// arrayField finds the kind of input that has an array of this name, and the array; nil: there is none.
func arrayField(name string) (kind, field protoreflect.FieldDescriptor) {
	for i := range kindOneof.Fields().Len() {
		kind := kindOneof.Fields().Get(i)
		if fd := kind.Message().Fields().ByName(protoreflect.Name(name)); fd != nil && isArray(fd) {
			return kind, fd
		}
	}
	return nil, nil
}

// arrayFields lists the arrays that inputs can have.
func arrayFields() []string {
	var names []string
	for i := range kindOneof.Fields().Len() {
		fields := kindOneof.Fields().Get(i).Message().Fields()
		for j := range fields.Len() {
			if isArray(fields.Get(j)) {
				names = append(names, string(fields.Get(j).Name()))
			}
		}
	}
	return names
}

// isArray reports whether a field is read from a file: a tensor, or a list of integers.
func isArray(fd protoreflect.FieldDescriptor) bool {
	return isTensor(fd) || fd.IsList() && fd.Kind() == protoreflect.Int64Kind
}

func isTensor(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && fd.Message().FullName() == tensorName && !fd.IsList() && !fd.IsMap()
}

// tensors returns the tensors of inputs by "input.field".
func tensors(inputs map[string]*kantorv1.Input) map[string]*kantorv1.Tensor {
	out := map[string]*kantorv1.Tensor{}
	for name, input := range inputs {
		kind := input.ProtoReflect().WhichOneof(kindOneof)
		if kind == nil {
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
