"""The package is light: NumPy and array-api-compat are all it loads, and it is small."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import tomllib
import zipfile
from pathlib import Path

import pytest

from autograd_fb.backend import discovery

HEAVY = ("scipy", "cupy", "jax", "torch", "dask", "matplotlib")
PACKAGES = ("autograd_fb", "autograd_fb_backends")
PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def loaded_after(fresh_python, code: str) -> set[str]:
    """Top-level modules in a new interpreter after running ``code``."""
    report = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = fresh_python(f"{code}\n{report}")
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_no_heavy_library(fresh_python):
    loaded = loaded_after(fresh_python, "import autograd_fb")
    assert loaded & set(HEAVY) == set()
    assert "autograd_fb" in loaded


def test_the_check_above_would_notice(fresh_python):
    library = next((name for name in HEAVY if importlib.util.find_spec(name)), None)
    if library is None:
        pytest.skip("none of the heavy libraries is installed")
    assert library in loaded_after(fresh_python, f"import autograd_fb, {library}")


def test_the_pytest_plugin_loads_no_heavy_library(fresh_python):
    assert loaded_after(fresh_python, "import autograd_fb.testing.pytest_plugin") & set(HEAVY) == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_typed(package):
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    assert Path(spec.origin).with_name("py.typed").is_file()


def test_the_packages_are_light():
    """What is installed stays under 3.8 MB of sources, what is downloaded under 1.2 MB (docs/architecture.md)."""
    installed = 0
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as wheel:
        for package in PACKAGES:
            spec = importlib.util.find_spec(package)
            assert spec is not None and spec.origin is not None
            for f in Path(spec.origin).parent.rglob("*"):
                if f.is_file() and "__pycache__" not in f.parts:
                    installed += f.stat().st_size
                    wheel.write(f)
    assert 0 < installed < 3_800_000, installed
    assert len(archive.getvalue()) < 1_200_000, len(archive.getvalue())


ENTRY_POINTS = {
    f"{group}: {name}": value
    for group, entries in tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["entry-points"].items()
    for name, value in entries.items()
}


@pytest.mark.parametrize("entry", ENTRY_POINTS)
def test_every_entry_point_leads_to_something(entry):
    module, _, name = ENTRY_POINTS[entry].partition(":")
    lacking = discovery.missing_libraries(discovery.Candidate(entry, ENTRY_POINTS[entry], "autograd_fb"))
    if lacking:  # found by reading the file: those of extras that the tests' extra does not take in
        pytest.skip(f"{' and '.join(lacking)} not installed")
    loaded = importlib.import_module(module)
    assert not name or callable(getattr(loaded, name))
