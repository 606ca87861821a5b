"""The contract of backends on every backend that can run here: all operators, and the checks of no operator.

Operators are taken in parts, so that test processes share the work; a part that fails lists everything that failed.
Of backends that compile each operator some are taken (`ci.backends.CONTRACTS`), which others is in their own tests.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from autograd_fb.testing.backend_suite import check_backend
from autograd_fb.testing.op_suite import keys
from ci.backends import CONTRACTS, Contract, lacking

PARTS = 4
CASES = [(c, part) for c in CONTRACTS for part in range(PARTS if c.tested == 1 else 1)]


def checked(contract: Contract, ops: tuple[str, ...], services: bool) -> Any:
    if reason := lacking(contract):
        pytest.skip(reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the samples make libraries say: NaN, all of them zeros, deprecated names
        return check_backend(contract.name, ops=ops, services=services)


@pytest.mark.parametrize(("contract", "part"), CASES, ids=[f"{c.label}-{part}" for c, part in CASES])
def test_operators(contract: Contract, part: int) -> None:
    chosen = keys()[:: contract.tested]
    ops = chosen[part::PARTS] if contract.tested == 1 else chosen
    report = checked(contract, ops, False)
    assert report.failures == [], str(report)
    assert report.counts["forward"].passed > len(ops) and report.score > 0.9


@pytest.mark.parametrize("contract", CONTRACTS, ids=[c.label for c in CONTRACTS])
def test_services(contract: Contract) -> None:
    report = checked(contract, (), True)
    assert report.failures == [], str(report)
    assert {"traits", "devices", "errors"} <= set(report.counts)
