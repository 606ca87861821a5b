"""The tables of docs/backends.md: `python -m ci.backends --write` runs the contract and writes its scores.

`--only NAME` measures some backends and leaves the other scores as they stand, `--check` (a test does it) compares the
table of keys with this file and looks for a score of every backend.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import platform
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from autograd_fb.backend import discovery
from autograd_fb.core.keys import device_keys

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "backends.md"


class Contract(NamedTuple):
    """A backend that runs on any machine: what `check_backend` is asked for, and how many operators are taken.

    ``every`` and ``tested``: each n-th operator for the page, and in the test suite.
    """

    label: str
    name: str
    library: str
    every: int = 1
    tested: int = 1


CONTRACTS = (
    Contract("numpy", "numpy", "numpy"),
    Contract("meta", "meta", "numpy"),
    Contract("simulated cuda", "simulated cuda", "numpy"),
    Contract("array-api-strict", "autograd_fb_backends.strict", "array_api_strict"),
    Contract("torch, on its CPU memory", "autograd_fb_backends.torch_devices", "torch"),
    # compiling every operator for every shape takes JAX a second an operator (13 minutes in all), dask's graphs half
    # of that: the test suite takes some
    Contract("jax", "xla", "jax", 1, 40),
    Contract("dask", "lazy", "dask", 6, 14),
    Contract("dpnp", "xpu.dpnp", "dpnp", 1, 14),
)


def lacking(contract: Contract) -> str:
    """Why a contract cannot be run here, "" if it can: a library that is not installed, or one that finds no device."""
    if importlib.util.find_spec(contract.library) is None:
        return f"{contract.library} is not installed"
    candidate = next((c for c in discovery.candidates() if c.entry == contract.name), None)
    return "" if candidate is None else discovery.ask(candidate, discovery.make(candidate))


class Row(NamedTuple):
    """One line of the table of keys. ``entry`` is the entry point, or says what stands in its place."""

    device: str
    library: str
    entry: str
    tested: str
    missing: str = ""


_SIMULATED = "simulated (`tests/backends/test_simulation.py`); no library reaches such a device here"
ROWS = (
    Row("cpu", "NumPy", "`cpu`", "everything"),
    Row("cpu", "torch", "`cpu.torch`", "all generic operator tests of `tests/ops`, `tests/backends/test_torch.py`",
        "layouts of results are torch's, where meta tensors tell NumPy's; uint16, uint32 and uint64 are stored and "
        "cast, and most arithmetic refuses them in torch's words; no negative strides (`a[::-1]` raises, as in "
        "PyTorch)"),
    Row("meta", "none", "`meta`", "the contract, `tests/backends/test_meta.py`, `tests/ops/test_meta.py`",
        "what depends on values"),
    Row("cuda", "CuPy", "`cuda`", "without a GPU: all rows on a stand-in for CuPy that runs the kernels on the host, "
        "NVRTC, CuPy's own signatures and array geometry ([gpu.md](gpu.md)); the contract on simulated CUDA devices",
        "never run on a GPU yet; CUDA graphs, cuDNN, batched products of half types in one call"),
    Row("xla", "JAX", "`xla`", "the contract; `tests/backends/test_jax.py`: every operator by one check, one sample, "
        "all checks of no operator, two devices; `tests/backends/test_functional.py` (views, writes and histories "
        "against NumPy)", "run on the CPU alone; layouts: results are row-major"),
    Row("lazy", "dask", "`lazy`", "the contract, `tests/backends/test_lazy.py` (values and gradients of every operator "
        "on arrays of several chunks, a cluster of two workers), `tests/backends/test_functional.py`",
        "eigenvalues, the full SVD, bfloat16, and every result whose shape depends on values: NotImplementedError; "
        "wrong indices and the like are told of when the values are computed"),
    Row("xpu", "dpnp", "`xpu.dpnp`", "where dpnp is installed (the extra `dpnp`, 3 GB): the contract, "
        "`tests/backends/test_dpnp.py`, on the CPU through OpenCL, and on its two halves as two devices",
        "never run on a GPU; bfloat16; writes to windows that overlap; layouts: results of reductions, products and "
        "scans are row-major; streams"),
    Row("xpu", "torch", "`xpu`", "the contract, over torch's CPU memory under this key",
        "never run on the device; serves where dpnp is not installed or finds no device"),
    Row("mps", "torch", "`mps`", "the same code as `xpu`; simulated",
        "never run on the device; no float64 and complex128"),
    Row("hpu", "torch", "`hpu`", "the same code as `xpu`; simulated",
        "never run on the device; no float64 and no complex dtypes"),
    Row("mtia", "none", "none", _SIMULATED, "a library"),
    Row("privateuseone", "array-api-strict", "none, tests only",
        "the contract, `tests/backends/test_strict.py`, on its five devices",
        "its device without 64-bit dtypes has no int64, and so none of what counts or indexes"),
    Row("privateusetwo", "none", "none", _SIMULATED, "a library"),
    Row("privateusethree", "none", "none", _SIMULATED, "a library"),
    Row("vulkan", "none", "none", f"{_SIMULATED}; `fpga` and `metal` likewise", "a library"),
    Row("npu_x", "any", "one named after the device", "simulated; `examples/third_party_backend` names `onnx`",
        "any further name gets keys of its own when it is first mentioned"),
)  # fmt: skip
HEAD = ("device", "keys", "library", "entry point", "tested how", "what is missing")
SCORES = ("backend", "library", "device", "operators", "score", "passed", "known gaps", "date", "Python")


def keys_table() -> str:
    """The table of keys in Markdown."""
    cells = [
        (f"`{r.device}`", ", ".join(device_keys(r.device)), r.library, r.entry, r.tested, r.missing) for r in ROWS
    ]
    return _markdown(HEAD, cells)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def parts(text: str, name: str) -> tuple[str, str, str]:
    """A page before, within and after its marks of this name."""
    begin, end = f"<!-- {name}: written by ci/backends.py -->\n", f"\n<!-- end of {name} -->"
    if begin not in text or end not in text:
        raise ValueError(f"{PAGE.name} has no section {name!r}")
    before, _, rest = text.partition(begin)
    inside, _, after = rest.partition(end)
    return before + begin, inside, end + after


def section(text: str, name: str) -> str:
    return parts(text, name)[1]


def replaced(text: str, name: str, content: str) -> str:
    before, _, after = parts(text, name)
    return before + content + after


def written_scores(text: str) -> dict[str, tuple[str, ...]]:
    """The rows of the page's table of scores, by backend."""
    found = {}
    for line in section(text, "scores").splitlines():
        cells = tuple(c.strip() for c in line.strip("|").split("|"))
        if len(cells) == len(SCORES) and cells != SCORES and set(cells) != {"---"}:
            found[cells[0]] = cells
    return found


