"""kantor.jax under jax's transformations: what is asked of the server, and when; and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kantor
import kantor.jax
from conftest import BINARY
from test_jax import normal, same


class Counted:
    """A loss's streams, and what was asked of them: the gradients, and the shape of every batch's source."""

    def __init__(self, loss: kantor.jax.Loss, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[tuple[str, ...], tuple[int, ...]]] = []
        stream_of = loss._stream

        def stream(gradients: tuple[str, ...]) -> Any:
            counted = self

            class Stream:
                def evaluate(self, inputs: Any, **more: Any) -> kantor.Evaluation:
                    counted.calls.append((gradients, inputs["source"].points.shape))
                    return stream_of(gradients).evaluate(inputs, **more)

            return Stream()

        monkeypatch.setattr(loss, "_stream", stream)

    def take(self) -> list[tuple[tuple[str, ...], tuple[int, ...]]]:
        taken, self.calls = self.calls, []
        return taken


@pytest.fixture
def loss(client: kantor.Client) -> kantor.jax.Loss:
    return kantor.jax.Loss(kantor.Sinkhorn(blur=0.5) + kantor.Mmd(weight=0.3), client)


def test_only_what_jax_differentiates_in_is_asked_for(
    loss: kantor.jax.Loss, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(loss, monkeypatch)
    x, y = normal(rng, 5, 2), normal(rng, 4, 2)

    @jax.jit
    def value(x: Any, y: Any) -> Any:
        return loss(source=x, target=y)

    value(x, y).block_until_ready()
    assert counted.take() == [((), (5, 2))]
    gradient = jax.grad(value)(x, y).block_until_ready()
    assert counted.take() == [(("source.points",), (5, 2))]
    both = jax.grad(lambda x: value(x, x[:4] + 1))(x).block_until_ready()
    assert counted.take() == [(("source.points", "target.points"), (5, 2))]
    assert not same(gradient, both)
    again = jax.jit(jax.grad(jax.checkpoint(value)))(x, y).block_until_ready()
    assert same(again, gradient)


def test_another_seed_or_number_compiles_nothing(loss: kantor.jax.Loss, rng: np.random.Generator) -> None:
    x, y, traces = normal(rng, 5, 2), normal(rng, 4, 2), []

    @jax.jit
    def value(seed: Any, blur: Any, weight: Any) -> Any:
        traces.append(seed)
        return loss(source=x, target=y, seed=seed, overrides={"sinkhorn.blur": blur, "mmd.weight": weight})

    values = [float(value(i, 0.5 + i, 0.25 * i)) for i in range(3)]
    assert len(traces) == 1
    assert values == [
        float(loss(source=x, target=y, overrides={"sinkhorn.blur": 0.5 + i, "mmd.weight": 0.25 * i})) for i in range(3)
    ]
    assert len(set(values)) == 3


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
def test_vmap_is_one_batch_with_the_bits_of_a_loop(
    loss: kantor.jax.Loss, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, jit: bool
) -> None:
    x, a, y = normal(rng, 3, 6, 2), normal(rng, 6), normal(rng, 5, 2)

    def value(x: Any, a: Any, y: Any) -> Any:
        return loss.with_report(source=kantor.Measure(x, jax.nn.softmax(a)), target=y, overrides={"mmd.weight": 0.7})

    derived = jax.value_and_grad(value, argnums=(0, 1, 2), has_aux=True)
    mapped = jax.vmap(derived, (0, None, None))
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[derived(each, a, y) for each in x])
    counted = Counted(loss, monkeypatch)
    got = jax.block_until_ready((jax.jit(mapped) if jit else mapped)(x, a, y))
    assert counted.take() == [(("source.points", "source.weights", "target.points"), (3, 6, 2))]
    assert same(got[0], expected[0])
    assert same([got[1][0], got[1][2]], [expected[1][0], expected[1][2]])
    # Through softmax, where jax's own order of sums comes in.
    np.testing.assert_allclose(got[1][1], expected[1][1], atol=1e-6)


def test_the_gradient_of_a_mean_over_vmap_is_the_mean_of_gradients(
    loss: kantor.jax.Loss, rng: np.random.Generator
) -> None:
    x, y, weights = normal(rng, 3, 6, 2), normal(rng, 5, 2), jnp.array([1.0, -2.0, 0.5])

    def value(y: Any) -> Any:
        return (weights * jax.vmap(lambda each: loss(source=each, target=y))(x)).sum()

    want = sum(
        w * jax.grad(lambda y, each=each: loss(source=each, target=y))(y) for w, each in zip(weights, x, strict=True)
    )
    np.testing.assert_allclose(jax.jit(jax.grad(value))(y), want, atol=1e-6)


def test_nested_vmaps_are_one_batch_and_a_long_one_is_several(
    loss: kantor.jax.Loss, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = normal(rng, 3, 6, 2), normal(rng, 2, 5, 2)

    def pairs(x: Any, y: Any) -> Any:
        return jax.vmap(lambda x: jax.vmap(lambda y: loss(source=x, target=y))(y))(x)

    expected = jnp.stack([jnp.stack([loss(source=a, target=b) for b in y]) for a in x])
    counted = Counted(loss, monkeypatch)
    assert same(jax.jit(pairs)(x, y), expected)
    assert counted.take() == [((), (6, 6, 2))]
    monkeypatch.setattr("kantor.jax._solve._MOST_PROBLEMS", 4)
    assert same(pairs(x, y), expected)
    assert [shape for _, shape in counted.take()] == [(4, 6, 2), (2, 6, 2)]


@pytest.mark.parametrize("what", ["seed", "overrides", "a batch", "a prior"])
def test_what_no_batch_has_goes_one_by_one(
    client: kantor.Client, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    loss = kantor.jax.Loss(kantor.Sinkhorn(blur=0.5), client)
    x = normal(rng, 3, 6, 2)
    means = normal(rng, 3, 2, 2)

    def value(i: Any) -> Any:
        source = jnp.stack([x[i], x[i] + 1]) if what == "a batch" else x[0]
        target = kantor.GaussianMixture(means[i if what == "a prior" else 0])
        blur = jnp.array([0.5, 0.6, 0.7])[i if what == "overrides" else 0]
        seed = i if what == "seed" else 0
        return loss(source=source, target=target, seed=seed, overrides={"sinkhorn.blur": blur})

    expected = jnp.stack([value(i) for i in range(3)])
    assert len(set(expected.tolist())) == 3
    counted = Counted(loss, monkeypatch)
    assert same(jax.jit(jax.vmap(value))(jnp.arange(3)), expected)
    assert len(counted.take()) == 3


def test_a_training_in_one_scan_converges(client: kantor.Client, rng: np.random.Generator) -> None:
    """With a schedule as the scan's own numbers, and two micro-batches whose gradients are added up."""
    loss = kantor.jax.Loss(kantor.Sinkhorn("codes", "prior", blur=0.5, without_interval=True), client)
    x = normal(rng, 2, 24, 2)
    steps = 25
    blurs = jnp.asarray([kantor.schedules.Linear(2.0, 0.5, steps)(i) for i in range(steps)])

    def value(params: Any, batch: Any, i: Any, blur: Any) -> Any:
        codes = batch * params["scale"] + params["shift"]
        return loss(codes=codes, prior=kantor.StandardNormal(64), seed=i, overrides={"sinkhorn.blur": blur})

    @jax.jit
    def train(params: Any) -> Any:
        def step(params: Any, now: Any) -> Any:
            i, blur = now

            def micro(total: Any, batch: Any) -> Any:
                loss, gradient = jax.value_and_grad(value)(params, batch, i, blur)
                return jax.tree.map(jnp.add, total, gradient), loss

            total, losses = jax.lax.scan(micro, jax.tree.map(jnp.zeros_like, params), x)
            return jax.tree.map(lambda p, g: p - 0.25 * g, params, total), losses.mean()

        return jax.lax.scan(step, params, (jnp.arange(steps), blurs))

    begin = {"scale": jnp.array(3.0), "shift": jnp.array([2.0, -2.0])}
    end, losses = train(begin)
    assert losses[0] > 5 and losses[-1] < 0.2
    np.testing.assert_allclose(end["shift"] + end["scale"] * x.mean((0, 1)), 0, atol=0.3)


