"""A server of another version is told, once, and used."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Iterator

import pytest

from kantor import _codec, _version
from kantor.v1 import info_service_pb2, loss_service_pb2


@pytest.fixture(autouse=True)
def client_is_1_2_3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_version, "VERSION", "1.2.3")
    _version.tell_mismatch.cache_clear()
    yield
    _version.tell_mismatch.cache_clear()


@pytest.mark.parametrize(
    ("server", "differs"),
    [
        ("v1.2.3", False),
        ("v1.2.3+0123456789ab.dirty", False),
        ("1.2.3", False),
        ("dev", False),
        ("v0.0.0-20261123223301-eb841940b0c1", False),
        ("v1.2.4", True),
        ("v2.0.0+0123456789ab", True),
    ],
)
def test_only_releases_can_differ(server: str, differs: bool) -> None:
    assert bool(_version.mismatch(server)) == differs


def test_a_result_and_the_servers_information_tell_it_once_together() -> None:
    result, info = loss_service_pb2.EvaluateResponse(), info_service_pb2.GetServerInfoResponse()
    result.build.version = info.build.version = "v1.3.0"
    with pytest.warns(UserWarning, match=r"server is version 1\.3\.0 and this client is 1\.2\.3.*install the same"):
        assert _codec.evaluation(result).build.version == "v1.3.0"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _codec.server_info(info)
    info.build.version = "v1.4.0"
    with pytest.warns(UserWarning, match=r"version 1\.4\.0"):
        _codec.server_info(info)


def test_the_installed_package_has_that_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert importlib.metadata.version("kantor") == _version.VERSION
