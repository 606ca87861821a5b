"""The README says what is so: its example runs, its commands are those that CI types, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import autograd_fb

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# `python3 -m venv FOLDER` makes a FOLDER/bin/python that prints its arguments.
FAKE_PYTHON = r"""#!/bin/sh
mkdir -p "$3/bin"
printf '#!/bin/sh\necho called "$@"\n' > "$3/bin/python"
chmod +x "$3/bin/python"
"""
EXAMPLE_NEEDS = ("from_numpy", "library", "ops", "set_autograd_fallback_mode")


@pytest.mark.skipif(
    not all(hasattr(autograd_fb, name) for name in EXAMPLE_NEEDS),
    reason=f"autograd_fb does not have all of {', '.join(EXAMPLE_NEEDS)} yet",
)
def test_the_example_prints_what_it_says_and_warns(fresh_python):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = fresh_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["True"]
    assert "UserWarning: readme::cube: an autograd kernel was not registered to the Autograd key(s)" in done.stderr


def test_every_relative_link_leads_to_a_file():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert "docs/architecture.md" in links
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_ci_types_the_test_command_of_the_readme(tmp_path: Path):
    (tmp_path / ".ci").mkdir()
    script = tmp_path / ".ci" / "run"
    script.write_text((ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    python3 = tmp_path / "bin" / "python3"
    python3.parent.mkdir()
    python3.write_text(FAKE_PYTHON)
    python3.chmod(0o755)
    (tmp_path / "README.md").write_text(README)
    environment = {"PATH": f"{python3.parent}:/usr/bin:/bin"}
    done = subprocess.run(["bash", script], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["called -m pip install -e .[test]", "called ci/check.py"]
    (tmp_path / "README.md").write_text("no command\n")
    done = subprocess.run(["bash", script], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 1
    assert "README.md must have exactly one line" in done.stderr