def test_second_derivatives_are_refused_and_constants_are_not(loss: kantor.jax.Loss, rng: np.random.Generator) -> None:
    x, y = normal(rng, 4, 2), normal(rng, 4, 2)
    gradient = jax.grad(lambda x: loss(source=x, target=y))

    def penalty(x: Any) -> Any:
        return (gradient(x) ** 2).sum()

    for function in (penalty, jax.jit(penalty)):
        with pytest.raises(RuntimeError, match=r"once, and this asks for a second derivative; jax\.lax\.stop_gradient"):
            jax.grad(function)(x)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jacfwd(gradient)(x)

    def value_beside_a_gradient(x: Any) -> Any:
        value, constant = jax.value_and_grad(lambda x: loss(source=x, target=y))(x)
        return value + (x * jax.lax.stop_gradient(constant)).sum()

    np.testing.assert_allclose(jax.jit(jax.grad(value_beside_a_gradient))(x), 2 * gradient(x), rtol=1e-6)


def test_a_report_is_not_differentiated(loss: kantor.jax.Loss, rng: np.random.Generator) -> None:
    x, y = normal(rng, 4, 2), normal(rng, 4, 2)

    def weighted(x: Any, constant: bool) -> Any:
        value, report = loss.with_report(source=x, target=y)
        factor = report["mmd"].values
        return value * (jax.lax.stop_gradient(factor) if constant else factor)

    with pytest.raises(RuntimeError, match=r"a report has no gradient: want jax\.lax\.stop_gradient\(report\)"):
        jax.grad(weighted)(x, False)
    factor = loss.with_report(source=x, target=y)[1]["mmd"].values
    want = factor * jax.grad(lambda x: loss(source=x, target=y))(x)
    np.testing.assert_allclose(jax.grad(weighted)(x, True), want, rtol=1e-6)


