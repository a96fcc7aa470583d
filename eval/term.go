package eval

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	kantorv1 "kantor/gen/kantor/v1"
)

var lossOneof = (&kantorv1.Term{}).ProtoReflect().Descriptor().Oneofs().ByName("loss")

// ParseTerm reads one term as --term has it, loss:field=value,… A field is one of the term or of the loss's message, found by reflection: a loss that the contract gains is known
// here at once.
func ParseTerm(text string) (*kantorv1.Term, error) {
	loss, settings, _ := strings.Cut(text, ":")
	fd := lossOneof.Fields().ByName(protoreflect.Name(loss))
	if fd == nil {
		return nil, fmt.Errorf("%q is no loss, want one of %q", loss, fieldNames(lossOneof.Fields()))
	}
	term := &kantorv1.Term{}
	return term, assignAll(settings, term.ProtoReflect(), term.ProtoReflect().Mutable(fd).Message())
}

// assignAll sets field=value,… in whichever of the messages has the field. Empty: nothing.
func assignAll(settings string, messages ...protoreflect.Message) error {
	if settings == "" {
		return nil
	}
	seen := map[string]bool{}
	for setting := range strings.SplitSeq(settings, ",") {
		name, value, ok := strings.Cut(setting, "=")
		if !ok {
			return fmt.Errorf("%q is no setting, want field=value", setting)
		}
		if seen[name] {
			return fmt.Errorf("%s is given twice", name)
		}
		seen[name] = true
		if err := assignTo(messages, name, value); err != nil {
			return err
		}
	}
	return nil
}

func assignTo(messages []protoreflect.Message, name, value string) error {
	var known []string
	for _, m := range messages {
		fields := m.Descriptor().Fields()
		if fd := fields.ByName(protoreflect.Name(name)); fd != nil && isSetting(fd) {
			return assign(m, fd, value)
		}
		for i := range fields.Len() {
			if isSetting(fields.Get(i)) {
				known = append(known, string(fields.Get(i).Name()))
			}
		}
	}
	return fmt.Errorf("%q is no field, want one of %q", name, known)
}

// isSetting reports whether a field can be written as one value.
func isSetting(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() == nil && !fd.IsList() && fd.Kind() != protoreflect.BytesKind
}

// assign sets one field of a message. Whether the value makes sense is for the loss to say.
func assign(m protoreflect.Message, fd protoreflect.FieldDescriptor, text string) error {
	if oneof := fd.ContainingOneof(); oneof != nil {
		if set := m.WhichOneof(oneof); set != nil {
			return fmt.Errorf("%s and %s are both given, want one of them", set.Name(), fd.Name())
		}
	}
	value, err := parseValue(fd, text)
	if err != nil {
		return err
	}
	m.Set(fd, value)
	return nil
}

func parseValue(fd protoreflect.FieldDescriptor, text string) (protoreflect.Value, error) {
	var value protoreflect.Value
	var err error
	want := "a number"
	switch fd.Kind() {
	case protoreflect.StringKind:
		value = protoreflect.ValueOfString(text)
	case protoreflect.EnumKind:
		return parseEnum(fd, text)
	case protoreflect.BoolKind:
		want = "true or false"
		var v bool
		v, err = strconv.ParseBool(text)
		value = protoreflect.ValueOfBool(v)
	case protoreflect.DoubleKind:
		var v float64
		v, err = strconv.ParseFloat(text, 64)
		value = protoreflect.ValueOfFloat64(v)
	case protoreflect.Int32Kind:
		want = "an integer of 32 bits"
		var v int64
		v, err = strconv.ParseInt(text, 10, 32)
		value = protoreflect.ValueOfInt32(int32(v))
	case protoreflect.Int64Kind:
		want = "an integer of 64 bits"
		var v int64
		v, err = strconv.ParseInt(text, 10, 64)
		value = protoreflect.ValueOfInt64(v)
	default:
		return value, fmt.Errorf("%s cannot be given on the command line, use --request", fd.Name())
	}
	if err != nil {
		return value, fmt.Errorf("%s is %q, want %s", fd.Name(), text, want)
	}
	return value, nil
}

// parseEnum reads an enum by its word.
func parseEnum(fd protoreflect.FieldDescriptor, text string) (protoreflect.Value, error) {
	known := enumWords(fd.Enum())
	for i, word := range known {
		if word == text {
			return protoreflect.ValueOfEnum(fd.Enum().Values().Get(i + 1).Number()), nil
		}
	}
	return protoreflect.Value{}, fmt.Errorf("%s is %q, want one of %q", fd.Name(), text, known)
}

// enumWords are the words of an enum's values after the first, which is "not given".
func enumWords(enum protoreflect.EnumDescriptor) []string {
	words := make([]string, enum.Values().Len()-1)
	for i := range words {
		words[i] = enumWord(enum, enum.Values().Get(i+1).Number())
	}
	return words
}

// enumWord is a value's name without that of the enum, in lower case: COST_EUCLIDEAN is euclidean.
func enumWord(enum protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	prefix := strings.TrimSuffix(string(enum.Values().Get(0).Name()), "UNSPECIFIED")
	return strings.ToLower(strings.TrimPrefix(string(enum.Values().ByNumber(n).Name()), prefix))
}

func fieldNames(fields protoreflect.FieldDescriptors) []string {
	names := make([]string, fields.Len())
	for i := range names {
		names[i] = string(fields.Get(i).Name())
	}
	return names
}
