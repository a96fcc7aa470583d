//go:build !purego

package vec

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// A CPU that has the instructions runs their kernels: the tests of this package run for every implementation, and that none is missed is held against
// what the kernel of the operating system says of the CPU.
func TestImplementationsMatchTheCPU(t *testing.T) {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Skip("no /proc/cpuinfo to compare with")
	}
	var has []string
	for line := range strings.Lines(string(info)) {
		if name, flags, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "flags" {
			has = strings.Fields(flags)
			break
		}
	}
	var want []string
	for _, i := range []struct {
		name  string
		flags []string
	}{
		{"avx512", []string{"avx512f", "avx512dq", "avx512vl"}},
		{"avx2", []string{"avx2", "fma"}},
		{"generic", nil},
	} {
		if !slices.ContainsFunc(i.flags, func(f string) bool { return !slices.Contains(has, f) }) {
			want = append(want, i.name)
		}
	}
	var got []string
	for _, i := range implementations() {
		got = append(got, i.name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("implementations %v, the CPU's flags say %v", got, want)
	}
}

// Registers from 16 up exist with AVX-512 only; the assembler would take them in an AVX2 kernel without a word.
func TestAVX2KernelsUseSixteenRegisters(t *testing.T) {
	source, err := os.ReadFile("kernels_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	name, functions := "", 0
	for line := range strings.Lines(string(source)) {
		if strings.HasPrefix(line, "TEXT ") {
			name = line
			functions++
		}
		if !strings.Contains(name, "AVX2(") {
			continue
		}
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" ,\t\n", r) }) {
			high := len(word) == 3 && strings.ContainsAny(word[:1], "XY") && word[1:] >= "16" && word[1:] <= "31"
			if high || strings.HasPrefix(word, "Z") || word[0] == 'K' && len(word) == 2 {
				t.Errorf("%s in %s", word, name)
			}
		}
	}
	if functions == 0 {
		t.Error("no functions found")
	}
}
