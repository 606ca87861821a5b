"""Running the checks: `check_backend` for a report, `BackendSuite` for pytest."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from autograd_fb.backend import discovery
from autograd_fb.testing import op_suite
from autograd_fb.testing.backend_suite import traits
from autograd_fb.testing.backend_suite.calls import Target, use_target
from autograd_fb.testing.backend_suite.ops import OP_CHECKS, Choice, applies, check_op
from autograd_fb.testing.backend_suite.report import FAILED, GAP, LEFT_OUT, PASSED, Gaps, Outcome, Report
from autograd_fb.testing.backend_suite.services import SERVICES, NotHere


def check_backend(
    backend: Any,
    *,
    ops: Iterable[str] | None = None,
    checks: Iterable[str] | None = None,
    services: bool = True,
    dtypes: Sequence[str] | None = None,
    full: bool = False,
    gaps: Mapping[str, str] | None = None,
    index: int | None = None,
) -> Report:
    """Run the contract on a backend (a Backend, or a name as `use_target` takes it) and report.

    By default every operator is called with one dtype of each kind and two samples of each; ``full`` takes all dtypes
    and samples. ``ops`` and ``checks`` limit what is run, ``gaps`` are added to those that the backend declares.
    """
    begin = time.perf_counter()
    with use_target(backend, index) as target:
        report = new_report(target, full, dtypes, gaps)
        choice = Choice(target, full, dtypes)
        wanted = list(OP_CHECKS) if checks is None else [c for c in checks if c in OP_CHECKS]
        names = op_suite.keys() if ops is None else tuple(ops)
        for check in wanted:
            for dtype in choice.dtypes_of(check, target):
                report.outcomes += [
                    op_outcome(target, check, k, dtype, choice, report.gaps) for k in names if applies(check, k)
                ]
        if services:
            groups = [g for g in SERVICES if checks is None or g in set(checks)]
            report.outcomes += [service_outcome(target, g, n, report.gaps) for g in groups for n in SERVICES[g]]
            report.notes += traits.differences(target.backend)[1]
    report.seconds = time.perf_counter() - begin
    return report


def new_report(target: Target, full: bool, dtypes: Sequence[str] | None, gaps: Mapping[str, str] | None) -> Report:
    backend = target.backend
    library = discovery.library_of(backend)
    return Report(
        backend.name,
        str(target.device),
        f"{library} {discovery.version(library)}".strip() if library else "no library",
        "the full contract" if full else "the contract",
        Choice(target, full, dtypes).dtypes,
        gaps=Gaps({**backend.gaps, **(gaps or {})}),
    )


def op_outcome(target: Target, check: str, key: str, dtype: str, choice: Choice, gaps: Gaps) -> Outcome:
    """One check of one operator in one dtype, with the gap that excuses its failure."""
    subject = f"{key}@{dtype}"
    try:
        count = check_op(target, check, key, dtype, choice)
    except Exception as error:
        return _failure(check, subject, error, gaps)
    return Outcome(check, subject, PASSED if count else LEFT_OUT, "" if count else "no call to compare", count)


def service_outcome(target: Target, group: str, name: str, gaps: Gaps) -> Outcome:
    """One check of no operator, likewise."""
    try:
        SERVICES[group][name](target)
    except NotHere as reason:
        return Outcome(group, name, LEFT_OUT, str(reason))
    except Exception as error:
        return _failure(group, name, error, gaps)
    return Outcome(group, name, PASSED, calls=1)


def _failure(check: str, subject: str, error: Exception, gaps: Gaps) -> Outcome:
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    text = (kind + str(error)).strip()
    short = text if len(text) < 400 else text[:400] + " ..."
    status = GAP if gaps.reason(f"{check}:{subject}") is not None else FAILED
    return Outcome(check, subject, status, short)


class BackendSuite:
    """The contract as a pytest class: subclass it in a test file and name the backend.

    Every check of every operator in every dtype is a test of its own, ``test_op[forward-sin-float32]``, and so is every
    service, ``test_service[devices-training_converges]``. Known gaps are xfailed with their reason, and a gap of
    one check that passes is a failure. ``full``, ``ops`` and ``dtypes`` are those of `check_backend`.
    """

    backend: Any = None
    index: int | None = None
    full: bool = False
    ops: Iterable[str] | None = None
    checks: Iterable[str] | None = None
    dtypes: Sequence[str] | None = None
    gaps: Mapping[str, str] = {}

    def pytest_generate_tests(self, metafunc: Any) -> None:
        if "contract_case" in metafunc.fixturenames:
            service = metafunc.function.__name__ == "test_service"
            cases = [] if self.backend is None else self._services() if service else self._ops()
            metafunc.parametrize("contract_case", cases, ids=["-".join(c) for c in cases])

    def _ops(self) -> list[tuple[str, ...]]:
        names = op_suite.keys() if self.ops is None else tuple(self.ops)
        allowed = OP_CHECKS if self.checks is None else set(self.checks)
        with use_target(self.backend, self.index) as target:
            choice = Choice(target, self.full, self.dtypes)
            dtypes = {check: choice.dtypes_of(check, target) for check in OP_CHECKS}
        return [(c, k, d) for c in OP_CHECKS if c in allowed for d in dtypes[c] for k in names if applies(c, k)]

    def _services(self) -> list[tuple[str, ...]]:
        return [(g, n) for g in SERVICES if self.checks is None or g in set(self.checks) for n in SERVICES[g]]

    def _target(self) -> Iterator[Target]:
        with use_target(self.backend, self.index) as target:
            yield target

    def _judge(self, run: Any, name: str, declared: Mapping[str, str]) -> None:
        import pytest

        gaps = Gaps({**declared, **self.gaps})
        reason = gaps.reason(name)
        try:
            count = run()
        except NotHere as why:
            pytest.skip(str(why))
        except Exception:
            if reason is None:
                raise
            pytest.xfail(reason)
        if count == 0:
            pytest.skip("no call to compare")
        if reason is not None and name in gaps.patterns:
            pytest.fail(f"{name} is a known gap ({reason}), but it passes: take the gap out")

    def test_op(self, contract_case: tuple[str, str, str]) -> None:
        """One check of one operator in one dtype."""
        check, key, dtype = contract_case
        for target in self._target():
            choice = Choice(target, self.full, self.dtypes)
            run = partial(check_op, target, check, key, dtype, choice)
            self._judge(run, f"{check}:{key}@{dtype}", target.backend.gaps)

    def test_service(self, contract_case: tuple[str, str]) -> None:
        """One check of the backend that is about no operator."""
        group, name = contract_case
        for target in self._target():
            self._judge(partial(SERVICES[group][name], target), f"{group}:{name}", target.backend.gaps)
