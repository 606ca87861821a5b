"""The pytest plugin's option and marker, each in a pytest run of its own.

Most tests give autograd_fb a stand-in for the fallback's report, so that they say exactly what the plugin does with it;
the last ones use the real one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import autograd_fb

ROOT = Path(__file__).resolve().parent.parent.parent

STAND_IN = """
    import types
    import autograd_fb

    MODE = ["warn"]
    LOG = []
    REPORT = []

    def set_mode(mode):
        MODE[0] = mode

    def lose(op, count=1, sites=("model.py:3",)):
        REPORT.append(types.SimpleNamespace(op=op, key="AutogradCPU", count=count, sites=list(sites)))

    autograd_fb.set_autograd_fallback_mode = set_mode
    autograd_fb.get_autograd_fallback_mode = lambda: MODE[0]
    autograd_fb.fallback_report = lambda: list(REPORT)
    autograd_fb.clear_fallback_report = REPORT.clear
    autograd_fb.lose = lose
    autograd_fb.mode = lambda: MODE[0]
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Run the test file in a new pytest that loads the plugin by name, whether or not the project is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "backends")]))

    def start(text: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(text)
        return pytester.runpytest_subprocess("-p", "autograd_fb.testing.pytest_plugin", *arguments)

    return start


def test_with_error_the_test_fails_at_its_end_and_names_the_call(run, pytester):
    pytester.makeconftest(STAND_IN)
    result = run(
        """
        import autograd_fb

        def test_loses():
            autograd_fb.lose("mine::f.out", count=2, sites=("a.py:1", "b.py:2", "c.py:3", "d.py:4"))
            autograd_fb.lose("mine::g")

        def test_keeps():
            pass
        """,
        "--autograd-fallback=error",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*an autograd kernel was not registered*",
            "*mine::f.out at AutogradCPU, 2 times: a.py:1, b.py:2, c.py:3 and 1 more",
            "*mine::g at AutogradCPU, once: model.py:3",
        ]
    )


@pytest.mark.parametrize("mode", ["nothing", "warn"])
def test_the_other_modes_are_set_and_fail_nothing(run, pytester, mode):
    pytester.makeconftest(STAND_IN)
    result = run(
        f"""
        import autograd_fb

        def test_loses():
            assert autograd_fb.mode() == "{mode}"
            autograd_fb.lose("mine::f")
        """,
        f"--autograd-fallback={mode}",
    )
    result.assert_outcomes(passed=1)


def test_a_loss_in_a_fixture_counts_for_the_test_and_a_mode_left_behind_does_not_last(run, pytester):
    pytester.makeconftest(STAND_IN)
    result = run(
        """
        import autograd_fb, pytest

        @pytest.fixture
        def lost():
            autograd_fb.lose("mine::f")

        def test_fixture(lost):
            autograd_fb.set_autograd_fallback_mode("nothing")

        def test_next():
            assert autograd_fb.mode() == "error"
        """,
        "--autograd-fallback=error",
    )
    result.assert_outcomes(passed=1, failed=1)


def test_a_test_that_fails_anyway_keeps_its_error_and_gets_the_lines(run, pytester):
    pytester.makeconftest(STAND_IN)
    result = run(
        """
        import autograd_fb

        def test_loses():
            autograd_fb.lose("mine::f")
            raise ValueError("the test's own")
        """,
        "--autograd-fallback=error",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*ValueError: the test's own", "*- Captured autograd fallback call -*", "*mine::f at AutogradCPU*"]
    )


def test_the_marker_overrides_the_option_and_works_without_it(run, pytester):
    pytester.makeconftest(STAND_IN)
    text = """
        import autograd_fb, pytest

        @pytest.mark.autograd_fallback("nothing")
        def test_meant():
            assert autograd_fb.mode() == "nothing"
            autograd_fb.lose("mine::f")

        @pytest.mark.autograd_fallback("error")
        def test_strict():
            autograd_fb.lose("mine::f")

        def test_plain():
            assert autograd_fb.mode() == DEFAULT
    """
    result = run(text.replace("DEFAULT", "'error'"), "--autograd-fallback=error", "--strict-markers")
    result.assert_outcomes(passed=2, failed=1)
    result = run(text.replace("DEFAULT", "'warn'"), "--strict-markers")
    result.assert_outcomes(passed=2, failed=1)


def test_the_fixture_simulates_for_one_test(run):
    run(
        """
        import autograd_fb as torch, pytest

        def test_devices(simulate):
            sim = simulate("cuda", count=2, dtypes=["float32", "int64", "bool"])
            assert torch.ones(1, device="cuda:1").device.index == 1 and sim.count == 2
            simulate("xpu")
            assert torch.ones(1, device="xpu").cpu().item() == 1.0
            with pytest.raises(NotImplementedError, match="no dtype"):
                torch.ones(1, device="cuda", dtype=torch.float64)

        def test_they_are_gone():
            assert not any(b.name.startswith("simulated") for b in torch.backends.list())
        """
    ).assert_outcomes(passed=2)


def test_a_wrong_mode_is_a_usage_error_that_names_the_choices(run, pytester):
    pytester.makeconftest(STAND_IN)
    result = run("def test_a(): pass", "--autograd-fallback=loud")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--autograd-fallback: invalid choice: 'loud'*"])


def test_a_wrong_marker_fails_its_own_test_only(run):
    result = run("import pytest\n@pytest.mark.autograd_fallback('loud')\ndef test_a(): pass\n\ndef test_b(): pass")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["the marker autograd_fallback('loud') needs one mode: 'nothing', 'warn' or 'error'"])


def test_without_option_and_marker_nothing_is_touched(run, pytester):
    pytester.makeconftest("import autograd_fb\nautograd_fb.set_autograd_fallback_mode = None\n")
    run("def test_a(): pass").assert_outcomes(passed=1)


real = pytest.mark.skipif(
    not (hasattr(autograd_fb, "fallback_report") and hasattr(autograd_fb, "clear_fallback_report")),
    reason="autograd_fb has no fallback_report and clear_fallback_report yet",
)

CUSTOM_OP = """
    import autograd_fb as torch

    library = torch.library.Library("plugin_test", "DEF")
    library.define("double(Tensor x) -> Tensor")
    library.impl("double", lambda x: x.detach() * 2, "CPU")

    def test_differentiated():
        torch.ops.plugin_test.double(torch.ones(3, requires_grad=True))

    def test_not_differentiated():
        torch.ops.plugin_test.double(torch.ones(3))
"""


@real
def test_an_operator_without_derivative_fails_the_test_that_differentiates_it(run):
    result = run(CUSTOM_OP, "--autograd-fallback=error", "-W", "ignore")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*plugin_test::double*at AutogradCPU, once:*.py:8*", "FAILED *test_differentiated*"])


@real
def test_with_nothing_it_passes_without_a_warning(run):
    run(CUSTOM_OP, "--autograd-fallback=nothing", "-W", "error").assert_outcomes(passed=2)
