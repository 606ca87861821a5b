"""`opcheck`: whether an operator of a user keeps what its registrations promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.autograd.fallback import get_autograd_fallback_mode, set_autograd_fallback_mode
from autograd_fb.core.generator import default_generator
from autograd_fb.core.keys import DispatchKeySet, keyset_bits
from autograd_fb.core.pytree import tree_leaves, tree_map
from autograd_fb.core.tags import Tag
from autograd_fb.dispatch.arguments import kind_of
from autograd_fb.dispatch.operator import AUTOGRAD_ALIAS, IMPLICIT_ALIAS, OpOverload
from autograd_fb.dispatch.registry import OpOverloadPacket
from autograd_fb.library.custom_ops import custom_op_of
from autograd_fb.library.schema_check import SchemaCheck
from autograd_fb.tensor.backward import grad
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.tensor import Tensor

Check = Callable[[OpOverload, tuple[Any, ...], dict[str, Any], dict[str, Any]], None]
_TOLERANCES = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float64": (1e-7, 1e-7), "complex128": (1e-7, 1e-7)}
_DATA_DEPENDENT = "the size of the result depends on values"


class OpCheckError(Exception):
    """A check of `opcheck` that failed."""


def opcheck(
    op: Any,
    args: Any,
    kwargs: dict[str, Any] | None = None,
    *,
    test_utils: str | Sequence[str] | None = None,
    raise_exception: bool = True,
    atol: float | None = None,
    rtol: float | None = None,
) -> dict[str, Any]:
    """Check an operator (OpOverload, packet or custom op) with sample arguments, and say how each check went.

    The checks, all of them or those of ``test_utils``, each with copies of the arguments:

    * ``test_schema``: it writes to what its schema says, and shares memory with nothing else.
    * ``test_autograd_registration``: what requires grad does so by a kernel at an autograd key.
    * ``test_faketensor``: on meta it gives the shapes, dtypes and strides that it gives here.
    * ``test_aot_dispatch_dynamic``: results and gradients are the same for the same arguments, up to ``rtol`` and
      ``atol``. (PyTorch compares with a compiled run; there is no compiler here.)

    Returns ``"SUCCESS"`` or the exception per check. OpCheckError for the first that fails, unless ``raise_exception``
    is False. Use it with `gradcheck`, which compares gradients with finite differences. ValueError for what is no
    operator and for unknown checks.

    >>> import autograd_fb as torch
    >>> @torch.library.custom_op("doc_opcheck::first", mutates_args=())
    ... def first(x: torch.Tensor) -> torch.Tensor:
    ...     return x[0]
    >>> result = opcheck(first, (torch.ones(2, 3),), raise_exception=False)
    >>> result["test_schema"]
    RuntimeError('first: The output of this custom operator (1) must not also be an input to this custom operator ...
    """
    overload = _overload(op)
    wanted = (test_utils,) if isinstance(test_utils, str) else tuple(CHECKS if test_utils is None else test_utils)
    if not set(wanted) <= set(CHECKS):
        raise ValueError(
            f"opcheck(op, ..., test_utils={test_utils!r}): expected test_utils to be subset of {tuple(CHECKS)}"
        )
    results: dict[str, Any] = {}
    for name in wanted:
        copies, named = _copied(tuple(args)), _copied(kwargs or {})
        try:
            CHECKS[name](overload, copies, named, {"atol": atol, "rtol": rtol})
            results[name] = "SUCCESS"
        except Exception as error:
            if raise_exception:
                raise OpCheckError(f"opcheck({overload}, ...): {name} failed with {error}") from error
            results[name] = error
    return results


def _overload(op: Any) -> OpOverload:
    custom = custom_op_of(op)
    if custom is not None:
        return custom._opoverload
    if isinstance(op, OpOverloadPacket) and len(op.overloads()) == 1:
        op = getattr(op, op.overloads()[0])
    if not isinstance(op, OpOverload):
        raise ValueError(
            f"opcheck({op!r}, ...): op must be instance of OpOverload, e.g. torch.ops.aten.sin.default, or what "
            f"custom_op made, got {type(op)}"
        )
    return op


def _copied(values: Any) -> Any:
    """Copies of tensors, leaves that require grad where these do; the same tensor is one tensor again."""
    made: dict[int, Tensor] = {}

    def copy(v: Any) -> Any:
        if not isinstance(v, Tensor):
            return v
        if id(v) not in made:
            made[id(v)] = v.detach().clone().requires_grad_(v.requires_grad)
        return made[id(v)]

    return tree_map(copy, values)


# --- the checks


def _schema(op: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], options: Any) -> None:
    with SchemaCheck():
        op(*args, **kwargs)


def _registration(op: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], options: Any) -> None:
    if any(isinstance(v, Tensor) and v.requires_grad for v in tree_leaves((args, kwargs))):
        autograd_registration_check(op, args, kwargs)


def autograd_registration_check(op: OpOverload, args: Any, kwargs: Any) -> None:
    """AssertionError if results require grad though the operator has no kernel at an autograd key.

    RuntimeError if no argument requires grad: then nothing can be told.
    """
    tensors = [v for v in tree_leaves((args, kwargs)) if isinstance(v, Tensor)]
    if not any(t.requires_grad for t in tensors):
        raise RuntimeError(f"autograd_registration_check({op}): no argument requires grad, so nothing can be told")
    brought = [key for t in tensors for key in DispatchKeySet(keyset_bits(t.signature)) if key.is_autograd]
    if any(op.direct(key) is not None for key in (AUTOGRAD_ALIAS, IMPLICIT_ALIAS, *brought)):
        return
    before = get_autograd_fallback_mode()
    set_autograd_fallback_mode("nothing")
    try:
        result = op(*args, **kwargs)
    finally:
        set_autograd_fallback_mode(before)
    outputs = [v for v in tree_leaves(result) if isinstance(v, Tensor) and not any(v is t for t in tensors)]
    if any(v.requires_grad for v in outputs):
        raise AssertionError(
            f"{op}: a result requires grad, but the operator does not have an autograd kernel at an autograd key: "
            "something below records on its own, which means that it is incorrectly registered and its gradients may "
            "be silently wrong. Move an autograd.Function from a kernel for devices to the key Autograd, use "
            "register_autograd, or register what is made of other operators as CompositeImplicitAutograd."
        )


def _fake(op: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], options: Any) -> None:
    metas = tree_map(_on_meta, (args, kwargs))
    for argument in op._schema.arguments:
        if kind_of(argument) == "Device" and argument.name in metas[1]:
            metas[1][argument.name] = "meta"
    try:
        fakes = op(*metas[0], **metas[1])
    except NotImplementedError as error:
        if _DATA_DEPENDENT in str(error):
            return
        raise RuntimeError(f"{op} failed on meta: {error}") from error
    real = op(*args, **kwargs)
    pairs = list(zip(tree_leaves(real), tree_leaves(fakes), strict=True))
    for r, f in pairs:
        if isinstance(r, Tensor) and isinstance(f, Tensor):
            _compare_geometry(op, r, f)


def _on_meta(v: Any) -> Any:
    if not isinstance(v, Tensor):
        return v
    made = call("empty_strided", (list(v.shape), list(v.stride())), {"dtype": v.dtype, "device": "meta"})
    return made.requires_grad_(v.requires_grad)


def _compare_geometry(op: OpOverload, real: Tensor, fake: Tensor) -> None:
    if real.shape != fake.shape:
        raise AssertionError(
            f"{op}: Shapes {tuple(fake.shape)} and {tuple(real.shape)} are not equal (on meta, and here)"
        )
    if real.dtype is not fake.dtype:
        raise AssertionError(f"{op}: dtypes {fake.dtype} and {real.dtype} are not equal (on meta, and here)")
    dims = [i for i, n in enumerate(real.shape) if n > 1] if real.numel() else []
    if any(real.stride()[i] != fake.stride()[i] for i in dims):
        raise AssertionError(f"{op}: Stride mismatch! Strides are {fake.stride()} on meta and {real.stride()} here")


def _repeated(op: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], options: Any) -> None:
    start = default_generator.get_state()
    runs = []
    for _ in range(2):
        copies, named = _copied((args, kwargs))
        default_generator.set_state(start)
        outputs = [v for v in tree_leaves(op(*copies, **named)) if isinstance(v, Tensor)]
        leaves = [v for v in tree_leaves((copies, named)) if isinstance(v, Tensor) and v.requires_grad]
        losses = [o.real.sum() if o.is_complex() else o.sum() for o in outputs if o.requires_grad]
        gradients = grad(sum(losses), leaves, allow_unused=True) if leaves and losses else ()
        runs.append((outputs, gradients))
    if Tag.nondeterministic_seeded in op.tags:
        return
    for what, first, second in zip(("Outputs", "Gradients"), *runs, strict=True):
        text = f"{what} of {op} are different in eager-mode PyTorch vs AOTDispatcher"
        for i, (a, b) in enumerate(zip(first, second, strict=True)):
            if a is not None and b is not None:
                _compare_values(text, i, a, b, options)


def _compare_values(text: str, i: int, a: Tensor, b: Tensor, options: dict[str, Any]) -> None:
    own = _TOLERANCES.get(a.dtype.name, (1.3e-6, 1e-5) if a.dtype.kind in "fc" else (0.0, 0.0))
    rtol, atol = (v if options[name] is None else options[name] for name, v in zip(("rtol", "atol"), own, strict=True))
    if a.shape != b.shape or a.dtype is not b.dtype:
        raise AssertionError(f"{text}: two runs on equal arguments gave {a.shape} {a.dtype} and {b.shape} {b.dtype}")
    if not call("allclose", (a.detach(), b.detach()), {"rtol": rtol, "atol": atol, "equal_nan": True}):
        worst = (a.detach().to(b.dtype) - b.detach()).abs().max().item() if a.dtype.kind in "fc" else "some"
        raise AssertionError(
            f"{text}: two runs on equal arguments gave other values at {i}. Absolute difference: {worst} (up to {atol} "
            f"allowed, and {rtol} of the value). An operator may not depend on what other calls did."
        )


CHECKS: dict[str, Check] = {
    "test_schema": _schema, "test_autograd_registration": _registration, "test_faketensor": _fake,
    "test_aot_dispatch_dynamic": _repeated,
}  # fmt: skip
