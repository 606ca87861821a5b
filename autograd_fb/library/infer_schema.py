"""The schema of an operator from the annotations of a Python function, as ``torch.library.infer_schema`` reads them."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, ForwardRef, NoReturn, Union

from autograd_fb.core.callsite import site_of
from autograd_fb.core.device import Device
from autograd_fb.core.dtype import DType
from autograd_fb.core.tags import Tag
from autograd_fb.library.writing import tags_of

_NONE = type(None)
_SCALAR = frozenset((int, float, bool))
_BASE_NAMES: dict[object, str] = {
    int: "SymInt", float: "float", bool: "bool", str: "str", DType: "ScalarType", Device: "Device",
}
_PARAMETER_TYPES = (
    "Tensor, int, float, bool, str, int | float | bool, dtype and device, each also as Optional; "
    "list or Sequence of Tensor, Optional[Tensor], int, float, bool or int | float | bool; "
    "Optional list or Sequence of int, float or bool"
)
_RETURN_TYPES = "None, Tensor, list[Tensor], int, float, bool, int | float | bool, and tuples of these"


def infer_schema(
    prototype_function: Callable[..., Any],
    /,
    *,
    mutates_args: str | Iterable[str],
    op_name: str | None = None,
    tags: Any = (),
    tensor_type: type | None = None,
) -> str:
    """The schema string of a function with type annotations; without a name unless ``op_name`` gives one.

    ``mutates_args`` names the tensor arguments the function writes to, or is ``"unknown"`` (then all of them).
    ``tags`` with `Tag.inplace` or `Tag.out` make the returns aliases of what is written to.
    ValueError for an annotation or default the schema language does not have. ``tensor_type`` is what counts as
    Tensor in annotations.

    >>> def scale(x: list[int], factor: float = 2.0, *, flag: bool = True) -> int: ...
    >>> infer_schema(scale, mutates_args=(), op_name="my::scale", tensor_type=list)
    'my::scale(SymInt[] x, float factor=2.0, *, bool flag=True) -> SymInt'
    """
    if tensor_type is None:
        from autograd_fb.tensor.tensor import Tensor  # lazy: a schema over other classes needs no tensors

        tensor_type = Tensor
    inference = _Inference(prototype_function, tensor_type)
    given = tags_of(tags)
    if Tag.inplace in given and Tag.out in given:
        raise AssertionError("torch.Tag.inplace and torch.Tag.out are mutually exclusive")
    mutated = _mutated_names(mutates_args)
    if Tag.inplace in given:
        inference.returned_alias = inference.inplace_return(mutated)
    elif Tag.out in given:
        inference.returned_alias = inference.out_return(mutated)
    return inference.schema(mutated, op_name)


def _mutated_names(mutates_args: str | Iterable[str]) -> frozenset[str] | None:
    """The names, or None for "unknown"."""
    problem = (
        "mutates_args must either be a sequence of the names of the arguments that are mutated or the string "
        "'unknown'. "
    )
    if isinstance(mutates_args, str):
        if mutates_args != "unknown":
            raise ValueError(f"{problem}Got the string {mutates_args!r}; for one argument write ({mutates_args!r},).")
        return None
    try:
        return frozenset(mutates_args)
    except TypeError:
        raise TypeError(f"{problem}Got {mutates_args!r}.") from None


class _Inference:
    """One function being read; all errors name it and show its signature."""

    def __init__(self, fn: Callable[..., Any], tensor_type: type) -> None:
        self.fn = fn
        self.signature = inspect.signature(fn)
        self.base_names = {**_BASE_NAMES, tensor_type: "Tensor"}
        self.returned_alias = ""  # the returns of a function that gives back what it writes to

    def fail(self, problem: str) -> NoReturn:
        raise ValueError(f"infer_schema(func): {problem} Got func with signature {self.signature}, {site_of(self.fn)}")

    def schema(self, mutated: frozenset[str] | None, op_name: str | None) -> str:
        parts: list[str] = []
        starred = False
        for index, parameter in enumerate(self.signature.parameters.values()):
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                self.fail("We do not support positional-only args, varargs, or varkwargs.")
            if parameter.kind is parameter.KEYWORD_ONLY and not starred:
                starred = True
                parts.append("*")
            parts.append(self.argument(index, parameter, mutated))
        unknown = (mutated or frozenset()).difference(self.signature.parameters)
        if unknown:
            self.fail(
                f"{set(unknown)} in mutates_args were not found in the custom op's signature. mutates_args should "
                "contain the names of all args that the custom op mutates, or just the string 'unknown' if you don't "
                "know."
            )
        return f"{op_name or ''}({', '.join(parts)}) -> {self.returned()}"

    def argument(self, index: int, parameter: inspect.Parameter, mutated: frozenset[str] | None) -> str:
        name = parameter.name
        if parameter.annotation is parameter.empty:
            self.fail(f"Parameter {name} must have a type annotation.")
        annotation = self.resolve(parameter.annotation)
        text = self.parameter_type(annotation)
        if text is None:
            self.fail(
                f"Parameter {name} has unsupported type {annotation}. {self.tuple_advice(annotation)}"
                f"The valid types are: {_PARAMETER_TYPES}."
            )
        holds_tensors = text.startswith("Tensor")
        if mutated is None:
            written = holds_tensors
        else:
            written = name in mutated
            if written and not holds_tensors:
                self.fail(
                    f"Parameter {name} is in mutable_args but only Tensors or collections of Tensors can be mutated."
                )
        if written:
            text = text.replace("Tensor", f"Tensor(a{index}!)")
        if parameter.default is parameter.empty:
            return f"{text} {name}"
        return f"{text} {name}={self.default(name, parameter.default)}"

    def default(self, name: str, value: Any) -> str:
        if value is None or isinstance(value, (bool, int, float)):
            return str(value)
        if isinstance(value, str):
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            return f'"{escaped}"'
        if isinstance(value, DType):
            return str(value.name)
        if isinstance(value, Device):
            return f'"{value}"'
        self.fail(
            f"Parameter {name} has an unsupported default value type {type(value)}. Supported are None, bool, int, "
            "float, str, dtype and device; take None and fill it in inside the function."
        )

    def inplace_return(self, mutated: frozenset[str] | None) -> str:
        """The return of a function that writes to its first argument and returns it."""
        first = next((p for p in self.signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD), None)
        if first is None:
            self.fail("torch.Tag.inplace requires a positional Tensor argument.")
        if self.parameter_type(first.annotation) != "Tensor":
            self.fail("torch.Tag.inplace requires the first positional argument to be a Tensor.")
        if mutated != frozenset((first.name,)):
            self.fail(
                "torch.Tag.inplace requires mutates_args to contain the first positional argument and no other: "
                f"{{{first.name!r}}}."
            )
        if self.base(self.signature.return_annotation) != "Tensor":
            self.fail("torch.Tag.inplace requires the return annotation to be Tensor.")
        return f"Tensor(a{list(self.signature.parameters).index(first.name)}!)"

    def out_return(self, mutated: frozenset[str] | None) -> str:
        """The returns of a function that writes to keyword-only tensors and returns them in their order."""
        aliases: list[str] = []
        for i, p in enumerate(self.signature.parameters.values()):
            text = self.parameter_type(p.annotation) or ""
            if not (p.name in mutated if mutated is not None else text.startswith("Tensor")):
                continue
            if p.kind is not p.KEYWORD_ONLY:
                self.fail(f"torch.Tag.out requires mutable arguments to be keyword-only, and {p.name} is not.")
            if text != "Tensor":
                self.fail(f"torch.Tag.out only supports Tensor as a mutable argument, and {p.name} is {p.annotation}.")
            aliases.append(f"Tensor(a{i}!)")
        if not aliases:
            self.fail("torch.Tag.out requires at least one mutable keyword-only Tensor argument.")
        annotation = self.resolve(self.signature.return_annotation)
        parts = typing.get_args(annotation) if typing.get_origin(annotation) is tuple else None
        given = [self.base(part) for part in (parts or (annotation,))]
        if given != ["Tensor"] * len(aliases) or (parts is not None) != (len(aliases) > 1):
            self.fail(
                "torch.Tag.out requires the return annotation to name a Tensor for each mutable keyword-only argument: "
                f"there are {len(aliases)}."
            )
        return aliases[0] if parts is None else f"({', '.join(aliases)})"

    def returned(self) -> str:
        annotation = self.signature.return_annotation
        if annotation is inspect.Signature.empty:
            self.fail("No return type annotation was provided. Please add one.")
        if self.returned_alias:
            return self.returned_alias
        annotation = self.resolve(annotation)
        if annotation is None or annotation is _NONE:
            return "()"
        if typing.get_origin(annotation) is tuple:
            texts = [self.return_type(part) for part in typing.get_args(annotation)]
            if None not in texts:
                # A tuple of one is written as a tuple type, so that the kernel's result stays a tuple.
                joined = ", ".join(map(str, texts))
                return f"(({joined}))" if len(texts) == 1 else f"({joined})"
        else:
            text = self.return_type(annotation)
            if text is not None:
                return text
        self.fail(f"Return has unsupported type {annotation}. The valid types are: {_RETURN_TYPES}.")

    # --- annotations

    def resolve(self, annotation: Any) -> Any:
        """The annotation with its strings evaluated where the function was written."""
        if isinstance(annotation, ForwardRef):
            annotation = annotation.__forward_arg__
        if not isinstance(annotation, str):
            return annotation
        function = inspect.unwrap(self.fn)
        code = getattr(function, "__code__", None)
        names: dict[str, Any] = {}
        for name, cell in zip(getattr(code, "co_freevars", ()), getattr(function, "__closure__", None) or ()):
            try:
                names[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
        try:
            return eval(annotation, getattr(function, "__globals__", {}), names)
        except Exception as error:
            self.fail(
                f"Unsupported type annotation {annotation}. It is not a type. ({error}). If you are using 'from "
                "__future__ import annotations', note that annotations are evaluated lazily as strings; make sure all "
                "types referenced in annotations are importable at module scope, not only inside a local function."
            )

    def base(self, annotation: Any) -> str | None:
        """Tensor, int, ... and the union that is Scalar."""
        annotation = self.resolve(annotation)
        if _is_union(annotation) and frozenset(typing.get_args(annotation)) == _SCALAR:
            return "Scalar"
        try:
            return self.base_names.get(annotation)
        except TypeError:  # an unhashable annotation
            return None

    def parameter_type(self, annotation: Any) -> str | None:
        annotation = self.resolve(annotation)
        if annotation is None:
            return None
        optional = False
        if _is_union(annotation) and _NONE in typing.get_args(annotation):
            optional = True
            annotation = Union[tuple(a for a in typing.get_args(annotation) if a is not _NONE)]  # noqa: UP007
        text = self.base(annotation)
        if text is None:
            text = self.list_type(annotation, optional)
        return f"{text}?" if text is not None and optional else text

    def list_type(self, annotation: Any, optional: bool) -> str | None:
        if typing.get_origin(annotation) not in (list, collections.abc.Sequence):
            return None
        (element,) = typing.get_args(annotation)
        text = self.parameter_type(element)
        allowed: tuple[str, ...] = ("SymInt", "float", "bool")
        if not optional:
            allowed += ("Tensor", "Tensor?", "Scalar")
        return f"{text}[]" if text in allowed else None

    def return_type(self, annotation: Any) -> str | None:
        annotation = self.resolve(annotation)
        if typing.get_origin(annotation) is list:
            return "Tensor[]" if self.base(typing.get_args(annotation)[0]) == "Tensor" else None
        text = self.base(annotation)
        return text if text in ("Tensor", "SymInt", "float", "bool", "Scalar") else None

    def tuple_advice(self, annotation: Any) -> str:
        if typing.get_origin(annotation) is not tuple:
            return ""
        elements = [a for a in typing.get_args(annotation) if a is not Ellipsis]
        advice = "We do not support Tuple inputs in schema. As a workaround, please try to use List instead."
        if elements and all(e == elements[0] for e in elements):
            advice += f" For example, list[{inspect.formatannotation(elements[0])}]."
        return f"{advice}\n\n"


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (Union, types.UnionType)
