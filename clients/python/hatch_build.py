"""Puts the server's binary, and the licences of what is linked into it, into the wheel.

Hatchling runs this when it builds one, for `pip install` and `make wheels`.
An editable installation gets none: it uses bin/kantor of its checkout.
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# A wheel's platforms by what Go calls them. Without cgo Go links no libc: the binary makes its system calls itself, so
# that it needs neither the glibc 2.17 nor the musl 1.1 that the tags of Linux ask for at the least, only Linux 3.2,
# which is older than either. Go 1.26 links programs for macOS 12 and later.
_PLATFORMS = {
    ("linux", "amd64"): "manylinux_2_17_x86_64.musllinux_1_1_x86_64",
    ("linux", "arm64"): "manylinux_2_17_aarch64.musllinux_1_1_aarch64",
    ("darwin", "amd64"): "macosx_12_0_x86_64",
    ("darwin", "arm64"): "macosx_12_0_arm64",
}
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

# What asks to be passed on with a module, files or folders of them.
_LICENCE = re.compile("licen[cs]e|copying|copyright|notice|patents|third[_-]party", re.IGNORECASE)
# Of each package that is linked, its module and where that is; those of Go's own library have none.
_MODULE = (
    "{{if .Standard}}go\t{{.Root}}{{else}}{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}{{end}}"
)

_GO_WANTED = "Go 1.26 or newer on PATH (https://go.dev/dl)"


class ServerHook(BuildHookInterface):  # type: ignore[misc] # hatchling is there only while a wheel is built
    """Builds the Go binary, and says in words what keeps it from that."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the binary, its licences and the tag to a wheel; refuses a source distribution."""
        if self.target_name == "sdist":
            self.app.abort(
                "kantor has no source distribution: the server that goes into the wheel is built from the Go code of "
                "the whole repository. Build wheels in a checkout, with `make wheels` or `uv build --wheel`."
            )
        if version == "editable":
            return
        system, architecture = self._target()
        self._directory = tempfile.mkdtemp(prefix="kantor-wheel-")
        binary, licences = Path(self._directory, "kantor"), Path(self._directory, "licenses")
        root = Path(self.root).parents[1]
        # The oldest processors of each architecture, whatever the environment says: faster kernels are chosen at start.
        target = {"GOOS": system, "GOARCH": architecture, "CGO_ENABLED": "0", "GOAMD64": "v1", "GOARM64": "v8.0"}
        try:
            self._check(root)
            flags = ["-trimpath", "-buildvcs=false", f"-ldflags=-s -w -X main.version={self._version(root)}"]
            self._go(root, target, "build", *flags, "-o", str(binary), "./cmd/kantor")
            self._copy_licences(self._go(root, target, "list", "-deps", "-f", _MODULE, "./cmd/kantor"), licences)
        except BaseException:  # an abort is an exit
            self.finalize(version, build_data, "")
            raise
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_PLATFORMS[system, architecture]}"
        build_data["force_include"][str(binary)] = "kantor/_bin/kantor"
        information = f"{self.metadata.name}-{self.metadata.version}.dist-info"
        build_data["force_include"][str(licences)] = f"{information}/licenses/linked"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Names the linked licences in the wheel's metadata, and removes what the wheel has a copy of."""
        if version != "editable":
            shutil.rmtree(self._directory)
            if artifact_path:
                _name_licences(Path(artifact_path))

    def _target(self) -> tuple[str, str]:
        """Which platform: $GOOS and $GOARCH, as for Go itself, else the one of this Python."""
        system = os.environ.get("GOOS") or sys.platform
        machine = platform.machine().lower()
        architecture = os.environ.get("GOARCH") or _ARCHITECTURES.get(machine, machine)
        if (system, architecture) not in _PLATFORMS:
            wanted = ", ".join("/".join(target) for target in _PLATFORMS)
            self.app.abort(
                f"kantor has no wheel for {system}/{architecture}, want one of {wanted}. Elsewhere the client works "
                "with the address of a server, from an editable installation: pip install -e clients/python"
            )
        return system, architecture

    def _check(self, root: Path) -> None:
        """Refuses what has no Go that could build the server."""
        if not (root / "cmd" / "kantor" / "main.go").is_file():
            self.app.abort(
                f"a wheel of kantor is built in a checkout of the whole repository: {root} has no cmd/kantor"
            )
        if shutil.which("go") is None:
            self.app.abort(f"kantor's wheel contains its server, and to build that wants {_GO_WANTED}; there is no go")
        # Any Go since 1.21 fetches the toolchain that go.mod names, unless GOTOOLCHAIN forbids it; then this fails.
        module = subprocess.run(["go", "list", "-m"], cwd=root, capture_output=True, text=True, check=False)
        if module.returncode != 0:
            self.app.abort(
                f"kantor's wheel contains its server, and to build that wants {_GO_WANTED}, or one since 1.21 that may "
                f"fetch it (GOTOOLCHAIN=auto); this one says: {module.stderr.strip()}"
            )

    def _go(self, root: Path, target: dict[str, str], *arguments: str) -> str:
        """Runs go for a platform and returns what it prints."""
        environment = {**os.environ, **target}
        go = subprocess.run(["go", *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False)
        if go.returncode != 0:
            self.app.abort(f"go could not build kantor's server:\n{go.stderr.strip()}")
        return go.stdout

    def _copy_licences(self, modules: str, into: Path) -> None:
        """Copies what each linked module says of its licence, as it stands, into a folder of the module's name."""
        into.mkdir()
        for module, folder in sorted({tuple(line.split("\t")) for line in modules.splitlines() if line}):
            licences = [path for path in sorted(Path(folder).iterdir()) if _LICENCE.match(path.name)]
            # What a distribution puts away elsewhere, golang.org/x says as well.
            if not licences and module != "go":
                self.app.abort(f"{module}, which kantor's server contains, has no licence in {folder}")
            files = [file for path in licences for file in [path, *path.rglob("*")] if file.is_file()]
            for file in files:
                copy = into / module / file.relative_to(folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)  # alone: in the module cache nothing may be written, or removed

    def _version(self, root: Path) -> str:
        """The package's, which the client compares, and the commit where git tells it: v0.1.0+1a2b3c4d5e6f."""
        version = f"v{self.metadata.version}"
        if shutil.which("git") is None:
            return version
        describe = ["git", "describe", "--always", "--exclude=*", "--abbrev=12", "--dirty=.dirty"]
        git = subprocess.run(describe, cwd=root, capture_output=True, text=True, check=False)
        return f"{version}+{git.stdout.strip()}" if git.returncode == 0 else version


def _name_licences(wheel: Path) -> None:
    """Adds a License-File (PEP 639) to METADATA for each linked licence: hatchling knows the checkout's alone."""
    rewritten = wheel.with_suffix(".tmp")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(rewritten, "w") as new:
        (path,) = [name for name in old.namelist() if name.endswith(".dist-info/METADATA")]
        licences = path.replace("METADATA", "licenses/")
        names = sorted(name.removeprefix(licences) for name in old.namelist() if name.startswith(f"{licences}linked/"))
        own = b"License-File: LICENSE\n"
        metadata = old.read(path).replace(own, own + "".join(f"License-File: {name}\n" for name in names).encode(), 1)
        digest = base64.urlsafe_b64encode(hashlib.sha256(metadata).digest()).rstrip(b"=").decode()
        line = f"{path},sha256={digest},{len(metadata)}"
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == path:
                content = metadata
            elif entry.filename.endswith(".dist-info/RECORD"):
                content = re.sub(rf"^{re.escape(path)},.*$", line, content.decode(), flags=re.MULTILINE).encode()
            new.writestr(entry, content)
    rewritten.replace(wheel)
