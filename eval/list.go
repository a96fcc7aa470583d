package eval

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// listColumns is how wide a line of a list is at most, unless one word is wider.
const listColumns = 100

// List writes what terms and inputs can be, in the words of the contract: without names every loss, diagnostic, kind of input and prior in short, else all of those
// that are named. A name that is none of them is a *[losses.InputError].
func List(w io.Writer, names ...string) error {
	var out bytes.Buffer
	if len(names) == 0 {
		overview(&out)
	}
	for i, name := range names {
		if i > 0 {
			fmt.Fprintln(&out)
		}
		if err := page(&out, name); err != nil {
			return err
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// section is a sort of topics.
type section struct {
	title, usage string
	topics       []topic
	flags        func(t topic) []string // that name a topic
}

func sections() []section {
	return []section{
		{"Losses", "--term LOSS:FIELD=VALUE,...", lossTopics(), func(t topic) []string { return []string{"--term " + t.name + ":FIELD=VALUE,..."} }},
		{"Diagnostics, in place of losses", "--diagnostic KIND:FIELD=VALUE,...", diagnosticTopics(),
			func(t topic) []string { return []string{"--diagnostic " + t.name + ":FIELD=VALUE,..."} }},
		{"Inputs that are sent", "--input NAME.FIELD=FILE", inputTopics(), inputFlags},
		{"Inputs that are sampled", "--input NAME=PRIOR:FIELD=VALUE,...", priorTopics(), inputFlags},
	}
}

// inputFlags are the flags for the fields of an input: the one for its files, if it has any, and the one for its settings.
func inputFlags(t topic) []string {
	var files, settings bool
	for _, fd := range fieldsOf(t) {
		files, settings = files || isArray(fd), settings || isSetting(fd)
	}
	var out []string
	if settings {
		out = append(out, "--input NAME="+t.name+":FIELD=VALUE,...")
	}
	if files {
		out = append(out, "--input NAME.FIELD=FILE")
	}
	return out
}

func overview(w io.Writer) {
	for _, s := range sections() {
		fmt.Fprintf(w, "%s: %s\n\n", s.title, s.usage)
		for _, t := range s.topics {
			paragraph(w, "  ", "      ", t.name+": "+t.summary)
			paragraph(w, "      ", "      ", strings.Join(synopsis(t), " "))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "--list NAME tells all about one of them.")
}

// synopsis is what a topic can be given, one word a field.
func synopsis(t topic) []string {
	var out []string
	for _, fd := range fieldsOf(t) {
		word := string(fd.Name()) + "=" + strings.Join(valuesOf(fd), "|")
		if oneof := realOneof(fd); oneof != nil && oneof.Fields().Get(0) != fd {
			word = "or " + word
		}
		out = append(out, word)
	}
	return out
}

// fieldsOf are a topic's own fields and those that it shares.
func fieldsOf(t topic) []protoreflect.FieldDescriptor {
	var out []protoreflect.FieldDescriptor
	for i := range t.message.Fields().Len() {
		out = append(out, t.message.Fields().Get(i))
	}
	return append(out, t.shared...)
}

// realOneof is the oneof that a field is one case of; nil: it is by itself.
func realOneof(fd protoreflect.FieldDescriptor) protoreflect.OneofDescriptor {
	if oneof := fd.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
		return oneof
	}
	return nil
}

// valuesOf are the words that a field takes, or one in capitals for what it takes.
func valuesOf(fd protoreflect.FieldDescriptor) []string {
	switch {
	case isArray(fd):
		return []string{"FILE"}
	case fd.Enum() != nil:
		return enumWords(fd.Enum())
	case fd.Kind() == protoreflect.BoolKind:
		return []string{"true", "false"}
	case fd.Kind() == protoreflect.DoubleKind:
		return []string{"NUMBER"}
	case fd.Kind() == protoreflect.StringKind:
		return []string{"NAME"}
	}
	return []string{"INTEGER"}
}

// page writes all about the topics of a name: of cone_critic there are two.
func page(w io.Writer, name string) error {
	var known []string
	found := false
	for _, s := range sections() {
		for _, t := range s.topics {
			if !slices.Contains(known, t.name) {
				known = append(known, t.name)
			}
			if t.name != name {
				continue
			}
			if found {
				fmt.Fprintln(w)
			}
			found = true
			for _, flag := range s.flags(t) {
				fmt.Fprintln(w, flag)
			}
			describe(w, t)
		}
	}
	if !found {
		return bad("--list", "has %q, want one of %q", name, known)
	}
	return nil
}

// describe writes what a topic is and its fields.
func describe(w io.Writer, t topic) {
	fmt.Fprintln(w)
	paragraph(w, "", "", t.name+": "+t.summary)
	plain := inFlags(t)
	for _, text := range comment(t.message) {
		fmt.Fprintln(w)
		paragraph(w, "", "", plain(text))
	}
	if len(fieldsOf(t)) > 0 {
		fmt.Fprintln(w)
		fields(w, t, plain)
	}
}

// fields writes a topic's fields: name, what it takes, and the comment.
func fields(w io.Writer, t topic, plain func(string) string) {
	name, value := 0, 0
	for _, fd := range fieldsOf(t) {
		name, value = max(name, len(fd.Name())), max(value, len(valueColumn(fd)))
	}
	name += 2 // the cases of a oneof stand a little to the right
	text := strings.Repeat(" ", 2+name+2+value+2)
	for _, fd := range fieldsOf(t) {
		if oneof := realOneof(fd); oneof != nil && oneof.Fields().Get(0) == fd {
			paragraph(w, "  One of: ", "    ", plain(strings.Join(comment(oneof), " ")))
		}
		indent := ""
		if realOneof(fd) != nil {
			indent = "  "
		}
		what := strings.Join(comment(fd), " ")
		if fd.Enum() != nil && !tellsDefault(fd) {
			what += " " + strings.Join(comment(fd.Enum().Values().Get(0)), " ")
		}
		paragraph(w, fmt.Sprintf("  %-*s  %-*s  ", name, indent+string(fd.Name()), value, valueColumn(fd)), text, plain(what))
		if fd.Enum() != nil {
			for i, word := range enumWords(fd.Enum()) {
				paragraph(w, text+word+": ", text+"  ", plain(strings.Join(comment(fd.Enum().Values().Get(i+1)), " ")))
			}
		}
	}
}

// tellsDefault reports whether an enum's comment for "not given" would say again what the field's own says.
func tellsDefault(fd protoreflect.FieldDescriptor) bool {
	return strings.Contains(strings.ToLower(strings.Join(comment(fd), " ")), "not given")
}

// valueColumn is valuesOf where words have lines of their own.
func valueColumn(fd protoreflect.FieldDescriptor) string {
	if fd.Enum() != nil {
		return "WORD"
	}
	return strings.Join(valuesOf(fd), "|")
}

// messageName is a name of two words and more, which is never one of plain English.
var messageName = regexp.MustCompile(`\b[A-Z][a-z0-9]+([A-Z][a-z0-9]+)+\b`)

// inFlags returns a function that says a comment's names as flags do: SinkhornDivergence is sinkhorn and, where a field of the topic takes it,
// COST_EUCLIDEAN is cost=euclidean.
func inFlags(t topic) func(string) string {
	var words []string
	for _, fd := range fieldsOf(t) {
		if fd.Enum() == nil {
			continue
		}
		for i, word := range enumWords(fd.Enum()) {
			words = append(words, string(fd.Enum().Values().Get(i+1).Name()), fmt.Sprintf("%s=%s", fd.Name(), word))
		}
	}
	constants, names := strings.NewReplacer(words...), map[string]string{}
	for _, s := range sections() {
		for _, t := range s.topics {
			names[string(t.message.Name())] = t.name
		}
	}
	return func(text string) string {
		return messageName.ReplaceAllStringFunc(constants.Replace(text), func(name string) string {
			if flag := names[name]; flag != "" {
				return flag
			}
			return name
		})
	}
}

// paragraph writes text in lines of listColumns, the first behind first, the others behind rest.
func paragraph(w io.Writer, first, rest, text string) {
	line, empty := first, true
	for _, word := range strings.Fields(text) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > listColumns {
			fmt.Fprintln(w, line)
			line, empty = rest, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}
