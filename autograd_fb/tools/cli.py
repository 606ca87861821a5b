"""The command line: ``python -m autograd_fb explain sin --device meta``, ``doctor``, ``backend check``, ``demo``."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from autograd_fb.autograd.grad_mode import set_grad_enabled
from autograd_fb.core import dtype as dtypes
from autograd_fb.core.device import Device
from autograd_fb.core.dtype import DType
from autograd_fb.core.schema import Argument
from autograd_fb.dispatch.arguments import kind_of
from autograd_fb.dispatch.explain import Explanation, explain
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.registry import ops
from autograd_fb.dispatch.waiting import op_name
from autograd_fb.tensor.functions import empty, ones

# A value for each kind of argument that has no default, so that an op can be explained by its name alone.
SAMPLES: dict[str, Any] = {
    "int": 0, "float": 1.0, "bool": True, "Scalar": 2.0, "str": "", "int[]": [0], "float[]": [1.0], "bool[]": [True],
    "ScalarType": dtypes.float32,
}  # fmt: skip


class UsageError(Exception):
    """What the user asked for does not exist; the message is all they need to see."""


def main(argv: Sequence[str] | None = None, version: str = "") -> int:
    """Run a command; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["demo"]:  # the demo reads its own options
        return demo(arguments[1:])
    options = _parser(version).parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except UsageError as error:
        print(f"python -m autograd_fb {options.command}: {error}", file=sys.stderr)
        return 2


def _explain(options: argparse.Namespace) -> None:
    print(explain_by_name(options))


def _doctor(options: argparse.Namespace) -> None:
    print(importlib.import_module("autograd_fb.tools.doctor").report(options.version_text))


def _check_backend(options: argparse.Namespace) -> int:
    """Run the contract on each backend named; 1 if one of them fails, 2 if one is not found or not available."""
    suite = importlib.import_module("autograd_fb.testing.backend_suite")
    worst = 0
    for name in options.names:
        try:
            report = suite.check_backend(name, full=options.full, ops=options.op, checks=options.only)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise UsageError(str(error)) from error
        print(report)
        worst = max(worst, 0 if report.ok else 1)
    return worst


def demo(arguments: list[str]) -> int:
    """Hand over to the demo, where it is installed."""
    module = importlib.import_module("autograd_fb.tools.demo")
    return int(module.main(arguments) or 0)


def _parser(version: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m autograd_fb", description="Automatic differentiation over arrays.")
    parser.add_argument("--version", action="version", version=f"autograd_fb {version}")
    parser.set_defaults(version_text=version)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="command")
    _explain_options(commands)
    doctor = commands.add_parser("doctor", help="show the machine, the array libraries and the backends")
    doctor.set_defaults(run=_doctor)
    backend = commands.add_parser("backend", help="`backend check NAME` runs the contract of backends on one")
    check = backend.add_subparsers(required=True, metavar="check").add_parser("check", help="run the contract")
    check.add_argument("names", nargs="+", metavar="NAME", help="a name of `doctor`, a device type, or a module")
    check.add_argument("--full", action="store_true", help="all dtypes and samples, not one dtype of each kind")
    check.add_argument("--op", nargs="+", metavar="OP", help="these operators alone, as sin or add.Tensor")
    check.add_argument("--only", nargs="+", metavar="CHECK", help="these checks alone, as forward or devices")
    check.set_defaults(run=_check_backend)
    commands.add_parser("demo", help="examples that run in seconds; `demo --help` lists them", add_help=False)
    return parser


