"""The benchmark suite's own arithmetic; nothing here depends on how fast the machine is."""

from __future__ import annotations

import numpy as np
import pytest

from ci.bench import case, peer, report, run
from ci.bench.report import Measured


def measured(ours: list[float], torch: list[float], target: float | None = 0.8, deviation: float = 0.0) -> Measured:
    return Measured("w", "g", target, 1e-4, {"autograd_fb": ours, "torch": torch}, {"autograd_fb": deviation}, {})


def test_ratios_are_of_medians() -> None:
    m = measured([1.0, 2.0, 9.0], [4.0, 4.0, 4.0])
    assert m.median("autograd_fb") == 2.0
    assert m.ratio("torch") == 0.5
    assert m.ratio("numpy") is None
    assert m.best("torch") == 0.25


@pytest.mark.parametrize(("ours", "verdict"), [([2.0], "met"), ([3.2], "met"), ([3.3], "MISSED")])
def test_targets_are_the_largest_accepted_ratio(ours: list[float], verdict: str) -> None:
    assert measured(ours, [4.0]).verdict == verdict


def test_a_wrong_result_is_said_before_its_speed() -> None:
    m = measured([1.0], [4.0], deviation=1e-3)
    assert m.verdict == "WRONG"
    assert "differs from the float64 reference by 1.0e-03" in "\n".join(report.remarks([m]))


def test_a_deviation_of_nan_is_wrong() -> None:
    assert measured([1.0], [4.0], deviation=float("nan")).wrong == ["autograd_fb"]


def test_an_error_is_a_verdict() -> None:
    m = measured([], [4.0])._replace(errors={"autograd_fb": "AttributeError: no such op"})
    assert m.verdict == "ERROR"
    assert report.row(m)[1] == "-"


def test_noise_is_the_quotient_of_the_quartiles() -> None:
    assert report.spread([1.0, 1.0, 1.0, 1.0]) == 1.0
    assert report.spread([1.0, 1.0, 2.0, 2.0]) == 2.0
    assert report.spread([1.0, 5.0]) == 1.0
    noisy = measured([1.0, 1.0, 2.0, 2.0], [1.0] * 4)
    assert "noisy" in report.remarks([noisy])[-1]
    assert "quiet" in report.remarks([measured([1.0] * 4, [1.0] * 4)])[-1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2.5e-7, "0.25 us"),
        (1.234e-5, "12.3 us"),
        (4.56e-4, "456 us"),
        (0.0123, "12.3 ms"),
        (2.0, "2.00 s"),
        (None, "-"),
    ],
)
def test_quantities_have_three_digits_and_a_unit(seconds: float | None, text: str) -> None:
    assert report.quantity(seconds) == text


def test_memory_is_told_in_bytes_and_may_have_a_limit() -> None:
    m = Measured("w", "g", None, 1e-4, {"autograd_fb": [390.0], "torch": [1000.0], "numpy": [0.2]}, {}, {}, "B", 400)
    assert m.verdict == "met" and m._replace(limit=389).verdict == "MISSED"
    assert m._replace(target=0.3).verdict == "MISSED"
    assert m.ratio("numpy") is None
    assert report.row(m)[1:8] == ("390 B", "1000 B", "0 B", "0.39", "0.39", "-", "400 B")
    assert report.quantity(12_345_678, "B") == "12.3 MB"


def test_the_memory_of_a_workload_is_measured_in_processes_of_its_own() -> None:
    (workload,) = run.selected(["held.node"])
    m = run.measure_memory(workload, ["autograd_fb"], 1, 1)
    assert not m.errors and 50 < m.rounds["autograd_fb"][0] < 400


def test_the_page_holds_only_what_was_measured() -> None:
    page = report.page([measured([1e-6], [2e-6])], {"Date": "today"}, ["A remark."])
    assert "* Date: today" in page
    assert "| w | 1.00 us | 2.00 us | - | 0.50 | 0.50 | - | 0.8 | met | 1.00 |" in page
    assert "* A remark." in page


def test_deviation_is_relative_to_the_largest_element() -> None:
    reference = [np.array([10.0, 1.0])]
    assert case.deviation([np.array([10.0, 1.1])], reference) == pytest.approx(0.01)
    assert case.deviation([np.array([10.0])], reference) == float("inf")
    assert case.deviation([np.array([10.0, np.nan])], reference) == float("inf")
    assert case.deviation([], reference) == float("inf")


def test_the_number_of_calls_fills_a_round() -> None:
    class Timer:
        def timeit(self, number: int) -> float:
            return number * 1e-6

    assert peer.calls(Timer(), 0.02) == 20_000  # type: ignore[arg-type]
    assert peer.calls(Timer(), 1e-9) == 1  # type: ignore[arg-type]


def test_the_peers_choose_their_own_blas_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    environment = run.environment(1)
    assert "OPENBLAS_CORETYPE" not in environment
    assert environment["OMP_NUM_THREADS"] == "1"


def test_every_workload_has_a_floor_that_is_its_own_reference_within_tolerance() -> None:
    for w in case.load().values():
        if w.figure != "time" or "1024" in w.name or "10M" in w.name or w.name in ("cnn.28", "transformer.block"):
            continue  # seconds, and checked by the suite itself before it times them
        got, reference = (case.arrays(w.floor(dtype).result()) for dtype in (np.float32, np.float64))
        assert case.deviation(got, reference) <= w.tolerance, w.name


def test_workloads_are_chosen_by_parts_of_their_names() -> None:
    assert [w.name for w in run.selected(["chain"])] == ["chain.1000", "chain.100000"]
    assert {"add.untaped", "mlp.b1024", "custom.warn"} <= {w.name for w in run.selected(None)}
