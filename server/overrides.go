package server

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	kantorv1 "kantor/gen/kantor/v1"
)

// override returns the objective with some of its terms' numbers replaced, by "term.field". The objective itself stays as it is: it belongs to the stream,
// and other batches are being computed from it.
func override(objective *kantorv1.Objective, numbers map[string]float64) (*kantorv1.Objective, error) {
	if len(numbers) == 0 {
		return objective, nil
	}
	objective = proto.CloneOf(objective)
	for _, key := range slices.Sorted(maps.Keys(numbers)) {
		if reason := overrideOne(objective, key, numbers[key]); reason != "" {
			return nil, badf(fmt.Sprintf("overrides[%q]", key), "%s", reason)
		}
	}
	return objective, nil
}

// overrideOne sets one number, or says why it cannot.
func overrideOne(objective *kantorv1.Objective, key string, number float64) string {
	name, field, ok := strings.Cut(key, ".")
	if !ok {
		return "is no override, want term.field, such as kl.weight"
	}
	term := termNamed(objective, name)
	if term == nil {
		return fmt.Sprintf("there is no term %q, the terms are %q", name, termNames(objective))
	}
	if field == "weight" {
		return setNumber(term.ProtoReflect(), term.ProtoReflect().Descriptor().Fields().ByName("weight"), number)
	}
	loss := lossMessage(term)
	fd := loss.Descriptor().Fields().ByName(protoreflect.Name(field))
	if fd == nil || !isNumber(fd) {
		return fmt.Sprintf("is no number of the term, want one of %q", numbersOf(loss.Descriptor()))
	}
	return setNumber(loss, fd, number)
}

// setNumber sets a field, or says why it cannot.
func setNumber(m protoreflect.Message, fd protoreflect.FieldDescriptor, number float64) string {
	if math.IsNaN(number) || math.IsInf(number, 0) {
		return fmt.Sprintf("is %v, want a finite number", number)
	}
	if oneof := fd.ContainingOneof(); oneof != nil {
		if set := m.WhichOneof(oneof); set != nil && set != fd {
			return fmt.Sprintf("the objective sets %s, which excludes %s", set.Name(), fd.Name())
		}
	}
	switch fd.Kind() {
	case protoreflect.DoubleKind:
		m.Set(fd, protoreflect.ValueOfFloat64(number))
	case protoreflect.Int32Kind:
		if number != math.Trunc(number) || math.Abs(number) > math.MaxInt32 {
			return fmt.Sprintf("is %v, want an integer of 32 bits", number)
		}
		m.Set(fd, protoreflect.ValueOfInt32(int32(number)))
	}
	return ""
}

// isNumber reports whether a field is one that an override can set: the number formats that the terms have.
func isNumber(fd protoreflect.FieldDescriptor) bool {
	return !fd.IsList() && (fd.Kind() == protoreflect.DoubleKind || fd.Kind() == protoreflect.Int32Kind)
}

// numbersOf lists what can be overridden in a term with this loss.
func numbersOf(loss protoreflect.MessageDescriptor) []string {
	names := []string{"weight"}
	for i := range loss.Fields().Len() {
		if fd := loss.Fields().Get(i); isNumber(fd) {
			names = append(names, string(fd.Name()))
		}
	}
	return names
}

func termNamed(objective *kantorv1.Objective, name string) *kantorv1.Term {
	if i := slices.Index(termNames(objective), name); i >= 0 {
		return objective.GetTerms()[i]
	}
	return nil
}

// termNames are the names of the terms in the results.
func termNames(objective *kantorv1.Objective) []string {
	names := make([]string, len(objective.GetTerms()))
	for i, t := range objective.GetTerms() {
		names[i] = orDefault(t.GetName(), lossName(t))
	}
	return names
}
