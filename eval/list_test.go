package eval

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"kantor/losses"
)

// listed is what List writes.
func listed(t *testing.T, names ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := List(&out, names...); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// oneSpace makes text comparable however its lines are broken.
func oneSpace(text string) string { return strings.Join(strings.Fields(text), " ") }

// The embedded contract is the one that the code was generated from, comments apart: what is listed can be given.
func TestContractIsThatOfTheCode(t *testing.T) {
	for _, oneof := range []protoreflect.OneofDescriptor{lossOneof, diagnosticOneof, kindOneof, familyOneof} {
		for i := range oneof.Fields().Len() {
			m := oneof.Fields().Get(i).Message()
			got := contract()[m.FullName()]
			if got == nil || !proto.Equal(protodesc.ToDescriptorProto(got), protodesc.ToDescriptorProto(m)) {
				t.Errorf("%s is not what it is in the code; run make generate", m.FullName())
			}
		}
	}
}

// Whatever the contract offers is listed, in short and in full, with its comment and with what it takes.
func TestListHasEverything(t *testing.T) {
	short := listed(t)
	wanted := map[string]int{}
	for _, oneof := range []protoreflect.OneofDescriptor{lossOneof, diagnosticOneof, kindOneof, familyOneof} {
		for i := range oneof.Fields().Len() {
			wanted[string(oneof.Fields().Get(i).Message().FullName())]++
		}
	}
	delete(wanted, string(priorName)) // its families stand for it
	for _, s := range sections() {
		for _, topic := range s.topics {
			wanted[string(topic.message.FullName())]--
			checkTopic(t, topic, short, listed(t, topic.name))
		}
	}
	for name, count := range wanted {
		if count != 0 {
			t.Errorf("%s: %d more in the contract than in the list", name, count)
		}
	}
}

func checkTopic(t *testing.T, topic topic, short, long string) {
	t.Helper()
	if !strings.Contains(short, topic.name+": "+topic.summary) || topic.summary == "" || len(comment(topic.message)) == 0 {
		t.Errorf("%s: no summary in short, or no comment", topic.name)
	}
	plain := inFlags(topic)
	has := func(what string, texts []string) {
		t.Helper()
		if len(texts) == 0 {
			t.Errorf("%s: %s has no comment", topic.name, what)
		}
		for _, text := range texts {
			if !strings.Contains(oneSpace(long), plain(text)) {
				t.Errorf("%s: %s lacks %q", topic.name, what, text)
			}
		}
	}
	has("itself", comment(topic.message))
	_, own, _ := strings.Cut(short, topic.name+": "+topic.summary+"\n")
	own, _, _ = strings.Cut(regexp.MustCompile(`(?m)^ {0,2}\S|^$`).ReplaceAllString(own, "\x00"), "\x00") // up to the next topic
	for _, fd := range fieldsOf(topic) {
		has(string(fd.Name()), comment(fd))
		if !strings.Contains(own, string(fd.Name())+"="+strings.Join(valuesOf(fd), "|")) {
			t.Errorf("%s: %s is not in short", topic.name, fd.Name())
		}
		if oneof := realOneof(fd); oneof != nil {
			has(string(oneof.Name()), comment(oneof))
		}
		for i := 0; fd.Enum() != nil && i < fd.Enum().Values().Len(); i++ {
			if i == 0 && tellsDefault(fd) {
				continue
			}
			has(string(fd.Enum().Values().Get(i).Name()), comment(fd.Enum().Values().Get(i)))
		}
		if fd.Enum() == nil && !isArray(fd) && !isSetting(fd) {
			t.Errorf("%s: %s can be given by no flag", topic.name, fd.Name())
		}
	}
}

// Every word that is listed for a term can be given.
func TestListedValuesParse(t *testing.T) {
	for _, topic := range lossTopics() {
		for _, fd := range fieldsOf(topic) {
			for _, value := range valuesOf(fd) {
				switch value {
				case "NUMBER":
					value = "0.5"
				case "INTEGER":
					value = "3"
				}
				if _, err := ParseTerm(topic.name + ":" + string(fd.Name()) + "=" + value); err != nil {
					t.Errorf("%s: %v", topic.name, err)
				}
			}
		}
	}
}

// A terminal of 100 columns shows every line whole, and the words are those of the flags.
func TestListIsReadable(t *testing.T) {
	text := listed(t)
	for _, s := range sections() {
		for _, topic := range s.topics {
			text += listed(t, topic.name)
		}
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); utf8.RuneCountInString(line) > listColumns || strings.TrimRight(line, " ") != line {
			t.Errorf("%q is wider than %d, or ends in a space", line, listColumns)
		}
	}
	for _, not := range []string{"SinkhornDivergence", "ConeCriticState", "DEBIAS_SPLIT", "PROFILE_GEOMLOSS", "UNSPECIFIED"} {
		if strings.Contains(text, not) {
			t.Errorf("%s is no word of a flag", not)
		}
	}
}

func TestListOfOneNames(t *testing.T) {
	both := listed(t, "cone_critic")
	for _, want := range []string{"--term cone_critic:FIELD=VALUE,...\n\n", "--input NAME=cone_critic:FIELD=VALUE,...\n--input NAME.FIELD=FILE\n\n"} {
		if strings.Count(both, want) != 1 {
			t.Errorf("got %s, want %q once: the term and its state", both, want)
		}
	}
	if got := listed(t, "kl", "measure"); got != listed(t, "kl")+"\n"+listed(t, "measure") {
		t.Errorf("got %s, want the one and the other", got)
	}
	var out bytes.Buffer
	var bad *losses.InputError
	err := List(&out, "kl", "wasserstein")
	if !errors.As(err, &bad) || !strings.HasPrefix(err.Error(), `--list: has "wasserstein", want one of ["sinkhorn" `) || out.Len() > 0 {
		t.Errorf("got %v and %q, want an error alone", err, out.String())
	}
}