def _explain_options(commands: Any) -> None:
    command = commands.add_parser("explain", help="show which kernel a call goes to, and why, without making the call")
    command.add_argument("op", help="an operator: sin, aten::add.Tensor, mylib::op")
    command.add_argument("--device", default="cpu", help="device of the tensor arguments (default: cpu)")
    command.add_argument("--dtype", default="float32", help="dtype of the tensor arguments (default: float32)")
    command.add_argument(
        "--shape",
        nargs="+",
        default=["2,3"],
        metavar="N,N",
        help="shapes of the tensor arguments in turn; the last repeats",
    )
    command.add_argument("--requires-grad", action="store_true", help="the tensor arguments require grad")
    command.add_argument("--no-grad", action="store_true", help="explain the call under no_grad")
    command.set_defaults(run=_explain)


def explain_by_name(options: argparse.Namespace) -> Explanation:
    """Explain the op with tensors as the options say and samples for whatever has no default."""
    op = find_op(options.op)
    make = _TensorMaker(options)
    values = [sample(op, argument, make) for argument in op._schema.arguments]
    with set_grad_enabled(not options.no_grad):
        positional = [v for a, v in zip(op._schema.arguments, values) if not a.kwarg_only]
        named = {a.name: v for a, v in zip(op._schema.arguments, values) if a.kwarg_only}
        return explain(op, *positional, **named)


def find_op(text: str) -> OpOverload:
    """The operator of that name, in namespace aten if none is given; the first overload that takes tensors."""
    try:
        namespace, base, overload = op_name(text)
    except RuntimeError as error:
        raise UsageError(f"cannot read the operator name {text!r}: {str(error).splitlines()[0]}") from None
    packet = getattr(getattr(ops, namespace or "aten"), base, None)
    if packet is None:
        names = dir(getattr(ops, namespace or "aten"))
        near = difflib.get_close_matches(base, names, n=3)
        raise UsageError(f"there is no operator {text!r}." + (f" Did you mean {' or '.join(near)}?" if near else ""))
    overloads = [getattr(packet, name) for name in packet.overloads()]
    wanted = [op for op in overloads if op._overloadname == overload]
    if not wanted and "." in text:
        raise UsageError(f"{packet} has no overload {overload!r}; it has {', '.join(packet.overloads())}")
    tensors = [op for op in overloads if any(a.is_tensor or a.is_tensor_list for a in op._schema.arguments)]
    found: OpOverload = (wanted or tensors or overloads)[0]
    return found


class _TensorMaker:
    """Makes the tensor arguments, shapes in turn."""

    def __init__(self, options: argparse.Namespace):
        try:
            self.device = Device(options.device)
            empty(0, device=self.device)
        except (RuntimeError, AssertionError, ImportError) as error:
            raise UsageError(f"device {options.device!r}: {str(error).splitlines()[0]}") from None
        dtype = getattr(dtypes, options.dtype, None)
        if not isinstance(dtype, DType):
            raise UsageError(f"there is no dtype {options.dtype!r}")
        self.dtype: Any = dtype
        self.requires_grad = options.requires_grad
        try:
            self.shapes = [[int(n) for n in text.split(",") if n] for text in options.shape]
        except ValueError:
            raise UsageError(f"cannot read the shapes {options.shape}; write them as 2,3") from None

    def __call__(self) -> Any:
        shape = self.shapes.pop(0) if len(self.shapes) > 1 else self.shapes[0]
        floating = self.dtype.is_floating_point or self.dtype.is_complex
        return ones(shape, dtype=self.dtype, device=self.device, requires_grad=self.requires_grad and floating)


def sample(op: OpOverload, argument: Argument, make: _TensorMaker) -> Any:
    """A value for an argument: a tensor, its default, or a sample of its type."""
    kind = kind_of(argument)
    if argument.is_tensor_list:
        return [make(), make()]
    if argument.is_tensor:
        return None if argument.has_default_value() else make()
    if argument.name == "device":
        return make.device
    if argument.has_default_value():
        return argument.default_value
    if argument.is_optional:
        return None
    if kind not in SAMPLES:
        raise UsageError(
            f"{op.key} needs a {argument.type} for {argument.name!r}, and there is no sample of that; "
            "use explain() in Python"
        )
    return SAMPLES[kind]
