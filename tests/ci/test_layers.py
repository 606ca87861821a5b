"""The layer gate finds each kind of violation at its line, and lets through what the architecture allows."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from ci import layers


@pytest.fixture
def tree(tmp_path: Path):
    """Write files into a small project and return the report's lines."""
    for member in ("core", "dispatch", "aten", "graph", "backend", "tensor", "autograd", "nn", "testing"):
        (tmp_path / "autograd_fb" / member).mkdir(parents=True)
        (tmp_path / "autograd_fb" / member / "__init__.py").touch()
    (tmp_path / "autograd_fb" / "__init__.py").touch()
    (tmp_path / "autograd_fb" / "backend" / "protocol.py").touch()
    (tmp_path / "autograd_fb" / "core" / "dtype.py").touch()
    (tmp_path / "backends" / "autograd_fb_backends").mkdir(parents=True)

    def report(**files: str) -> list[str]:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.with_suffix(".py").write_text(textwrap.dedent(text))
        return [str(violation) for violation in layers.check(tmp_path)]

    return report


def test_an_upward_import_is_reported_with_file_and_line(tree):
    assert tree(autograd_fb__core__a="import sys\nfrom autograd_fb.tensor import x\n") == [
        "autograd_fb/core/a.py:2: core (layer 0) imports autograd_fb.tensor (layer 4); "
        "move the shared part to a lower layer, or let the upper layer hand it in"
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "import autograd_fb.dispatch",
        "from autograd_fb import dispatch",
        "from ..dispatch import x",
        "from .. import dispatch",
        "from autograd_fb.dispatch.keys import x",
    ],
)
def test_every_spelling_of_an_import_is_understood(tree, statement):
    (line,) = tree(autograd_fb__core__a=statement + "\n")
    assert line.startswith("autograd_fb/core/a.py:1: core (layer 0) imports autograd_fb.dispatch")


@pytest.mark.parametrize("member, other", [("graph", "backend"), ("backend", "graph")])
def test_graph_and_backend_do_not_see_each_other(tree, member, other):
    (line,) = tree(**{f"autograd_fb__{member}__a": f"from autograd_fb.{other} import x\n"})
    assert line == (
        f"autograd_fb/{member}/a.py:1: {member} (layer 3) imports autograd_fb.{other} (layer 3); "
        "the two do not see each other"
    )


def test_downward_imports_and_imports_among_surfaces_are_allowed(tree):
    assert tree(
        autograd_fb__tensor__a="from autograd_fb.core.dtype import x\nfrom autograd_fb import graph\nfrom . import b\n",
        autograd_fb__tensor__b="import math\n",
        autograd_fb__testing__a="import numpy\nfrom autograd_fb.nn import x\n\ndef f():\n    import autograd_fb\n",
        autograd_fb__linalg="from autograd_fb.autograd import x\n",
    ) == []


def test_a_surface_does_not_import_the_top_package_when_it_is_loaded(tree):
    (line,) = tree(autograd_fb__nn__a="from autograd_fb import Tensor\n")
    assert "nn (layer 8) imports autograd_fb (layer 9); import from the package that defines the name" in line


def test_an_import_in_a_function_needs_a_reason_below_the_surfaces(tree):
    text = """
        def f():
            import math
            import json  # lazy: only for printing
            import re  # lazy:
    """
    assert [line.split(": ")[0] for line in tree(autograd_fb__dispatch__a=text)] == [
        "autograd_fb/dispatch/a.py:3",
        "autograd_fb/dispatch/a.py:5",
    ]


def test_a_reason_does_not_excuse_the_direction(tree):
    text = "def f():\n    from autograd_fb.tensor import x  # lazy: a cycle\n"
    (line,) = tree(autograd_fb__core__a=text)
    assert line.startswith("autograd_fb/core/a.py:2: core (layer 0) imports autograd_fb.tensor")


