package load

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ticksPerSecond is the unit of /proc/PID/stat, which is the same on every Linux that Go runs on.
const ticksPerSecond = 100

// processorSeconds is the time that a process has had processors for, in user and kernel mode, from /proc. No process (0) has had none.
func processorSeconds(pid int) (float64, error) {
	if pid == 0 {
		return 0, nil
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, bad("pid", "%v", err)
	}
	// The second field is the name in parentheses, which may hold anything; utime and stime are the 14th and 15th.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0, bad("pid", "/proc/%d/stat has %d fields after the name, want 13", pid, len(fields))
	}
	user, errUser := strconv.ParseInt(fields[11], 10, 64)
	system, errSystem := strconv.ParseInt(fields[12], 10, 64)
	if errUser != nil || errSystem != nil {
		return 0, bad("pid", "/proc/%d/stat has the times %q and %q, want numbers", pid, fields[11], fields[12])
	}
	return float64(user+system) / ticksPerSecond, nil
}