def test_what_is_wrong_is_said_when_a_function_is_traced(client: kantor.Client, loss: kantor.jax.Loss) -> None:
    x = jnp.zeros((2, 2))
    wrong: list[tuple[str, Any]] = [
        ("source.points: is int32, want one of float16", lambda: loss(source=x.astype(int), target=x)),
        ("source.points: is no array", lambda: loss(source="x", target=x)),
        ("source.sizes: is float32, want integers", lambda: loss(source=kantor.Measure(x, sizes=x), target=x)),
        ("seed: is float32 of shape", lambda: loss(source=x, target=x, seed=jnp.ones(()))),
        ("seed: is -1, want 0 to", lambda: loss(source=x, target=x, seed=-1)),
        ("is float32 of shape .2, 2., want a number", lambda: loss(source=x, target=x, overrides={"mmd.weight": x})),
        ("source: is given twice", lambda: loss({"source": x}, source=x, target=x)),
        ("mmd.weight.*has no gradient", lambda: jax.grad(lambda w: weighing(w))(1.0)),
        ("target.means: has no gradient", lambda: jax.grad(lambda m: sampling(m))(x)),
        ('terms.0..name: is "No"', lambda: kantor.jax.Loss(kantor.GaussianKl(name="No"), client)(posterior=x)),
        ("terms.0..state: is None, want the name", lambda: kantor.jax.Loss(kantor.ConeCritic(), client)),
    ]

    def weighing(weight: Any) -> Any:
        return loss(source=x, target=x, overrides={"mmd.weight": weight})

    def sampling(means: Any) -> Any:
        return loss(source=x, target=kantor.GaussianMixture(means))

    for message, call in wrong:
        with pytest.raises(kantor.InvalidArgumentError, match=message):
            jax.jit(call)()


