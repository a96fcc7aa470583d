package eval

import (
	_ "embed" // the contract
	"fmt"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	kantorv1 "kantor/gen/kantor/v1"
)

// contractImage is a FileDescriptorSet of loss.proto, diagnostic_service.proto and input.proto with their comments, which generated code leaves out. `make generate` makes it.
//
//go:embed contract.binpb
var contractImage []byte

// contract is what contractImage holds, by the full names of messages.
var contract = sync.OnceValue(func() map[protoreflect.FullName]protoreflect.MessageDescriptor {
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(contractImage, set); err != nil {
		panic(fmt.Sprintf("eval: the embedded contract: %v", err))
	}
	messages, documented := map[protoreflect.FullName]protoreflect.MessageDescriptor{}, &commented{}
	for _, f := range set.GetFile() {
		file, err := protodesc.NewFile(f, documented)
		if err == nil {
			err = documented.RegisterFile(file)
		}
		if err != nil {
			panic(fmt.Sprintf("eval: the embedded contract: %v", err))
		}
		for i := range file.Messages().Len() {
			messages[file.Messages().Get(i).FullName()] = file.Messages().Get(i)
		}
	}
	return messages
})

// commented finds what a file imports among the files that came before it, which have comments, and else in what is linked into this program.
type commented struct{ protoregistry.Files }

// FindFileByPath implements [protodesc.Resolver].
func (c *commented) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if file, err := c.Files.FindFileByPath(path); err == nil {
		return file, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

// FindDescriptorByName implements [protodesc.Resolver].
func (c *commented) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if d, err := c.Files.FindDescriptorByName(name); err == nil {
		return d, nil
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}

// documented is a message's description with comments.
func documented(m proto.Message) protoreflect.MessageDescriptor {
	return contract()[m.ProtoReflect().Descriptor().FullName()]
}

// comment returns the paragraphs of the comment above a declaration, each on one line; nil: there is none.
func comment(d protoreflect.Descriptor) []string {
	var paragraphs []string
	for text := range strings.SplitSeq(d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments, "\n\n") {
		if words := strings.Fields(text); len(words) > 0 {
			paragraphs = append(paragraphs, strings.Join(words, " "))
		}
	}
	return paragraphs
}

// topic is something that a flag can name: a loss, a diagnostic, a kind of input, or a family of priors.
type topic struct {
	name    string
	summary string // of the field that offers it
	message protoreflect.MessageDescriptor
	shared  []protoreflect.FieldDescriptor // settings that all topics of its sort have
}

// topics lists the messages that a oneof offers, in the contract's order.
func topics(oneof protoreflect.OneofDescriptor, shared ...protoreflect.FieldDescriptor) []topic {
	var out []topic
	for i := range oneof.Fields().Len() {
		fd := oneof.Fields().Get(i)
		// By name, because a message of another file is the generated one, which has no comments.
		out = append(out, topic{string(fd.Name()), strings.Join(comment(fd), " "), contract()[fd.Message().FullName()], shared})
	}
	return out
}

// settingsOf are the fields of a message beside its oneofs of messages.
func settingsOf(m protoreflect.MessageDescriptor) []protoreflect.FieldDescriptor {
	var out []protoreflect.FieldDescriptor
	for i := range m.Fields().Len() {
		if fd := m.Fields().Get(i); isSetting(fd) {
			out = append(out, fd)
		}
	}
	return out
}

func lossTopics() []topic {
	term := documented(&kantorv1.Term{})
	return topics(term.Oneofs().ByName(lossOneof.Name()), settingsOf(term)...)
}

func diagnosticTopics() []topic {
	diagnostic := documented(&kantorv1.Diagnostic{})
	return topics(diagnostic.Oneofs().ByName(diagnosticOneof.Name()), settingsOf(diagnostic)...)
}

// inputTopics are the kinds of inputs that are made of arrays.
func inputTopics() []topic {
	var out []topic
	for _, t := range topics(documented(&kantorv1.Input{}).Oneofs().ByName(kindOneof.Name())) {
		if t.message.FullName() != priorName {
			out = append(out, t)
		}
	}
	return out
}

func priorTopics() []topic {
	prior := documented(&kantorv1.Prior{})
	return topics(prior.Oneofs().ByName(familyOneof.Name()), settingsOf(prior)...)
}
