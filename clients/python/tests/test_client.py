"""Calls to a live server."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kantor
from conftest import BINARY, Floats


def gaussian(rng: np.random.Generator, rows: int = 5, dimension: int = 3, dtype: Any = np.float64) -> kantor.Gaussian:
    mean, log_variance = rng.standard_normal((2, rows, dimension)).astype(dtype)
    return kantor.Gaussian(mean, log_variance)


def kl(q: kantor.Gaussian) -> Floats:
    """KL to N(0, I) per dimension (Kingma and Welling 2014, appendix B), [D]."""
    mean, v = np.float64(q.mean), np.float64(q.log_variance)
    per_dimension: Floats = 0.5 * np.mean(mean**2 + np.expm1(v) - v, axis=0)
    return per_dimension


# Sums of 15 numbers of one sign: a few roundings.
CLOSE = 1e-14


def test_value_gradients_and_extras_of_a_closed_form(client: kantor.Client, rng: np.random.Generator) -> None:
    q = gaussian(rng)
    result = client.evaluate(
        3 * kantor.GaussianKl(),
        posterior=q,
        gradients=["posterior.log_variance", "posterior.mean"],
        extras=["kl.per_dimension"],
    )
    np.testing.assert_allclose(result.value, 3 * kl(q).sum(), rtol=CLOSE)
    np.testing.assert_allclose(result.terms["kl"].value, kl(q).sum(), rtol=CLOSE)
    per_dimension = result.terms["kl"].extras["per_dimension"]
    assert isinstance(per_dimension, np.ndarray)
    np.testing.assert_allclose(per_dimension, kl(q), rtol=CLOSE)
    assert set(result.gradients) == {"posterior.mean", "posterior.log_variance"}
    np.testing.assert_allclose(result.gradients["posterior.mean"], 3 * q.mean / 5, rtol=CLOSE)
    expected = 1.5 * np.expm1(q.log_variance) / 5
    np.testing.assert_allclose(result.gradients["posterior.log_variance"], expected, rtol=CLOSE)
    assert result.terms["kl"].interval is None
    assert result.converged
    assert result.timing.compute > 0
    assert result.build == client.info().build


def test_a_gradient_has_the_number_format_of_its_input(client: kantor.Client, rng: np.random.Generator) -> None:
    q = gaussian(rng, dtype=np.float32)
    single = client.evaluate(kantor.GaussianKl(), posterior=q, gradients="posterior.mean")
    assert single.gradients["posterior.mean"].dtype == np.float32
    mixed = kantor.Gaussian(q.mean, np.float64(q.log_variance))
    both = client.evaluate(kantor.GaussianKl(), posterior=mixed, gradients=["posterior.mean", "posterior.log_variance"])
    assert both.gradients["posterior.mean"].dtype == np.float32
    assert both.gradients["posterior.log_variance"].dtype == np.float64
    np.testing.assert_array_equal(both.gradients["posterior.mean"], single.gradients["posterior.mean"])


def test_inputs_as_a_mapping_or_as_keywords(client: kantor.Client, rng: np.random.Generator) -> None:
    q = gaussian(rng)
    by_keyword = client.evaluate(kantor.GaussianKl(), posterior=q)
    by_mapping = client.evaluate(kantor.GaussianKl(), {"posterior": q})
    # Names that are keywords of the method's own.
    reserved = client.evaluate(kantor.GaussianKl("seed", "timeout"), {"seed": q, "timeout": q}, seed=3)
    both = client.evaluate(kantor.GaussianKl("q", "seed"), {"seed": q}, q=q)
    assert by_keyword.value == by_mapping.value > 0
    assert reserved.value == both.value == 0


def test_sinkhorn_has_value_interval_and_potentials(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((40, 2)), rng.standard_normal((30, 2)) + 1
    result = client.evaluate(
        kantor.Sinkhorn(blur=0.5, tolerance=1e-6),
        source=x,
        target=kantor.Measure(y, np.full(30, 1 / 30)),
        gradients=["source.points", "target.weights"],
        extras="sinkhorn.potentials",
    )
    term = result.terms["sinkhorn"]
    assert term.interval is not None
    assert term.solve is not None
    assert term.value in term.interval
    assert term.converged
    assert term.solve.epsilon == 0.25
    assert term.solve.marginal_error <= 1e-6
    potentials = term.extras["potentials"]
    assert isinstance(potentials, kantor.Potentials)
    assert potentials.gauge == "equal_means"
    assert potentials.source.shape == (40,)
    assert potentials.target_self is not None
    assert potentials.target_self.shape == (30,)
    # Half squared cost, debiased: the gradients of all points sum to the difference of the means, exactly at the
    # optimum (translation); off it by the marginal error times the spread of the points, some 4.
    np.testing.assert_allclose(result.gradients["source.points"].sum(0), x.mean(0) - y.mean(0), atol=4e-6)
    assert result.gradients["target.weights"].shape == (30,)


def test_the_dual_is_below_the_distance_between_two_points(client: kantor.Client) -> None:
    result = client.evaluate(
        kantor.Kantorovich(), source=np.zeros((1, 3)), target=np.array([[3.0, 4.0, 0.0]]), gradients="source.points"
    )
    # One point to one point: W1 is their distance, 5, and every coupling is optimal.
    term = result.terms["kantorovich"]
    assert term.interval is not None
    assert 5 in term.interval
    np.testing.assert_allclose(term.value, 5, rtol=1e-12)
    np.testing.assert_allclose(result.gradients["source.points"], [[-0.6, -0.8, 0]], rtol=1e-12)


def test_several_terms_share_inputs_in_one_call(client: kantor.Client, rng: np.random.Generator) -> None:
    q, z = gaussian(rng), rng.standard_normal((5, 3))
    objective = kantor.Sinkhorn("z", "prior", blur=1) + 2 * kantor.GaussianKl("q")
    inputs = {"z": z, "prior": kantor.StandardNormal(size=9), "q": q}
    result = client.evaluate(objective, inputs, gradients=["z.points", "q.mean"], seed=5)
    assert list(result.terms) == ["sinkhorn", "kl"]
    expected = result.terms["sinkhorn"].value + 2 * result.terms["kl"].value
    np.testing.assert_allclose(result.value, expected, rtol=CLOSE)
    # The same seed gives the same samples, another gives others.
    assert client.evaluate(objective, inputs, seed=5).value == result.value
    assert client.evaluate(objective, inputs, seed=6).value != result.value


def test_that_a_solver_did_not_converge_is_a_result(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 30, 2))
    result = client.evaluate(kantor.Sinkhorn(blur=0.01, tolerance=1e-9, max_iterations=2), source=x, target=y + 1)
    assert not result.converged
    assert "NOT_CONVERGED" in [warning.code for warning in result.terms["sinkhorn"].warnings]


@pytest.mark.parametrize(
    ("terms", "inputs", "argument"),
    [
        (kantor.GaussianKl("q"), {"posterior": np.zeros((2, 2))}, "terms[0].posterior"),
        (kantor.GaussianKl(), {"posterior": np.zeros((2, 2))}, "terms[0].posterior"),
        (kantor.Sinkhorn(), {"source": np.full((2, 2), np.nan), "target": np.zeros((2, 2))}, "source.points"),
        (kantor.Sinkhorn(), {"source": np.zeros((2, 2)), "target": np.zeros((2, 3))}, None),
        (kantor.Sinkhorn(blur=-1), {"source": np.zeros((2, 2)), "target": np.zeros((2, 2))}, "terms[0].blur"),
        (kantor.Sinkhorn(), {"source": np.zeros((2, 2, 2, 2)), "target": np.zeros((2, 2))}, "source.points"),
        (
            kantor.Sinkhorn() + kantor.Sinkhorn(),
            {"source": np.zeros((2, 2)), "target": np.zeros((2, 2))},
            "terms[1].name",
        ),
        ([], {}, "terms"),
    ],
)
def test_bad_arguments_are_named(
    client: kantor.Client, terms: Any, inputs: dict[str, Any], argument: str | None
) -> None:
    with pytest.raises(kantor.InvalidArgumentError) as caught:
        client.evaluate(terms, inputs)
    assert caught.value.reason
    if argument is not None:
        assert caught.value.argument == argument


def test_bad_requests_are_named(client: kantor.Client, rng: np.random.Generator) -> None:
    with pytest.raises(kantor.InvalidArgumentError) as caught:
        client.evaluate(kantor.GaussianKl(), posterior=gaussian(rng), gradients=["posterior.points"])
    assert caught.value.argument == "gradients[0]"
    with pytest.raises(kantor.InvalidArgumentError) as caught:
        client.evaluate(kantor.GaussianKl(), posterior=gaussian(rng), extras=["kl.potentials"])
    assert caught.value.argument == "extras[0]"


def test_info_says_what_the_server_is(client: kantor.Client) -> None:
    info = client.info()
    assert set(info.losses) >= {"sinkhorn", "kantorovich", "kl"}
    assert info.limits.message_bytes == 128 << 20
    assert info.limits.window >= 1
    assert info.limits.problems >= 1
    assert info.build.kernel
    assert info.build.pair_memory_bytes == 256 << 20


def test_a_timeout_is_a_deadline_error(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 2000, 8))
    slow = kantor.Sinkhorn(blur=0.001, tolerance=1e-12, max_iterations=100_000)
    with pytest.raises(kantor.DeadlineError) as caught:
        client.evaluate(slow, source=x, target=y, timeout=0.1)
    assert isinstance(caught.value, TimeoutError)


def test_threads_share_a_client(client: kantor.Client, rng: np.random.Generator) -> None:
    q = gaussian(rng)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda _: client.evaluate(kantor.GaussianKl(), posterior=q).value, range(64)))
    assert set(values) == {values[0]}


def test_a_closed_client_says_so() -> None:
    with kantor.Client(binary=BINARY) as client:
        pass
    with pytest.raises(kantor.ClosedError):
        client.info()


def test_a_call_on_a_channel_that_was_closed_meanwhile_says_so(client: kantor.Client) -> None:
    with kantor.Client(client.address) as other:
        transport = other._transport()
    with pytest.raises(kantor.ClosedError):
        transport.info(None)


def test_a_pickled_client_talks_to_the_same_server(client: kantor.Client, rng: np.random.Generator) -> None:
    q = gaussian(rng)
    copy = pickle.loads(pickle.dumps(client))
    assert copy.address == client.address
    assert (
        copy.evaluate(kantor.GaussianKl(), posterior=q).value == client.evaluate(kantor.GaussianKl(), posterior=q).value
    )
    copy.close()  # and does not end it
    assert client.info()
    assert copy.server_log == ()


def value_in_a_worker(client: kantor.Client, q: kantor.Gaussian) -> float:
    return client.evaluate(kantor.GaussianKl(), posterior=q).value


def test_a_spawned_worker_evaluates(client: kantor.Client, rng: np.random.Generator) -> None:
    q = gaussian(rng)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        value = pool.apply(value_in_a_worker, (client, q))
    assert value == client.evaluate(kantor.GaussianKl(), posterior=q).value


def test_a_forked_child_evaluates(tmp_path: Path) -> None:
    """In a process of its own, because Python warns of a fork beside threads, which is what this is about."""
    code = f"""
        import os, numpy as np, kantor
        client = kantor.Client(binary={str(BINARY)!r}, timeout=20)
        q = kantor.Gaussian(np.ones((2, 2)), np.zeros((2, 2)))
        stream = client.stream(kantor.GaussianKl())
        values = [client.evaluate(kantor.GaussianKl(), posterior=q).value, stream.evaluate(posterior=q).value]
        for _ in range(10):
            pending = stream.submit(posterior=q)
            child = os.fork()
            if child == 0:
                values += [client.evaluate(kantor.GaussianKl(), posterior=q).value, stream.evaluate(posterior=q).value]
                client.close()  # closes the child's connection, and leaves the parent's server alone
                os._exit(0 if values == [1.0] * 4 else 1)
            status = os.waitpid(child, 0)[1]
            assert os.waitstatus_to_exitcode(status) == 0, status
            assert client.evaluate(kantor.GaussianKl(), posterior=q).value == 1
            assert stream.evaluate(posterior=q).value == pending.result().value == 1
        client.close()
        print("all equal")
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert out.stdout == "all equal\n", out.stderr
