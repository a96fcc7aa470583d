"""What encryption needs."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class TLS:
    """What a client trusts and shows on an encrypted connection; all of it files in PEM.

    Attributes:
        ca: certificates of the authorities that may have signed the server's. None: those that gRPC comes with.
        certificate: that the client shows, where the server wants one.
        key: of the certificate.
        name: that the server's certificate has, where that is not the address's.
    """

    ca: str | os.PathLike[str] | None = None
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    name: str | None = None
