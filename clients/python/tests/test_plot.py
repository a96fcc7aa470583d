"""kantor.plot by what stands in the artists, not by pixels."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

import kantor
import kantor.plot
import kantor.torch
from conftest import Floats
from kantor import _canvas

TWO, THREE = np.zeros((2, 2)), np.zeros((3, 2))


@pytest.fixture
def ax() -> Axes:
    """Axes that pyplot knows nothing of."""
    made: Axes = Figure(figsize=(3, 3)).subplots()
    return made


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    yield
    pyplot.close("all")


def segments(ax: Axes) -> Floats:
    (lines,) = (artist for artist in ax.collections if isinstance(artist, LineCollection))
    return np.array(lines.get_segments())


def offsets(ax: Axes) -> list[Floats]:
    return [np.asarray(artist.get_offsets()) for artist in ax.collections if isinstance(artist, PathCollection)]


def line(ax: Axes, label: str) -> tuple[Floats, Floats]:
    (found,) = (drawn for drawn in ax.get_lines() if str(drawn.get_label()).startswith(label))
    return np.asarray(found.get_xdata(), np.float64), np.asarray(found.get_ydata(), np.float64)


def band(ax: Axes, at: int = 0) -> Floats:
    """The corners of a filled area."""
    fills = [a for a in ax.collections if type(a).__name__ in ("PolyCollection", "FillBetweenPolyCollection")]
    return np.asarray(fills[at].get_paths()[0].vertices)


def test_a_plan_is_a_line_for_each_entry(client: kantor.Client, rng: np.random.Generator, ax: Axes) -> None:
    x, y = rng.standard_normal((12, 2)), rng.standard_normal((7, 2))
    result = client.evaluate(kantor.Transport(), source=x, target=y, extras="transport.plan")
    plan = result.terms["transport"].extras["plan"]
    assert isinstance(plan, kantor.Plan)
    assert kantor.plot.plan(x, y, result, least=0, ax=ax) is ax
    np.testing.assert_array_equal(segments(ax), np.stack([x[plan.source], y[plan.target]], axis=1))
    (lines,) = (artist for artist in ax.collections if isinstance(artist, LineCollection))
    opacity = np.asarray(lines.get_colors())[:, 3]
    np.testing.assert_allclose(opacity / opacity.max(), plan.mass / plan.mass.max())
    for drawn, points in zip(offsets(ax), (x, y), strict=True):
        np.testing.assert_array_equal(drawn, points)
    dense = plan.dense(12, 7)
    assert len(segments(kantor.plot.plan(x, y, dense, least=0.5))) == np.sum(dense >= 0.5 * dense.max())


def test_a_plan_in_many_dimensions_is_drawn_by_principal_components(
    client: kantor.Client, rng: np.random.Generator, ax: Axes
) -> None:
    x, y = rng.standard_normal((2, 30, 6)) * [1, 9, 1, 1, 4, 1] + 50
    result = client.evaluate(kantor.Transport(), source=x, target=y, extras="transport.plan")
    kantor.plot.plan(kantor.Measure(x), y, result.terms["transport"], ax=ax)
    both = np.concatenate([x, y])
    values, vectors = np.linalg.eigh(np.cov(both.T))
    share = 100 * values[-1] / values.sum()
    assert ax.get_xlabel() == f"principal component 1 of 6 ({share:.0f} %)"
    drawn = np.concatenate(offsets(ax))
    for component in (0, 1):
        expected = (both - both.mean(axis=0)) @ vectors[:, -1 - component]
        assert abs(np.corrcoef(drawn[:, component], expected)[0, 1]) == pytest.approx(1)
        np.testing.assert_allclose(np.abs(drawn[:, component]), np.abs(expected), atol=1e-9)
    assert len(segments(ax)) == 30


def test_a_plan_on_a_line_joins_two_rows(client: kantor.Client, rng: np.random.Generator, ax: Axes) -> None:
    x, y = rng.standard_normal((2, 9, 1))
    kantor.plot.plan(x, y, client.evaluate(kantor.Transport(), source=x, target=y, extras="transport.plan"), ax=ax)
    lines = segments(ax)
    np.testing.assert_array_equal(lines[:, :, 1], np.tile([1, 0], (9, 1)))
    order = np.argsort(lines[:, 0, 0])
    assert np.all(np.diff(lines[order, 1, 0]) > 0)  # on a line transport keeps the order


def test_a_plan_as_a_matrix(client: kantor.Client, rng: np.random.Generator, ax: Axes) -> None:
    x, y = rng.standard_normal((2, 10, 2))
    result = client.evaluate(kantor.Transport(), source=x, target=y, extras="transport.plan")
    kantor.plot.plan(x, y, result, matrix=True, ax=ax)
    (image,) = ax.get_images()
    plan = result.terms["transport"].extras["plan"]
    assert isinstance(plan, kantor.Plan)
    expected = plan.dense(10, 10)[np.ix_(np.argsort(x[:, 0]), np.argsort(y[:, 0]))]
    np.testing.assert_array_equal(np.asarray(image.get_array()), expected)


def test_potentials_colour_the_points(client: kantor.Client, rng: np.random.Generator, ax: Axes) -> None:
    x, y = rng.standard_normal((8, 2)), rng.standard_normal((5, 2))
    result = client.evaluate(kantor.Sinkhorn(), source=x, target=y, extras="sinkhorn.potentials")
    found = result.terms["sinkhorn"].extras["potentials"]
    assert isinstance(found, kantor.Potentials)
    assert found.source_self is not None
    assert found.target_self is not None
    kantor.plot.potentials(x, y, result, ax=ax)
    clouds = [artist for artist in ax.collections if isinstance(artist, PathCollection)]
    np.testing.assert_array_equal(np.asarray(clouds[0].get_array()), found.source - found.source_self)
    np.testing.assert_array_equal(np.asarray(clouds[1].get_array()), found.target - found.target_self)
    assert clouds[0].get_clim() == clouds[1].get_clim()
    bar = ax.figure.axes[-1]
    assert bar.get_ylabel() == "potential less self term\n(units of the cost)"
    bare = client.evaluate(kantor.Sinkhorn(debias="none"), source=x, target=y, extras="sinkhorn.potentials")
    drawn = kantor.plot.potentials(x, y, bare)
    assert drawn.figure.axes[-1].get_ylabel() == "potential (units of the cost)"


def test_convergence_is_that_of_solves_with_a_limit(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 40, 2))
    term = kantor.Sinkhorn(blur=0.2)
    axes = Figure().subplots(2, 1)
    above, below = kantor.plot.convergence(x, y, term, client, axes=tuple(axes))
    iterations, values = line(above, "value")
    assert len(iterations) > 5
    one = client.evaluate(kantor.Sinkhorn(blur=0.2, max_iterations=4, tolerance=1e-6), source=x, target=y)
    solve = one.terms["sinkhorn"].solve
    assert solve is not None
    at = list(iterations).index(4)
    assert values[at] == one.value
    assert line(below, "marginal error")[1][at] == solve.marginal_error
    corners = band(above)
    exact = client.evaluate(kantor.Sinkhorn(blur=0.2, tolerance=1e-10), source=x, target=y).value
    for k, value in zip(iterations, values, strict=True):
        heights = corners[corners[:, 0] == k, 1]
        assert heights.min() <= value <= heights.max()
        assert heights.min() <= exact <= heights.max()
    gap = line(below, "gap")[1]
    heights = corners[corners[:, 0] == iterations[at], 1]
    assert gap[at] == pytest.approx((heights.max() - heights.min()) / values[at])
    assert gap[-1] < 1e-3 < 0.1 < gap[0]
    assert line(below, "marginal error")[1][-1] <= 1e-6
    assert (below.get_yscale(), above.get_ylim()[0] < exact < above.get_ylim()[1]) == ("log", True)
    few = kantor.plot.convergence(x, y, term, client, most=3)[0]
    np.testing.assert_array_equal(line(few, "value")[0], [1, 2, 3])


def test_shrink_has_its_least_where_it_is_expected(client: kantor.Client, ax: Axes) -> None:
    scales = np.linspace(0.5, 1.3, 9)
    kantor.plot.shrink(8, 64, client, scales=scales, batches=6, ax=ax)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]  # type: ignore[union-attr]
    least = {text.split(":")[0]: float(text.split()[-1]) for text in texts}
    dots = [drawn for drawn in ax.get_lines() if drawn.get_linestyle() == ":"]
    dotted = {drawn.get_color(): float(np.asarray(drawn.get_xdata())[0]) for drawn in dots}
    # What the server warns of is right to a few hundredths, and so are the least values of a dozen batches.
    assert list(dotted) == [_canvas.BLUE, _canvas.VERMILION]
    assert dotted[_canvas.VERMILION] == 1
    assert 0.6 < dotted[_canvas.BLUE] < 0.8
    assert least["self"] == pytest.approx(dotted[_canvas.BLUE], abs=0.04)
    assert least["split"] == pytest.approx(1, abs=0.04)
    for name in ("self", "split"):
        s, height = line(ax, name)
        np.testing.assert_array_equal(s, scales)
        assert abs(s[np.argmin(height)] - least[name]) <= 0.05 + 1e-9  # half a step of the grid
        assert abs(height.min()) < 0.02


def test_shrink_of_exact_transport_is_what_theory_gives(client: kantor.Client) -> None:
    ax = kantor.plot.shrink(4, 32, client, blur=0, scales=[0.4, 0.6, 0.8, 1.0, 1.2], batches=30)
    dashed = [np.asarray(drawn.get_ydata(), np.float64) for drawn in ax.get_lines() if drawn.get_linestyle() == "--"]
    for name, theory in zip(("exact", "split"), dashed, strict=True):
        # Of 1920 points the mean square is D to 1.6 %, three standard errors of which are 5 % of what is about 1 here.
        np.testing.assert_allclose(line(ax, name)[1], theory, atol=0.05)


def test_a_slow_one_says_how_far_it_is(
    client: kantor.Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kantor.plot, "_SLOW", -1.0)
    kantor.plot.shrink(2, 16, client, scales=[0.5, 1.0, 1.5], batches=1)
    assert capsys.readouterr().err.splitlines()[-1] == "kantor.plot.shrink: 3 of 3 scales"


def test_a_training_from_its_log(client: kantor.Client, ax: Axes) -> None:
    """A real one, of which a step did not converge."""
    terms = kantor.Sinkhorn(max_iterations=20) + kantor.Mmd(name="energy")
    schedules = {"sinkhorn.blur": lambda step: 0.001 if step == 2 else 1.0}
    criterion = kantor.torch.Loss(terms, client=client, schedules=schedules)
    history = []
    for step in range(4):
        x, y = np.random.default_rng(step).standard_normal((2, 20, 2))
        criterion(source=torch.tensor(x, requires_grad=True), target=torch.tensor(y))
        history.append(criterion.log())
    criterion.close()
    kantor.plot.report(history, ax=ax)
    assert [row["sinkhorn.converged"] for row in history] == [1, 1, 0, 1]
    for name in ("sinkhorn", "energy"):
        steps, values = line(ax, name)
        np.testing.assert_array_equal(steps, range(4))
        np.testing.assert_array_equal(values, [row[f"{name}.value"] for row in history])
    corners = band(ax)
    for step, row in enumerate(history):
        heights = corners[corners[:, 0] == step, 1]
        assert (heights.min(), heights.max()) == (row["sinkhorn.lower"], row["sinkhorn.upper"])
    (crosses,) = (drawn for drawn in ax.get_lines() if drawn.get_marker() == "x")
    np.testing.assert_array_equal(crosses.get_xdata(), [2])
    only = kantor.plot.report(history, ["energy"], steps=[10, 20, 30, 40])
    assert [drawn.get_label() for drawn in only.get_lines()] == ["energy"]
    np.testing.assert_array_equal(line(only, "energy")[0], [10, 20, 30, 40])


def test_a_figure_fits_a_column_and_can_be_read(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 10, 3))
    result = client.evaluate(kantor.Transport(), source=x, target=y, extras=["transport.plan", "transport.potentials"])
    drawn = [
        kantor.plot.plan(x, y, result),
        kantor.plot.plan(x, y, result, matrix=True),
        kantor.plot.potentials(x, y, result),
        *kantor.plot.convergence(x, y, None, client, most=4),
        kantor.plot.shrink(2, 16, client, scales=[0.5, 1.0, 1.5], batches=1),
        kantor.plot.report([{"a.value": 1.0}]),
    ]
    for ax in drawn:
        assert isinstance(ax.figure, Figure)
        assert ax.figure.get_size_inches()[0] * 2.54 == pytest.approx(8)
        ax.figure.draw_without_rendering()
        texts = [ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels()]
        assert all(float(text.get_fontsize()) >= 7 for text in texts if text.get_text())
        assert ax.get_ylabel()
        right = ax.figure.get_tightbbox().x1  # in inches: nothing stands out of the figure
        assert right <= 8 / 2.54 + 0.05


def test_axes_that_are_given_need_no_pyplot_and_importing_kantor_no_matplotlib() -> None:
    code = (
        "import sys, kantor; from kantor import Client, Sinkhorn; assert 'matplotlib' not in sys.modules; "
        "from matplotlib.figure import Figure; ax = Figure().subplots(); "
        "kantor.plot.report([{'a.value': 1.0}], ax=ax); kantor.plot.plan([[0.0, 0.0]], [[1.0, 1.0]], [[1.0]], ax=ax); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_without_matplotlib_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['matplotlib'] = None; import kantor; kantor.explain; kantor.plot"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert out.returncode == 1
    assert out.stderr.splitlines()[-1] == "ImportError: kantor.plot needs matplotlib: pip install kantor[plot]"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: p.plan(TWO, np.zeros((2, 3)), np.ones((2, 2))), "y: has dimension 3, want that of x: 2"),
        (lambda p: p.plan(TWO, THREE, np.ones((2, 2))), r"plan: has shape \[2, 2\], want \[2, 3\]"),
        (lambda p: p.plan(np.zeros(2), THREE, None), r"x: has shape \[2\], want \[N, D\]"),
        (lambda p: p.potentials(TWO, THREE, np.ones(3)), "potentials: is ndarray"),
        (
            lambda p: p.potentials(TWO, THREE, kantor.Potentials("none", np.ones(1), np.ones(3), None, None)),
            r"potentials: have the shapes \(1,\) and \(3,\), want \(2,\) and \(3,\)",
        ),
        (lambda p: p.report([{"a.value": 1.0}], ["b"]), "names: has b, want terms of the history: a"),
        (lambda p: p.report([{"a.value": 1.0}], steps=[1, 2]), "steps: are 2, want one for each of 1 rows"),
    ],
)
def test_what_it_refuses(call: Any, said: str) -> None:
    with pytest.raises(kantor.InvalidArgumentError, match=said):
        call(kantor.plot)


def test_a_result_without_the_extra_is_refused(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 6, 2))
    result = client.evaluate(kantor.Transport(), source=x, target=y)
    with pytest.raises(kantor.InvalidArgumentError, match="want a result of one term with the extra `plan`"):
        kantor.plot.plan(x, y, result)
    batch = client.evaluate(kantor.Transport(), source=x[None], target=y[None], extras="transport.plan")
    with pytest.raises(kantor.InvalidArgumentError, match="is of a batch"):
        kantor.plot.plan(x, y, batch)
    alone = client.evaluate(kantor.Transport(), source=x, target=y, extras="transport.plan")
    with pytest.raises(kantor.InvalidArgumentError, match="goes from 6 to 6 points, got 5 and 6"):
        kantor.plot.plan(x[:5], y, alone)
