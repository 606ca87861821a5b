"""The contract kit finds what is wrong with a backend: the faults planted here are such as real backends have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb.backend import registry
from autograd_fb.backend.protocol import Traits
from autograd_fb.testing.backend_suite import Gaps, Outcome, Report, check_backend, measure_traits, use_target
from autograd_fb_backends.simulated import SimulatedBackend

ROOT = Path(__file__).resolve().parents[2]


class Toy(SimulatedBackend):
    """A right backend of two devices, which the faulty ones below spoil in one place."""

    def __init__(self) -> None:
        super().__init__("toy_kit", 2)
        self.gaps = type(self).known

    known: Mapping[str, str] = {}


def failed(backend: Any, ops: Any = (), **options: Any) -> dict[str, str]:
    report = check_backend(backend, ops=ops, **options)
    return {o.name: o.message for o in report.failures}


def replaced(**kernels: Any) -> Toy:
    """The toy with other kernels."""

    class Changed(Toy):
        def kernels(self) -> Mapping[str, Any]:
            return {**super().kernels(), **kernels}

        def compiled(self, kernel: Any, pure: bool) -> Any:
            return kernel  # with its faults: what wraps kernels would put their results on the right device

    return Changed()


def test_a_right_backend_passes_whole() -> None:
    report = check_backend(Toy(), ops=["sin", "cumsum", "select.int", "mul.Tensor"])
    assert report.ok and report.score == 1.0 and report.failures == []
    assert set(report.counts) == {
        "forward", "vjp", "jvp", "in-place", "in-place-view", "out", "views", "meta", "traits", "host", "devices",
        "dlpack", "rng", "errors",
    }  # fmt: skip
    assert report.device == "toy_kit:1" and report.backend == "simulated toy_kit" and report.library.startswith("numpy")
    assert "toy_kit" not in registry.BY_DEVICE


# --- operators


def test_wrong_values() -> None:
    found = failed(replaced(sin=lambda xp, self: xp.sin(self) * 1.01), ["sin"], services=False)
    assert {"forward:sin@float32", "in-place:sin@float64", "out:sin@float32"} <= set(found)
    assert "sin on float32 [" in found["forward:sin@float32"]


def to_first(array: Any) -> Any:
    return registry.load("toy_kit").backend.to_device(array, 0)


def test_wrong_dtype_shape_and_device() -> None:
    wrong = {
        "float64": lambda xp, self: xp.sin(self.astype("float64")),
        "shape (": lambda xp, self: xp.sin(self)[None],
        "on toy_kit:0, expected toy_kit:1": lambda xp, self: to_first(xp.sin(self)),
    }
    for message, kernel in wrong.items():
        found = failed(replaced(sin=kernel), ["sin"], services=False, checks=["forward"])
        assert message in found["forward:sin@float32"]


def test_wrong_gradient_of_a_right_value() -> None:
    found = failed(replaced(cos=lambda xp, self: xp.cos(self) + 0.01), ["sin"], services=False)
    assert set(found) >= {"vjp:sin@float64", "jvp:sin@float64", "in-place:sin@float64"}
    assert "forward:sin@float32" not in found and "gradient of sin on float64" in found["vjp:sin@float64"]


def test_a_missing_operator() -> None:
    def missing(xp: Any, *args: Any) -> Any:
        raise NotImplementedError("the toy cannot sort")

    found = failed(replaced(sort=missing), ["sort", "sin"], services=False)
    assert "NotImplementedError: the toy cannot sort" in found["forward:sort@float32"]
    assert not any(":sin" in name for name in found)


def test_a_view_that_copies() -> None:
    found = failed(replaced(**{"select.int": lambda xp, self, dim, index: self.take(index, axis=dim)}), ["select.int"])
    assert "views:select.int@float64" in found and "devices:views_and_writes_share_memory" not in found


def test_a_result_whose_shape_is_not_meta_s() -> None:
    kernel = {"sum": lambda xp, self, dtype=None: xp.sum(self, keepdims=True)}
    assert "on meta ()" in failed(replaced(**kernel), ["sum"], services=False)["meta:sum@float32"]


# --- services


class SharesHostMemory(Toy):
    def from_numpy(self, array: Any, index: int = 0, *, copy: bool = True) -> Any:
        return np.asarray(array).view(self._kind(index))


class ForgetsTheDevice(Toy):
    def to_device(self, array: Any, index: int) -> Any:
        return array


class AcceptsAnyDevice(Toy):
    def _kind(self, index: int) -> Any:
        return self.kinds[min(index, 1)]


class LosesHalf(Toy):
    def to_numpy(self, array: Any, *, copy: bool = False) -> Any:
        host = super().to_numpy(array, copy=copy)
        return host.astype("float32").astype("float16") if host.dtype == "float16" else np.ascontiguousarray(host)[:1]


class DeclaresTooMuch(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.traits = self.traits._replace(scalar_results=True, dtypes=self.traits.dtypes | {"float128"})


class NeverQuiet(Toy):
    def quiet(self, fn: Any, direct: bool = False) -> Any:
        def loud(*args: Any, **kwargs: Any) -> Any:
            import warnings

            warnings.warn("loud", RuntimeWarning, stacklevel=2)
            return fn(*args, **kwargs)

        return loud


@pytest.mark.parametrize(("kind", "name", "message"), [
    (SharesHostMemory, "host:copies_are_copies", "from_numpy(copy=True) shares memory"),
    (ForgetsTheDevice, "devices:every_device_is_its_own", ""),
    (AcceptsAnyDevice, "devices:a_device_that_is_not_there_is_refused", "expected"),
    (LosesHalf, "host:every_layout_comes_back", "scalar"),
    (DeclaresTooMuch, "traits:declared_is_measured", "float128 declared, but do not work"),
    (NeverQuiet, "errors:warnings_of_the_library_stay_inside", "RuntimeWarning: "),
])  # fmt: skip
def test_faults_of_the_members(kind: type[Toy], name: str, message: str) -> None:
    found = failed(kind())
    assert name in found and message in found[name]


def test_a_device_s_own_random_numbers_are_found() -> None:
    fault = replaced(rand=lambda xp, size, **options: xp.zeros(tuple(size), dtype="float32", device=options["device"]))
    assert "rand: [0.0, 0.0" in failed(fault)["rng:a_seed_gives_the_numbers_of_the_cpu"]


def test_measured_traits() -> None:
    numpy, toy = registry.load("cpu").backend, Toy()
    assert measure_traits(numpy)._replace(dtypes=frozenset()) == Traits(scalar_results=True)
    assert measure_traits(toy)._replace(dtypes=frozenset()) == Traits()
    assert measure_traits(numpy).dtypes == numpy.traits.dtypes
    assert not measure_traits(registry.load("meta").backend).has_values
    with use_target("autograd_fb_backends.strict") as strict:
        assert not measure_traits(strict.backend).strided and "float16" not in measure_traits(strict.backend).dtypes


# --- gaps and scores


def missing_sort(known: Mapping[str, str]) -> Toy:
    def missing(xp: Any, *args: Any) -> Any:
        raise NotImplementedError("the toy cannot sort")

    toy = replaced(sort=missing)
    toy.gaps = known
    return toy


def test_a_known_gap_excuses_and_counts_as_not_passed() -> None:
    toy = missing_sort({"*:sort": "no sorting"})
    report = check_backend(toy, ops=["sort", "sin"], services=False, checks=["forward"])
    assert report.ok and report.score == pytest.approx(2 / 5, abs=0.3) and report.counts["forward"].gaps == 3
    assert "gap: no sorting (sort)" in str(report) and "known gaps" in str(report)
    extra = check_backend(missing_sort({}), ops=["sort"], services=False, gaps={"*:sort": "none here"})
    assert extra.ok and extra.counts["forward"].gaps


def test_a_gap_that_covers_no_failure_is_one() -> None:
    toy = missing_sort({"*:sort": "no sorting", "forward:sin": "was repaired"})
    found = failed(toy, ["sort", "sin"], services=False)
    assert found == {"gap:forward:sin": "covers no failure; take it out (was repaired)"}
    assert failed(missing_sort({"*:sort": "no sorting", "forward:cos": "not run"}), ["sort"], services=False) == {}


def test_gaps_are_patterns_with_reasons() -> None:
    gaps = Gaps({"forward:linalg_*": "a", "*:cumsum@bool": "b"})
    assert gaps.reason("forward:linalg_qr@float32") == "a" and gaps.reason("vjp:linalg_qr@float64") is None
    assert gaps.reason("forward:cumsum@bool") == "b" and gaps.reason("forward:cumsum@int64") is None
    for wrong in ({"sin": "no check"}, {"forward:sin": ""}):
        with pytest.raises(ValueError, match="expected 'check:subject'"):
            Gaps(wrong)


def test_the_report() -> None:
    outcomes = [Outcome("forward", "a@b", "passed"), Outcome("forward", "c@b", "failed", "is wrong"),
                Outcome("vjp", "a@b", "left out")]  # fmt: skip
    report = Report("toy", "toy:0", "lib 1", "the contract", outcomes=outcomes)
    assert not report.ok and report.score == 0.5 and list(report.counts) == ["forward"]
    assert str(report).splitlines() == [
        "toy (lib 1) on toy:0: 50.0 % of the contract, 1 FAILED, 0 s", "  forward  1/2, 1 FAILED",
        "  FAILED forward:c@b: is wrong",
    ]  # fmt: skip


# --- finding the backend


def test_targets_by_name() -> None:
    for name in ("numpy", "cpu", "autograd_fb_backends.cpu_numpy", "autograd_fb_backends.cpu_numpy:make_backend"):
        with use_target(name) as target:
            assert target.backend is registry.load("cpu").backend and target.device == torch.device("cpu")
    with use_target("simulated xpu") as target:
        assert target.device == torch.device("xpu:1")
    refused = pytest.raises(LookupError, match="no backend is called 'nowhere', and there is no module of that name")
    with refused, use_target("nowhere"):
        pass
    with torch.simulate("toy_kit") as simulation:
        before = registry.BY_DEVICE["toy_kit"]
        with use_target(Toy()) as target:
            assert target.backend is not before.backend
        assert registry.BY_DEVICE["toy_kit"] is before and simulation.count == 1


# --- the class for pytest


def test_the_class_in_a_third_party_s_test_file(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "backends"), str(pytester.path)]))
    pytester.makepyfile(
        toy_module="""
        from autograd_fb_backends.simulated import SimulatedBackend

        class Toy(SimulatedBackend):
            def __init__(self):
                super().__init__("toy_file")
                self.gaps = {"forward:sort": "no sorting", "forward:cos@float32": "was repaired"}

            def kernels(self):
                def missing(xp, *args):
                    raise NotImplementedError("the toy cannot sort")
                return {**super().kernels(), "sort": missing, "exp": lambda xp, self: self}

        make_backend = Toy
        """,
        test_toy="""
        from autograd_fb.testing.backend_suite import BackendSuite

        class TestToy(BackendSuite):
            backend = "toy_module"
            ops = ["sin", "sort", "exp", "cos"]
            checks = ["forward", "devices"]
        """,
    )
    result = pytester.runpytest_subprocess("-rA", "test_toy.py")
    text = result.stdout.str()
    assert "PASSED test_toy.py::TestToy::test_op[forward-sin-float32]" in text
    assert "XFAIL test_toy.py::TestToy::test_op[forward-sort-float32] - no sorting" in text
    assert "FAILED test_toy.py::TestToy::test_op[forward-exp-float32]" in text
    assert "is a known gap (was repaired), but it passes: take the gap out" in text
    assert "SKIPPED" in text and "the backend has one device" in text
