package main

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// memoryAllowed is how many bytes of memory this process may have: the least of what its control groups allow and of what the machine has. The file system is
// the machine's, from the root; 0: it does not tell.
func memoryAllowed(root fs.FS) int64 {
	group, machine := groupMemory(root), machineMemory(root)
	if group > 0 && (machine == 0 || group < machine) {
		return group
	}
	return machine
}

// groupMemory is the least limit of the control groups that the process is in, of version 1 or 2; 0: there is none.
func groupMemory(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(0)
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		limit := int64(0)
		switch {
		case parts[1] == "":
			limit = leastUpwards(root, "sys/fs/cgroup", parts[2], "memory.max")
		case strings.Contains(","+parts[1]+",", ",memory,"):
			limit = leastUpwards(root, "sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes")
		}
		if limit > 0 && (least == 0 || limit < least) {
			least = limit
		}
	}
	return least
}

// leastUpwards is the least limit in a group and those above it. In a container the path may be the host's, which does not exist there; what is mounted at the
// top is then the container's own group.
func leastUpwards(root fs.FS, mount, group, file string) int64 {
	least := int64(0)
	for at := path.Clean("/" + group); ; at = path.Dir(at) {
		if limit := readLimit(root, path.Join(mount, at, file)); limit > 0 && (least == 0 || limit < least) {
			least = limit
		}
		if at == "/" {
			return least
		}
	}
}

// noLimit is where version 1 says that there is no limit: the largest number of whole pages.
const noLimit = math.MaxInt64 &^ (1<<20 - 1)

// readLimit reads a number of bytes; 0: the file does not exist or sets no limit.
func readLimit(root fs.FS, name string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max" is none
	if err != nil || limit >= noLimit {
		return 0
	}
	return limit
}

// machineMemory is how much memory the machine has; 0: it does not say so in Linux's way.
func machineMemory(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "MemTotal:" && fields[2] == "kB" {
			if kilobytes, err := strconv.ParseInt(fields[1], 10, 64); err == nil && kilobytes < math.MaxInt64>>10 {
				return kilobytes << 10
			}
		}
	}
	return 0
}