def measured(contract: Contract) -> tuple[str, ...]:
    """One row of scores, from running the contract now."""
    from autograd_fb.testing.backend_suite import check_backend
    from autograd_fb.testing.op_suite import keys

    chosen = keys()[:: contract.every]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = check_backend(contract.name, ops=chosen)
    print(report, flush=True)
    if not report.ok:
        raise SystemExit(f"{contract.label} fails the contract; nothing was written")
    passed = sum(c.passed for c in report.counts.values())
    made = sum(c.made for c in report.counts.values())
    gaps = sum(c.gaps for c in report.counts.values())
    some = f"{len(chosen)} of {len(keys())}" if contract.every > 1 else f"all {len(chosen)}"
    return (
        contract.label, report.library, f"`{report.device}`", some, f"{100 * report.score:.1f} %",
        f"{passed} of {made}", str(gaps), datetime.date.today().isoformat(), platform.python_version(),
    )  # fmt: skip


def problems(text: str) -> Iterator[str]:
    """What is stale on a page."""
    if section(text, "keys") != keys_table():
        yield "the table of keys is not that of ci/backends.py; run `python -m ci.backends --write --only none`"
    scores = written_scores(text)
    for contract in CONTRACTS:
        if contract.label not in scores:
            yield f"no score of {contract.label}; run `python -m ci.backends --write --only '{contract.label}'`"
    for label in set(scores) - {c.label for c in CONTRACTS}:
        yield f"a score of {label}, which is not measured any more"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ci.backends", description=__doc__)
    parser.add_argument("--write", action="store_true", help="run the contract and write docs/backends.md")
    parser.add_argument("--check", action="store_true", help="say what is stale on the page; 1 if anything is")
    parser.add_argument("--only", action="append", metavar="NAME", help="measure these ('none': the keys alone)")
    chosen = parser.parse_args(argv)
    if chosen.check or not chosen.write:
        found = list(problems(PAGE.read_text(encoding="utf-8")))
        print("\n".join(found) or "docs/backends.md: ok")
        return 1 if found else 0
    for contract in CONTRACTS:
        if chosen.only and contract.label not in chosen.only:
            continue
        if reason := lacking(contract):
            print(f"{contract.label} is left out: {reason}")
            continue
        row = measured(contract)
        _save({contract.label: row})
    _save({})
    return 0


def _save(rows: dict[str, tuple[str, ...]]) -> None:
    """Put rows into the page as it stands now (others may be measuring), and the table of keys."""
    text = PAGE.read_text(encoding="utf-8")
    known = {**written_scores(text), **rows}
    ordered = [known[c.label] for c in CONTRACTS if c.label in known]
    text = replaced(replaced(text, "keys", keys_table()), "scores", _markdown(SCORES, ordered))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
