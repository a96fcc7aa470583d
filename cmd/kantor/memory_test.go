package main

import (
	"os"
	"testing"
	"testing/fstest"
)

const meminfo = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\n"

func TestMemoryAllowed(t *testing.T) {
	const machine = 16000000 << 10
	for name, c := range map[string]struct {
		files   map[string]string
		want    int64
		limited bool
	}{
		"nothing is told":        {nil, 0, false},
		"a machine without them": {map[string]string{"proc/meminfo": meminfo}, machine, false},
		"version 2": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1048576000\n",
		}, 1048576000, true},
		"version 2 without a limit": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n",
		}, machine, false},
		"a group above has less": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "2000000000\n", "sys/fs/cgroup/a/memory.max": "1000000000\n",
		}, 1000000000, true},
		"a container sees its own group at the top": {map[string]string{
			"proc/self/cgroup": "0::/../../kubepods/pod1\n", "sys/fs/cgroup/memory.max": "3000000000\n",
		}, 3000000000, true},
		"more than the machine has": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "32768000000\n",
		}, machine, false},
		"version 1": {map[string]string{
			"proc/meminfo":     meminfo,
			"proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/docker/x\n0::/\n",
			"sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": "536870912\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 536870912, true},
		"version 1 without a limit": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, machine, false},
		"a controller that is called nearly so": {map[string]string{
			"proc/self/cgroup": "4:memory2:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000\n",
		}, 0, false},
		"nonsense": {map[string]string{
			"proc/meminfo": "MemTotal: many kB\n", "proc/self/cgroup": "0\n0::\n:::\n", "sys/fs/cgroup/memory.max": "-5\n",
		}, 0, false},
	} {
		root := fstest.MapFS{}
		for path, text := range c.files {
			root[path] = &fstest.MapFile{Data: []byte(text)}
		}
		got := memoryAllowed(root)
		if limited := got > 0 && got == groupMemory(root); got != c.want || limited != c.limited {
			t.Errorf("%s: got %d, limited %v, want %d, %v", name, got, limited, c.want, c.limited)
		}
	}
}

// Where this runs, something is told.
func TestMemoryAllowedHere(t *testing.T) {
	if _, err := os.Stat("/proc/meminfo"); err != nil {
		if got := memoryAllowed(os.DirFS("/")); got != 0 {
			t.Errorf("got %d bytes without /proc/meminfo", got)
		}
		return
	}
	if got := memoryAllowed(os.DirFS("/")); got < 16<<20 {
		t.Errorf("this machine allows %d bytes", got)
	}
}