def test_what_the_server_refuses_is_kantors_error_and_inside_jit_has_its_text(loss: kantor.jax.Loss) -> None:
    x, y = jnp.zeros((2, 2)), jnp.zeros((2, 3))
    reason = 'input "target" has dimension 3, want 2'
    with pytest.raises(kantor.InvalidArgumentError, match=reason):
        loss(source=x, target=y)
    with pytest.raises(kantor.InvalidArgumentError, match=reason):
        jax.grad(lambda x: loss(source=x, target=y))(x)
    value = jax.jit(lambda x, y: loss(source=x, target=y))
    for _ in range(2):  # the second time by another path through jax, which has other types for it
        with pytest.raises((jax.errors.JaxRuntimeError, ValueError), match=f"InvalidArgumentError: terms.0.*{reason}"):
            value(x, y).block_until_ready()
    with pytest.raises((jax.errors.JaxRuntimeError, ValueError), match=r"seed: is -1, want 0 to 2\^64-1"):
        jax.jit(lambda seed: loss(source=x, target=x, seed=seed))(-1).block_until_ready()


def test_threads_share_a_loss(client: kantor.Client, rng: np.random.Generator) -> None:
    loss = kantor.jax.Loss(kantor.Sinkhorn(blur=0.5), client)
    x, y = normal(rng, 6, 2), normal(rng, 6, 2)
    step = jax.jit(jax.value_and_grad(lambda x, y: loss(source=x, target=y)))
    got: list[Any] = []
    want, start = step(x, y), threading.Barrier(4)
    loss.close()  # each thread finds no stream

    def run() -> None:
        start.wait()
        got.extend(step(x, y) for _ in range(3))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 12 and all(same(each, want) for each in got)
    assert set(loss._streams) == {("source.points",)}


PRELUDE = f"""
import os
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})  # jax then has one thread for each device
import jax, jax.numpy as jnp, numpy as np
import kantor, kantor.jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

client = kantor.Client(binary={str(BINARY)!r}, timeout=60)
loss = kantor.jax.Loss(kantor.Sliced(directions=2), client)
x = jnp.asarray(np.random.default_rng(1).normal(size=(2048, 64)), jnp.float32)
"""

LARGE = """
@jax.jit
def train(x, target):
    def step(x, seed):
        gradient = jax.grad(lambda x: loss(source=x @ jnp.eye(64), target=target + seed, seed=seed))(x)
        return x - 100 * gradient, None
    return jax.lax.scan(step, x, jnp.arange(10))[0]

for _ in range(20):  # without a wait between them
    x = train(x, x + 1)
print(bool(jnp.isfinite(x).all()))
"""

DEVICES = """
mesh = Mesh(np.array(jax.devices()), ("rank",))
sharded = jax.device_put(x[:64], NamedSharding(mesh, PartitionSpec("rank")))
value = lambda x: loss(source=x, target=x + 1, seed=3)
print(float(jax.jit(value)(sharded)) == float(value(x[:64])))
specs = dict(mesh=mesh, in_specs=PartitionSpec("rank"), out_specs=PartitionSpec("rank"), check_vma=False)
each = jax.shard_map(lambda x: value(x)[None], **specs)
got = jax.jit(each)(sharded)
print([float(v) for v in got] == [float(value(x[:32])), float(value(x[32:64]))])
"""


def alone(code: str, devices: int) -> list[str]:
    """Runs a script in a process of its own and returns the words that it printed; a hang is a failure."""
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    command = [sys.executable, "-c", PRELUDE + code + "client.close()"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert out.returncode == 0, out.stderr
    return out.stdout.split()


def test_large_arrays_on_one_processor_do_not_hang() -> None:
    """A function called back may not wait for jax's threads: there is one, and that is in the function."""
    assert alone(LARGE, devices=1) == ["True"]


def test_a_sharded_array_is_one_problem_and_each_device_of_shard_map_has_its_own() -> None:
    assert alone(DEVICES, devices=2) == ["True", "True"]