def test_imports_for_type_checkers_may_point_anywhere_and_their_else_may_not(tree):
    text = """
        import typing
        if typing.TYPE_CHECKING:
            from autograd_fb.tensor import Tensor
        else:
            from autograd_fb.autograd import x
    """
    assert [line.split(": ")[0] for line in tree(autograd_fb__core__a=text)] == ["autograd_fb/core/a.py:6"]


@pytest.mark.parametrize("library", ["numpy", "cupy", "jax", "torch", "dask.array", "array_api_compat.numpy", "scipy"])
@pytest.mark.parametrize("member", ["core", "autograd", "nn"])
def test_array_libraries_are_known_by_name_to_backends_only(tree, member, library):
    (line,) = tree(**{f"autograd_fb__{member}__a": f"import {library}\n"})
    assert line.startswith(f"autograd_fb/{member}/a.py:1: {member} imports the array library {library};")


def test_other_packages_are_for_surfaces_only(tree):
    (line,) = tree(autograd_fb__graph__a="import tqdm\n", autograd_fb__nn__a="import tqdm\n")
    assert line == "autograd_fb/graph/a.py:1: graph imports tqdm; layers 0 to 7 use the standard library only"


def test_a_backend_sees_core_and_the_protocol(tree):
    lines = tree(
        backends__autograd_fb_backends__a="""
            import numpy
            from autograd_fb.core.dtype import x
            from autograd_fb.backend import protocol
            from autograd_fb.backend.protocol import Backend
            from autograd_fb.backend import registry
            def f():
                from autograd_fb.tensor import Tensor
        """
    )
    assert [line.split("; ")[0] for line in lines] == [
        "backends/autograd_fb_backends/a.py:6: a backend imports autograd_fb.backend",
        "backends/autograd_fb_backends/a.py:8: a backend imports autograd_fb.tensor",
    ]


def test_long_files_and_functions_are_reported_except_tables_and_generated_files(tree):
    long = "x = 1\n" * 601
    lines = tree(
        autograd_fb__nn__long=long,
        autograd_fb__nn__made='"""Generated by ci/generate.py."""\n' + long,
        autograd_fb__aten__rows=long,
        autograd_fb__aten__row=long,
        autograd_fb__nn__short="x = 1\n" * 600,
    )
    assert lines == [
        "autograd_fb/aten/row.py:1: 601 lines; a file has at most 600: split it by job",
        "autograd_fb/nn/long.py:1: 601 lines; a file has at most 600: split it by job",
    ]


def test_the_docstring_does_not_count_as_length_of_a_function(tree):
    body = "    x = 1\n"
    docstring = '    """One.\n' + "    more\n" * 30 + '    """\n'
    assert tree(autograd_fb__nn__a="def f():\n" + docstring + body * 59) == []
    assert tree(autograd_fb__nn__a="def f():\n" + docstring + body * 60) == [
        "autograd_fb/nn/a.py:1: f has 61 lines; a function has at most 60"
    ]


def test_classes_are_not_patched_when_a_module_is_imported(tree):
    text = """
        from autograd_fb.core.dtype import DType, table
        class Mine: ...
        for name in ("a", "b"):
            setattr(Mine, name, 1)
        DType.size = 8
        Mine.instance = Mine()
        table.size = 3
        def f(object):
            setattr(object, "a", 1)
    """
    assert [line.split(";")[0] for line in tree(autograd_fb__nn__a=text)] == [
        "autograd_fb/nn/a.py:5: setattr at module level",
        "autograd_fb/nn/a.py:6: DType.size is set at module level",
    ]


def test_a_file_that_does_not_parse_is_reported(tree):
    (line,) = tree(autograd_fb__nn__a="x = 1\ndef f(:\n")
    assert line.startswith("autograd_fb/nn/a.py:2: not valid Python")


def test_the_layers_are_those_of_the_documentation():
    text = Path(layers.__file__).parent.parent.joinpath("docs", "architecture.md").read_text()
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| ") and "`/`" not in line]
    documented = {
        package.strip(" `/"): int(number)
        for number, packages in rows
        if number.strip().isdigit() and int(number) < layers.SURFACE
        for package in packages.split(",")
    }
    assert documented == layers.LAYERS
