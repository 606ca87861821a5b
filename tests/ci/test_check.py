"""`ci/check.py` runs every section, says which failed, and ends with pytest's closing line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ci import check


def outcome(name: str, status: int = 0, output: str = "", note: str = "") -> check.Outcome:
    return check.Outcome(name, 1.25, status, output, note)


def test_the_environment_is_single_threaded_and_untuned(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "512")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    environment = check.environment()
    assert "OPENBLAS_CORETYPE" not in environment and "OPENBLAS_L2_SIZE" not in environment
    assert [environment[name] for name in check.SINGLE_THREADED] == ["1", "1", "1"]
    assert environment["PYTHONPATH"].endswith("elsewhere")
    assert environment["PYTHONPATH"].startswith(str(check.ROOT))


@pytest.mark.parametrize(
    "line",
    [
        "=================== 3 passed, 1 skipped in 0.12s ===================",
        "===== 1 failed, 3 passed in 0.12s =====",
        "=== no tests ran in 0.01s ===",
        "12 passed in 3.10s",
        "\x1b[32m=== \x1b[1m12 passed\x1b[0m in 3.10s ===\x1b[0m",
    ],
)
def test_the_closing_line_is_found(line):
    found = check.closing_line(f"tests/test_a.py 1 passed in it\n{line}\n\nsomething after\n")
    assert found == check.COLOUR.sub("", line)


def test_a_run_that_died_has_no_closing_line():
    assert check.closing_line("Traceback (most recent call last):\nKeyError: 1 passed\n") == ""


def test_the_report_shows_failures_only_and_ends_with_pytests_line():
    text = check.report(
        [
            outcome("generate", note="skipped: there is no ci/generate.py"),
            outcome("ruff", output="All checks passed!"),
            outcome("mypy", 1, "a.py:1: error: x\n"),
            outcome("pytest", output="....\n=== 4 passed in 0.10s ===\n"),
        ]
    )
    assert text.splitlines() == [
        "--- mypy (exit status 1)",
        "a.py:1: error: x",
        "",
        "generate      1.2 s  skipped: there is no ci/generate.py",
        "ruff          1.2 s  ok",
        "mypy          1.2 s  FAILED",
        "pytest        1.2 s  ok",
        "=== 4 passed in 0.10s ===",
    ]


def test_fast_leaves_out_slow_tests_and_one_job_needs_no_xdist():
    assert check.pytest(check.Options(fast=True, jobs=1)) == ["-m", "pytest", "-m", "not slow"]
    assert check.pytest(check.Options(fast=False, jobs=1)) == ["-m", "pytest"]


def test_tests_run_in_parallel_where_xdist_is_installed(monkeypatch):
    monkeypatch.setattr(check.importlib.util, "find_spec", lambda name: None)
    assert check.pytest(check.Options(fast=False, jobs=2)) == ["-m", "pytest"]
    monkeypatch.setattr(check.importlib.util, "find_spec", lambda name: object())
    assert check.pytest(check.Options(fast=False, jobs=2)) == ["-m", "pytest", "-n", "2"]


def test_generated_files_are_checked_as_soon_as_there_is_a_generator(monkeypatch, tmp_path):
    monkeypatch.setattr(check, "ROOT", tmp_path)
    options = check.Options(fast=False, jobs=1)
    assert check.generate(options) == "skipped: there is no ci/generate.py"
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "generate.py").touch()
    assert check.generate(options) == ["ci/generate.py", "--check"]


def test_every_section_runs_although_one_fails_and_the_status_says_so(monkeypatch, capsys):
    statuses = {"layers": 1, "ruff": 0}
    monkeypatch.setattr(check, "run", lambda name, options: outcome(name, statuses[name], f"output of {name}"))
    assert check.main(["layers", "ruff"]) == 1
    printed = capsys.readouterr().out
    assert "output of layers" in printed and "output of ruff" not in printed
    assert printed.splitlines()[-2:] == ["layers      1.2 s  FAILED", "ruff        1.2 s  ok"]
    statuses["layers"] = 0
    assert check.main(["layers", "ruff"]) == 0


def test_a_section_runs_in_the_project_and_keeps_what_it_printed(monkeypatch):
    code = "import os, sys; print(os.getcwd()); print('to stderr', file=sys.stderr); sys.exit(3)"
    monkeypatch.setitem(check.SECTIONS, "layers", lambda options: ["-c", code])
    done = check.run("layers", check.Options(fast=False, jobs=1))
    assert done.status == 3
    assert sorted(done.output.splitlines()) == sorted([str(check.ROOT), "to stderr"])


def test_without_the_test_extra_the_message_gives_the_cure(monkeypatch, capsys):
    monkeypatch.setattr(check, "missing_tools", lambda: ["ruff", "mypy"])
    assert check.main([]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"ci/check.py needs ruff, mypy, which {sys.executable} does not have.")
    assert "python -m pip install -e '.[test]'" in message


def test_an_unknown_section_names_those_there_are(capsys):
    with pytest.raises(SystemExit) as stopped:
        check.main(["lint"])
    assert stopped.value.code == 2
    assert "no section 'lint'; there are generate, layers, ruff, mypy, doctest, pytest" in capsys.readouterr().err


def test_a_backend_whose_library_is_absent_is_not_importable(tmp_path: Path):
    file = tmp_path / "backend.py"
    file.write_text("import numpy as np\nfrom autograd_fb.core import dtype\n\ndef f():\n    import absent_library\n")
    assert check.importable(file)
    file.write_text("import absent_library.sub\n")
    assert not check.importable(file)


def test_the_script_starts_from_any_folder(tmp_path: Path):
    command = [sys.executable, str(check.ROOT / "ci" / "check.py"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--fast" in done.stdout
