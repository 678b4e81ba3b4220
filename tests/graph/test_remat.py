"""Costs, schedules and plans: what they promise is what a run takes."""

import itertools
import os
import tracemalloc

import numpy as np
import pytest

import pycograd as pg
from pycograd import (
    BudgetError,
    CostModel,
    Decision,
    apply_remat_plan,
    calibrate,
    capture,
    cost_report,
    eval_scheduled,
    optimize,
    plan_remat,
)
from pycograd.graph.remat import _Planner
from pycograd.graph.schedule import in_order, simulated

WIDTH, ROWS, LAYERS = 64, 512, 12
RNG = np.random.default_rng(0)
WEIGHTS = [RNG.standard_normal((WIDTH, WIDTH)) / 8 for _ in range(LAYERS)]
X = RNG.standard_normal((ROWS, WIDTH))


def net(weights, x):
    for w in weights:
        x = np.tanh(x @ w)
    return np.sum(x * x)


@pytest.fixture(scope="module")
def graph():
    return optimize(capture(pg.grad(net, argnums=0), WEIGHTS, X))


def measured(run):
    run()
    tracemalloc.start()
    try:
        out = run()
        return out, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# -- costs -----------------------------------------------------------------------------------------
def test_flops_and_bytes():
    report = cost_report(capture(lambda x, w: np.exp(x @ w).T, X, WEIGHTS[0]))
    product, exponential, view = report.rows
    assert product.flops == 2 * ROWS * WIDTH * WIDTH
    assert product.traffic == 8 * (2 * ROWS * WIDTH + WIDTH * WIDTH)
    assert exponential.flops == ROWS * WIDTH
    assert (view.flops, view.traffic) == (0, 0)
    assert report.peak == 8 * ROWS * WIDTH and "<- peak" in str(report)


def test_einsum_counts_every_label():
    x = np.ones((2, 3, 4))
    (row,) = cost_report(capture(lambda a, b: np.einsum("bij,bjk->bik", a, b), x, x.mT)).rows
    assert row.flops == 2 * 2 * 3 * 4 * 3


def test_the_time_of_a_model():
    graph = capture(np.exp, X)
    fast, slow = (cost_report(graph, CostModel(transcendental=r)).seconds for r in (1e12, 1e6))
    assert slow == pytest.approx(ROWS * WIDTH / 1e6, rel=0.01) and fast < slow / 10


def test_calibrate_measures_something_sane():
    model = calibrate(0.05)
    assert 1e-8 < model.call < 1e-3 and model.contraction > model.factorization / 100


# -- schedules -------------------------------------------------------------------------------------
def test_the_simulated_peak_is_the_measured_one(graph):
    plan = plan_remat(graph, 1 << 40)
    predicted = simulated(graph, in_order(graph)).peak
    assert plan.feasible and plan.peak == plan.unplanned_peak == predicted
    _, peak = measured(lambda: eval_scheduled(graph, WEIGHTS, X, plan=plan))
    assert predicted <= peak <= predicted * 1.02


