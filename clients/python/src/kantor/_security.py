"""How a client shows a server who it is, and makes sure that nobody else listens."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Union

import grpc

from kantor._errors import InvalidArgumentError
from kantor._tls import TLS

Token = Union[str, "os.PathLike[str]", Callable[[], str]]

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750


class Access:
    """The token and the encryption of one client's connections.

    Pickled, it has the names of files and not what is in them; a token that was given as text goes along.

    Args:
        address: of the server.
        token: None: $KANTOR_TOKEN or, in a file, $KANTOR_TOKEN_FILE.
        tls: None: that of $KANTOR_TLS_CA.
        environment: where those variables are.

    Raises:
        InvalidArgumentError: a file cannot be read, or the token would be sent for all to read.
    """

    def __init__(
        self,
        address: str,
        token: Token | None = None,
        tls: bool | str | os.PathLike[str] | TLS | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.given = (token, tls)
        if token is None:
            path = environment.get("KANTOR_TOKEN_FILE")
            token = environment.get("KANTOR_TOKEN") or (Path(path) if path else None)
        self._token = token
        self._tls = _tls(environment.get("KANTOR_TLS_CA") or False if tls is None else tls)
        if token is not None and self._tls is None and not is_loopback(address):
            raise InvalidArgumentError(
                "token",
                f"would be sent to {address} in plain text, for all to read: give tls, or an address of this machine",
            )
        if self._tls is not None:
            _credentials(self._tls)
        self.metadata()

    def channel(self, address: str, options: Sequence[tuple[str, Any]]) -> grpc.Channel:
        """Returns a channel, encrypted where it is to be."""
        if self._tls is None:
            return grpc.insecure_channel(address, options=options)
        if self._tls.name is not None:
            options = [*options, ("grpc.ssl_target_name_override", self._tls.name)]
        return grpc.secure_channel(address, _credentials(self._tls), options=options)

    def metadata(self) -> tuple[tuple[str, str], ...] | None:
        """Returns what goes along with a call. A file or a function is asked each time, so that tokens can change."""
        if self._token is None:
            return None
        return (("authorization", f"Bearer {_text(self._token)}"),)


def _text(token: Token) -> str:
    """Returns the token; no error shows it."""
    if isinstance(token, str):
        text = token
    elif callable(token):
        text = token()
    else:
        text = _read("token", token).decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(text):
        raise InvalidArgumentError("token", "is empty or has a character that a bearer token cannot have")
    return text


def _tls(given: bool | str | os.PathLike[str] | TLS) -> TLS | None:
    if isinstance(given, TLS):
        return given
    if isinstance(given, bool):
        return TLS() if given else None
    return TLS(ca=given)


def _credentials(tls: TLS) -> grpc.ChannelCredentials:
    if (tls.certificate is None) != (tls.key is None):
        raise InvalidArgumentError("tls", "has a certificate or a key, want both or none")
    ca, key, certificate = (None if path is None else _read("tls", path) for path in (tls.ca, tls.key, tls.certificate))
    return grpc.ssl_channel_credentials(ca, key, certificate)


def _read(argument: str, path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidArgumentError(argument, f"{os.fspath(path)}: {error.strerror}") from None


def is_loopback(address: str) -> bool:
    """Whether what is sent to an address stays on this machine, whatever a name server says."""
    if address.startswith("unix"):
        return address.startswith(("unix:", "unix-abstract:"))
    host = re.sub("^(dns|ipv4|ipv6):/*", "", address.lower()).rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
