"""kantor.torch.Loss from step to step: schedules, seeds, critics and checkpoints."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import kantor
import kantor.torch
from kantor.schedules import Constant, Linear
from kantor.torch import _state
from training import Training

PRIOR = kantor.StandardNormal()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


def cloud(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64).requires_grad_()


def report_of(criterion: kantor.torch.Loss) -> kantor.Evaluation:
    assert criterion.report is not None
    return criterion.report


def test_a_schedule_sets_a_weight_and_a_blur_by_the_step(client: kantor.Client) -> None:
    z, x = cloud(6, 2), torch.zeros(5, 2, dtype=torch.float64)
    q = kantor.Gaussian(cloud(4, 2), cloud(4, 2))
    criterion = kantor.torch.Loss(
        kantor.Sinkhorn("z", "x", blur=9, name="near") + kantor.GaussianKl("q"),
        client,
        schedules={"kl.weight": Linear(0, 4, 4), "near.blur": lambda step: 2.0 - step / 4},
    )
    for step in range(6):
        blur, weight = 2 - step / 4, min(step, 4)
        fresh = kantor.torch.Loss(kantor.Sinkhorn("z", "x", blur=blur) + weight * kantor.GaussianKl("q"), client)
        assert criterion(z=z, x=x, q=q).item() == fresh(z=z, x=x, q=q).item()
    # What a call overrides is its own.
    fresh = kantor.torch.Loss(kantor.Sinkhorn("z", "x", blur=1) + 4 * kantor.GaussianKl("q"), client)
    assert criterion(z=z, x=x, q=q, overrides={"near.blur": 1}).item() == fresh(z=z, x=x, q=q).item()


def test_what_counts_as_a_step(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.GaussianKl(), client, schedules={"kl.weight": Linear(1, 11, 10)})
    q = kantor.Gaussian(cloud(4, 2), cloud(4, 2))
    one = criterion(posterior=q).item()
    assert criterion.step == 1
    with torch.no_grad():
        assert criterion(posterior=q).item() == pytest.approx(2 * one, rel=1e-15)
    assert criterion.eval()(posterior=q).item() == pytest.approx(2 * one, rel=1e-15)
    assert criterion.step == 1
    with pytest.raises(kantor.InvalidArgumentError):
        criterion.train()(posterior=kantor.Gaussian(q.mean, cloud(3, 2)))
    assert criterion.step == 1
    assert criterion(posterior=q).item() == pytest.approx(2 * one, rel=1e-15)
    assert criterion.step == 2
    criterion.step = 5
    assert criterion(posterior=q).item() == pytest.approx(6 * one, rel=1e-15)


def test_each_step_draws_a_seed_and_an_explicit_one_wins(client: kantor.Client) -> None:
    def values(base: int, count: int = 3) -> list[float]:
        criterion = kantor.torch.Loss(kantor.Sinkhorn("z", "prior", blur=1), client, seed=base)
        return [criterion(z=z, prior=PRIOR).item() for _ in range(count)]

    z = cloud(8, 2)
    one, again, other = values(0), values(0), values(1)
    assert one == again
    assert len({*one, *other}) == 6
    criterion = kantor.torch.Loss(kantor.Sinkhorn("z", "prior", blur=1), client)
    assert criterion(z=z, prior=PRIOR, seed=_state.seed_of(1, 2)).item() == other[2]
    assert criterion(z=z, prior=PRIOR).item() == one[1]  # the step had a seed of its own


def test_the_mixing_is_splitmix64() -> None:
    # The first three numbers of SplitMix64 from the state 1234567, as its reference implementation prints them.
    state, got = 1234567, []
    for _ in range(3):
        got.append(_state._mixed(state))
        state += 0x9E3779B97F4A7C15
    assert got == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize(
    ("schedules", "message"),
    [
        ({"kll.weight": Constant(1)}, 'schedules["kll.weight"]: is of no term, want term.field, such as kl.weight'),
        ({"weight": Constant(1)}, 'schedules["weight"]: is of no term, want term.field, such as kl.weight'),
        ({"kl.blur": Constant(1)}, 'schedules["kl.blur"]: is no field of GaussianKl'),
        ({"kl.weight": 2.0}, 'schedules["kl.weight"]: is 2.0, want a schedule, such as Constant(2.0)'),
    ],
)
def test_a_schedule_of_nothing_is_refused(schedules: Any, message: str) -> None:
    with pytest.raises(kantor.InvalidArgumentError) as refused:
        kantor.torch.Loss(kantor.GaussianKl(), schedules=schedules)
    assert str(refused.value) == message


def test_a_critic_is_carried_from_call_to_call(client: kantor.Client) -> None:
    """As test_critic.py carries it by hand, bit for bit."""
    data = [(torch.randn(64, 3).double() + 1, torch.randn(64, 3).double()) for _ in range(4)]
    criterion = kantor.torch.Loss(kantor.ConeCritic(name="w1"), client)
    state: Any = None
    for x, y in data:
        value = criterion(source=x, target=y).item()
        term = kantor.ConeCritic(state=None if state is None else "critic")
        by_hand = client.evaluate(
            term, source=x.numpy(), target=y.numpy(), extras="cone_critic.state", **({"critic": state} if state else {})
        )
        assert value == by_hand.value
        state = by_hand.terms["cone_critic"].extras["state"]
    # Validation uses the critic and leaves it alone.
    x, y = data[0]
    with torch.no_grad():
        first, second = (criterion(source=x, target=y).item() for _ in range(2))
    assert first == second
    assert "state" not in report_of(criterion).terms["w1"].extras
    assert criterion(source=x, target=y).item() == first
    assert report_of(criterion).terms["w1"].outcomes[0].estimand == "population_lower_bound"


def test_a_critic_of_the_callers_own_stays_the_callers(client: kantor.Client) -> None:
    x, y = torch.randn(2, 32, 3, dtype=torch.float64)
    keeper = kantor.torch.Loss(kantor.ConeCritic(), client, extras="cone_critic.state")
    keeper(source=x, target=y)
    state = report_of(keeper).terms["cone_critic"].extras["state"]
    criterion = kantor.torch.Loss(kantor.ConeCritic(state="critic"), client)
    assert criterion(source=x, target=y, critic=state).item() == criterion(source=x, target=y, critic=state).item()
    assert criterion.state_dict()["_extra_state"]["critics"] == {}
    with pytest.raises(
        kantor.InvalidArgumentError, match=r"^cone_critic_state: is what the loss sends for cone_critic"
    ):
        keeper(source=x, target=y, cone_critic_state=state)


def test_resumed_is_undisturbed_bit_for_bit(client: kantor.Client) -> None:
    undisturbed, killed, resumed = Training(client), Training(client), Training(client)
    undisturbed.run(range(30))
    killed.run(range(15))
    file = io.BytesIO()
    torch.save([part.state_dict() for part in killed.parts], file)
    del killed
    file.seek(0)
    states = torch.load(file, weights_only=True)
    for part, state in zip(resumed.parts, states, strict=True):
        part.load_state_dict(state)
    resumed.run(range(15, 30))
    assert resumed.losses == undisturbed.losses[15:]
    assert resumed.criterion.step == 30
    for got, want in zip(resumed.model.parameters(), undisturbed.model.parameters(), strict=True):
        assert torch.equal(got, want)
    critics = [training.criterion.state_dict()["_extra_state"]["critics"] for training in (resumed, undisturbed)]
    assert critics[0]["cone_critic"]["step"] == 30
    for name, value in critics[0]["cone_critic"].items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(critics[1]["cone_critic"][name]))
    # And each of what a checkpoint holds is needed: without it the sixteenth step is another.
    for forgotten, value in (("step", 0), ("seed", 0), ("critics", {})):
        other = Training(client)
        for part, state in zip(other.parts, states, strict=True):
            part.load_state_dict(state)
        other.criterion.set_extra_state({**other.criterion.get_extra_state(), forgotten: value})
        other.run(range(15, 16))
        assert other.losses[0] != undisturbed.losses[15]


def test_a_state_of_another_objective_is_refused(client: kantor.Client) -> None:
    x, y = torch.randn(2, 32, 3, dtype=torch.float64)
    criterion = kantor.torch.Loss(kantor.ConeCritic(), client)
    criterion(source=x, target=y)
    other = kantor.torch.Loss(kantor.ConeCritic(name="w1"), client)
    with pytest.raises(kantor.InvalidArgumentError, match=r"^state\.critics: has cone_critic, want .* objective: w1$"):
        other.load_state_dict(criterion.state_dict())


def test_a_copy_goes_on_by_itself(client: kantor.Client) -> None:
    z = cloud(8, 2)
    criterion = kantor.torch.Loss(kantor.Sinkhorn("z", "prior", blur=1), client, seed=2)
    criterion(z=z, prior=PRIOR)
    twin = copy.deepcopy(criterion)
    assert [twin(z=z, prior=PRIOR).item() for _ in range(2)] == [criterion(z=z, prior=PRIOR).item() for _ in range(2)]
    assert (twin.step, criterion.step) == (3, 3)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_recomputation_is_no_step(client: kantor.Client, reentrant: bool) -> None:
    """Activation checkpointing makes the call twice: the second repeats the first, schedule, seed and critic."""

    def train(recomputed: bool) -> tuple[list[float], torch.Tensor, int]:
        criterion = kantor.torch.Loss(
            kantor.Sinkhorn("z", "prior", blur=1) + kantor.ConeCritic("z", "prior"),
            client,
            schedules={"sinkhorn.weight": Linear(1, 2, 4)},
        )
        z = start.clone().requires_grad_()
        values = []
        for _ in range(4):

            def objective(z: torch.Tensor) -> torch.Tensor:
                value: torch.Tensor = criterion(z=2 * z, prior=PRIOR)
                return value

            loss: Any = checkpoint(objective, z, use_reentrant=reentrant) if recomputed else objective(z)
            loss.backward()
            values.append(loss.item())
        assert z.grad is not None
        return values, z.grad, criterion.step

    start = torch.randn(32, 2, dtype=torch.float64)
    plain, again = train(False), train(True)
    assert again[0] == plain[0]
    assert torch.equal(again[1], plain[1])
    assert again[2] == plain[2] == 4
