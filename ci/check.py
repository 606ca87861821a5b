"""Every check of the project in one command: `python ci/check.py [--fast] [--jobs N] [section ...]`.

Runs generated files, layers, ruff, mypy, doctests and tests, each to its end whatever the others say, prints the output
of those that fail, a table, and last of all pytest's own closing line. The exit status is 1 if any section failed.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ci.layers import python_files  # noqa: E402 (the path is set above, for `python ci/check.py`)

TOOLS = ("ruff", "mypy", "pytest", "numpy", "array_api_compat", "array_api_strict")

# OpenBLAS tuned for another machine gives other numbers; more threads than jobs make timings and sums vary.
CLEARED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
SINGLE_THREADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

CLOSING_LINE = re.compile(r"^(=+ )?(no tests ran|\d+ (passed|failed|error|skipped|deselected|xfailed|xpassed|warning))")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Options(NamedTuple):
    """What the command line chose."""

    fast: bool
    jobs: int


class Outcome(NamedTuple):
    """One finished section; ``note`` says why a section was left out."""

    name: str
    seconds: float
    status: int
    output: str
    note: str = ""

    @property
    def word(self) -> str:
        return self.note or ("FAILED" if self.status else "ok")


def environment() -> dict[str, str]:
    """The variables the checks run under: this checkout first, one BLAS thread, no tuning for another machine."""
    result = {name: value for name, value in os.environ.items() if name not in CLEARED}
    result.update(dict.fromkeys(SINGLE_THREADED, "1"))
    paths = [str(ROOT), str(ROOT / "backends"), result.get("PYTHONPATH", "")]
    result["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return result


def importable(path: Path) -> bool:
    """Whether every library that a file imports at its top is installed; a backend's may well not be."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.split(".")[0])
    ours = {"autograd_fb", "autograd_fb_backends"}
    return all(importlib.util.find_spec(name) is not None for name in names - ours)


# --- the sections: each gives the arguments of a Python, or a sentence why there is nothing to run


def generate(options: Options) -> list[str] | str:
    if not (ROOT / "ci" / "generate.py").is_file():
        return "skipped: there is no ci/generate.py"
    return ["ci/generate.py", "--check"]


def layers(options: Options) -> list[str]:
    return ["ci/layers.py"]


def ruff(options: Options) -> list[str]:
    return ["-m", "ruff", "check", "--output-format=concise", "."]


def mypy(options: Options) -> list[str]:
    return ["-m", "mypy"]


def doctest(options: Options) -> list[str]:
    left_out = [f"--ignore={path}" for path in python_files(ROOT / "backends") if not importable(path)]
    return ["-m", "pytest", "-q", "--doctest-modules", *left_out, "autograd_fb", "backends"]


def pytest(options: Options) -> list[str]:
    command = ["-m", "pytest"]
    if options.jobs > 1 and importlib.util.find_spec("xdist"):
        command += ["-n", str(options.jobs)]
    if options.fast:
        command += ["-m", "not slow"]
    return command


SECTIONS: dict[str, Callable[[Options], list[str] | str]] = {
    section.__name__: section for section in (generate, layers, ruff, mypy, doctest, pytest)
}


# --- running and reporting


def run(name: str, options: Options) -> Outcome:
    """Run one section to its end and keep what it printed."""
    command = SECTIONS[name](options)
    if isinstance(command, str):
        return Outcome(name, 0.0, 0, "", command)
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    return Outcome(name, time.perf_counter() - begin, done.returncode, done.stdout)


def closing_line(output: str) -> str:
    """The last line in which pytest sums up a run; empty where there is none."""
    lines = [COLOUR.sub("", line) for line in output.splitlines()]
    return next((line for line in reversed(lines) if CLOSING_LINE.match(line)), "")


def table(outcomes: Sequence[Outcome]) -> str:
    width = max(len(outcome.name) for outcome in outcomes)
    return "\n".join(f"{o.name:<{width}}  {o.seconds:7.1f} s  {o.word}" for o in outcomes)


def report(outcomes: Sequence[Outcome]) -> str:
    """Output of the sections that failed, the table, and pytest's closing line last."""
    parts = [f"--- {o.name} (exit status {o.status})\n{o.output.rstrip()}\n" for o in outcomes if o.status]
    parts.append(table(outcomes))
    parts += [closing_line(o.output) for o in outcomes if o.name == "pytest"]
    return "\n".join(part for part in parts if part)


def missing_tools() -> list[str]:
    return [name for name in TOOLS if importlib.util.find_spec(name) is None]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python ci/check.py", description="Run the checks of the project.")
    parser.add_argument("sections", nargs="*", metavar="section", help=f"all by default: {', '.join(SECTIONS)}")
    parser.add_argument("--fast", action="store_true", help="leave out the tests marked slow")
    parser.add_argument("--jobs", "-n", type=int, default=2, help="test processes, where pytest-xdist is installed")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = parse(arguments)
    missing = missing_tools()
    if missing:
        print(
            f"ci/check.py needs {', '.join(missing)}, which {sys.executable} does not have.\n"
            "Install the test extra into this environment: python -m pip install -e '.[test]'",
            file=sys.stderr,
        )
        return 2
    outcomes = []
    for name in chosen.sections or SECTIONS:
        print(f"{name} ...", flush=True)
        outcomes.append(run(name, Options(chosen.fast, chosen.jobs)))
    print()
    print(report(outcomes), flush=True)
    return 1 if any(outcome.status for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
