package server

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// refuseUnknown reports a field that this version does not know, in m or anywhere below. A newer client's parameter that an older server dropped would be
// a wrong number without an error. The path is m's own; empty: the request.
func refuseUnknown(path string, m protoreflect.Message) error {
	if err := refuseUnknownHere(path, m); err != nil {
		return err
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.Message() == nil || !m.Has(fd) {
			continue
		}
		if err := refuseUnknownIn(join(path, fd), fd, m.Get(fd)); err != nil {
			return err
		}
	}
	return nil
}

// refuseUnknownHere looks at m itself, not below.
func refuseUnknownHere(path string, m protoreflect.Message) error {
	raw := m.GetUnknown()
	if len(raw) == 0 {
		return nil
	}
	if path == "" {
		path = "request"
	}
	number, _, _ := protowire.ConsumeTag(raw)
	return badf(path, "has field %d, which %s has not in this version of the server", number, m.Descriptor().FullName())
}

// refuseUnknownIn looks into the message, the list or the map that a field holds.
func refuseUnknownIn(path string, fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
	switch {
	case fd.IsList():
		for i := range v.List().Len() {
			if err := refuseUnknown(fmt.Sprintf("%s[%d]", path, i), v.List().Get(i).Message()); err != nil {
				return err
			}
		}
	case fd.IsMap():
		if fd.MapValue().Message() == nil {
			return nil
		}
		for _, key := range sortedKeys(v.Map()) {
			if err := refuseUnknown(fmt.Sprintf("%s[%q]", path, key.String()), v.Map().Get(key).Message()); err != nil {
				return err
			}
		}
	default:
		return refuseUnknown(path, v.Message())
	}
	return nil
}

// sortedKeys makes the first error the same one every time.
func sortedKeys(m protoreflect.Map) []protoreflect.MapKey {
	var keys []protoreflect.MapKey
	m.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, key)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int {
		switch {
		case a.String() < b.String():
			return -1
		case a.String() > b.String():
			return 1
		}
		return 0
	})
	return keys
}

// join appends a field to a path the way errors name it: the kinds measure and gaussian are left out, inputs["source"].points.
func join(path string, fd protoreflect.FieldDescriptor) string {
	if fd.FullName() == "kantor.v1.Input.measure" || fd.FullName() == "kantor.v1.Input.gaussian" {
		return path
	}
	if path == "" {
		return string(fd.Name())
	}
	return path + "." + string(fd.Name())
}
