package eval

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	kantorv1 "kantor/gen/kantor/v1"
)

var (
	kindOneof   = (&kantorv1.Input{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")
	familyOneof = (&kantorv1.Prior{}).ProtoReflect().Descriptor().Oneofs().ByName("family")
	priorName   = (&kantorv1.Prior{}).ProtoReflect().Descriptor().FullName()
	tensorName  = (&kantorv1.Tensor{}).ProtoReflect().Descriptor().FullName()
)

// kind is what an input can be: a measure, a Gaussian, ..., or one of the families of priors. It is the fields that lead from an Input to the message.
type kind []protoreflect.FieldDescriptor

// kinds are all of them, in the contract's order.
func kinds() []kind {
	var out []kind
	for i := range kindOneof.Fields().Len() {
		fd := kindOneof.Fields().Get(i)
		if fd.Message().FullName() != priorName {
			out = append(out, kind{fd})
			continue
		}
		for j := range familyOneof.Fields().Len() {
			out = append(out, kind{fd, familyOneof.Fields().Get(j)})
		}
	}
	return out
}

// name is that of the kind, or of the family.
func (k kind) name() string { return string(k[len(k)-1].Name()) }

// array returns the kind's array of this name; nil: it has none.
func (k kind) array(name string) protoreflect.FieldDescriptor {
	if fd := k[len(k)-1].Message().Fields().ByName(protoreflect.Name(name)); fd != nil && isArray(fd) {
		return fd
	}
	return nil
}

// messages makes the input one of this kind and returns what its settings are in, the innermost last: for a prior also what all priors share.
func (k kind) messages(input *kantorv1.Input) []protoreflect.Message {
	out := make([]protoreflect.Message, len(k))
	at := input.ProtoReflect()
	for i, fd := range k {
		at = at.Mutable(fd).Message()
		out[i] = at
	}
	return out
}

// isArray reports whether a field is read from a file: a tensor, or a list of integers.
func isArray(fd protoreflect.FieldDescriptor) bool {
	return isTensor(fd) || fd.IsList() && fd.Kind() == protoreflect.Int64Kind
}

func isTensor(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && fd.Message().FullName() == tensorName && !fd.IsList() && !fd.IsMap()
}

// arrayFields lists the names that arrays of inputs have.
func arrayFields() []string {
	var names []string
	seen := map[protoreflect.Name]bool{}
	for _, k := range kinds() {
		fields := k[len(k)-1].Message().Fields()
		for i := range fields.Len() {
			if fd := fields.Get(i); isArray(fd) && !seen[fd.Name()] {
				seen[fd.Name()] = true
				names = append(names, string(fd.Name()))
			}
		}
	}
	return names
}
