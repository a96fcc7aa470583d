"""Whether client and server are of one version."""

from __future__ import annotations

import functools
import re
import warnings

VERSION = "0.1.0"  # the package's: pyproject.toml takes it from here, and a wheel's server gets it


def mismatch(server: str) -> str:
    """Says that a server's version is not the client's; empty: it is, or one of them is no release.

    What a checkout builds is `dev` or a time and a commit; what follows a `+` is the commit of a release.
    """
    release = re.fullmatch(r"v?(\d+\.\d+\.\d+)(\+.*)?", server)
    if release is None or release[1] == VERSION:
        return ""
    return (
        f"the kantor server is version {release[1]} and this client is {VERSION}: a loss or a field that one of them "
        "does not know is refused or missing; install the same version on both sides"
    )


@functools.cache
def tell_mismatch(server: str) -> None:
    """Warns, once for each version of a server, if it is not the client's."""
    if text := mismatch(server):
        warnings.warn(text, stacklevel=2)
