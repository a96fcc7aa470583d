package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"kantor/losses"
)

// version is set by -ldflags "-X main.version=v1.2.3".
var version = "dev"

// versionText is the version that the linker was told, else the one that `go install` recorded, else "dev".
func versionText() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return version
}

type versionCommand struct{}

// Run prints the version, and what the numbers depend on besides.
func (versionCommand) Run(std streams) error {
	_, err := fmt.Fprintf(std.stdout, "kantor %s %s %s/%s kernel=%s\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH, losses.Kernel())
	return err
}