@pytest.mark.parametrize("spill", [False, True])
@pytest.mark.parametrize("part", [0.7, 0.5])
def test_a_plan_keeps_its_budget_and_the_answer(graph, part, spill, tmp_path):
    expected = graph(WEIGHTS, X)
    budget = int(part * simulated(graph, in_order(graph)).peak)
    plan = plan_remat(graph, budget, spill=spill)
    assert plan.feasible, plan
    (out, reported), peak = measured(
        lambda: eval_scheduled(graph, WEIGHTS, X, plan=plan, store_dir=tmp_path)
    )
    for a, b in zip(out, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert reported == plan.peak <= budget
    assert peak <= budget * 1.03
    assert os.listdir(tmp_path) == []


def test_spilling(graph, tmp_path):
    slow = CostModel(contraction=1e6, transcendental=1e6)  # recomputing would take for ever
    budget = int(0.3 * simulated(graph, in_order(graph)).peak)
    plan = plan_remat(graph, budget, slow)
    assert Decision.SPILL in plan.decisions.values()
    out, _ = eval_scheduled(graph, WEIGHTS, X, plan=plan, store_dir=tmp_path)
    for a, b in zip(out, graph(WEIGHTS, X), strict=True):
        np.testing.assert_array_equal(a, b)
    assert os.listdir(tmp_path) == []


def test_what_is_spilled_is_removed_after_an_error(graph, tmp_path, monkeypatch):
    budget = int(0.3 * simulated(graph, in_order(graph)).peak)
    plan = plan_remat(graph, budget)
    assert Decision.SPILL in plan.decisions.values()
    monkeypatch.setattr(np, "load", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        eval_scheduled(graph, WEIGHTS, X, plan=plan, store_dir=tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_full_disk(graph, tmp_path, monkeypatch):
    plan = plan_remat(graph, int(0.3 * simulated(graph, in_order(graph)).peak))

    def full(file, array, **options):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(BudgetError, match=r"could not be spilled .* No space left"):
        eval_scheduled(graph, WEIGHTS, X, plan=plan, store_dir=tmp_path)
    assert os.listdir(tmp_path) == []


def test_an_infeasible_budget_names_the_smallest(graph):
    plan = plan_remat(graph, 1000)
    assert not plan.feasible
    with pytest.raises(BudgetError, match=rf"plan that came nearest takes {plan.peak} bytes"):
        eval_scheduled(graph, WEIGHTS, X, plan=plan)
    again = plan_remat(graph, plan.peak)
    assert again.feasible and again.peak <= plan.peak


def test_a_plan_is_for_its_graph(graph):
    other = capture(np.sin, X)
    with pytest.raises(BudgetError, match="another graph"):
        eval_scheduled(other, X, plan=plan_remat(graph, 1 << 30))


def test_the_plan_written_out_as_a_graph(graph):
    plan = plan_remat(graph, int(0.6 * simulated(graph, in_order(graph)).peak), spill=False)
    written = pg.graph.check(apply_remat_plan(graph, plan))
    assert len(written.equations) > len(graph.equations)
    assert simulated(written, in_order(written)).peak <= plan.budget
    for a, b in zip(written(WEIGHTS, X), graph(WEIGHTS, X), strict=True):
        np.testing.assert_array_equal(a, b)


def test_views_of_a_dropped_value_go_with_it():
    def f(x):
        y = np.exp(x)
        z = y.T
        for _ in range(6):
            x = np.sin(x)
        return np.sum(x) + np.sum(z * z) + np.sum(y[1:])

    x = np.ones((100, 100))
    graph = capture(pg.grad(f), x)
    plan = plan_remat(graph, int(0.75 * simulated(graph, in_order(graph)).peak), spill=False)
    out, _ = eval_scheduled(graph, x, plan=plan)
    np.testing.assert_array_equal(out[0], graph(x)[0])


def test_calls_whose_results_are_known_before():
    """The derivative of such a call has no results: there is nothing to plan, nor to count."""
    x = np.arange(3.0)
    for f in (
        lambda x: pg.checkpoint(lambda x: 2.0)(x) * x[1],
        lambda x: pg.cond(x[0] > 1.0, lambda x: 2.0, lambda x: 3.0, x) * x[2],
    ):
        graph = capture(pg.value_and_grad(f), x)
        plan = plan_remat(graph, 1_000)
        expected = pg.value_and_grad(f)(x)
        for value, (gradient,) in (graph(x), eval_scheduled(graph, x, plan=plan)[0]):
            assert value == expected[0]
            np.testing.assert_array_equal(gradient, expected[1][0])
        assert "matmul" not in str(cost_report(graph))


# -- against the best ------------------------------------------------------------------------------
def chain(n):
    def f(x):
        for _ in range(n):
            x = np.sin(x)
        return np.sum(x)

    return capture(pg.grad(f), np.ones(10_000))


@pytest.mark.parametrize("part", [0.8, 0.6])
def test_the_search_is_near_the_best(part):
    graph = chain(4)
    peak = simulated(graph, in_order(graph)).peak
    planner = _Planner(graph, int(part * peak), CostModel(), spill=False)
    worth = list(planner.gaps)
    first = simulated(graph, in_order(graph))
    found = planner._without_needless(planner._greedily(worth, Decision.RECOMPUTE, {}, first))
    best = min(
        planner.added(steps)
        for r in range(len(worth) + 1)
        for subset in itertools.combinations(worth, r)
        for steps, simulation in [planner.tried(dict.fromkeys(subset, Decision.RECOMPUTE))]
        if simulation.peak <= planner.budget
    )
    assert planner.added(planner.steps(found)) <= 1.5 * best
    exact = planner._exactly(worth)
    assert planner.added(planner.steps(exact)) == pytest.approx(best)
