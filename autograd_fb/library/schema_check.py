"""`SchemaCheck`: whether operators write to, return and share memory with what their schemas say, and nothing else."""

from __future__ import annotations

from itertools import combinations
from types import TracebackType
from typing import Any, NamedTuple

from autograd_fb.autograd import python_key
from autograd_fb.core.keys import PYTHON
from autograd_fb.core.schema import Argument, FunctionSchema
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.library.aliasing import shares_memory, tensors_in
from autograd_fb.tensor.dispatching import attributes
from autograd_fb.tensor.tensor import Tensor

# Their schemas are known to leave out what they share.
_UNSAFE = ("aten::_unsafe_view", "aten::unsafe_split", "aten::unsafe_chunk", "aten::unsafe_split_with_sizes")


class _Given(NamedTuple):
    """An argument of a call."""

    argument: Argument
    name: str  # as functions call it: ``input`` for ``self``
    value: Any
    tensors: list[Tensor]
    before: list[Any]  # what each tensor was before the call


class SchemaCheck:
    """A dispatch mode that makes each call as it is and compares what it did with the schema.

    RuntimeError for an argument that was written to, or is in the memory of a result, and for results that share
    memory, unless the schema says so; and for an argument handed back that is not written to. ``ops`` names the
    operators seen, ``mutated`` and ``aliasing`` what happened as declared.

    >>> import autograd_fb as torch
    >>> x = torch.ones(2)
    >>> with SchemaCheck() as check:
    ...     y = x.sinh_().view(2, 1)
    >>> check.mutated, check.aliasing[1]
    ([('aten::sinh_', 'input')], ('aten::view', 'input', 'output_0'))
    """

    def __init__(self) -> None:
        self.ops: list[str] = []
        self.mutated: list[tuple[str, str]] = []
        self.aliasing: list[tuple[str, str, str]] = []

    def __enter__(self) -> Any:
        python_key.push(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        python_key.pop()

    def reset_cache(self) -> None:
        """Forget what was seen."""
        self.ops.clear()
        self.mutated.clear()
        self.aliasing.clear()

    def display_ops(self) -> None:
        """Print the names of the operators seen."""
        print(*self.ops, sep=",")

    def __torch_dispatch__(self, func: OpOverload, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        schema = func._schema
        self.ops.append(schema.name)
        given = _arguments(schema, args, kwargs or {})
        result = func(*args, **(kwargs or {}))
        outputs = result if len(schema.returns) > 1 else () if result is None else (result,)
        for item in given:
            for j, output in enumerate(outputs):
                self._check_shared(schema, item, given, j, output)
                if output is item.value and func.row is None:  # operators of the table hand on what need not change
                    _check_handed_back(schema, item, given, j)
            self._check_written(schema, item, given)
        for (i, a), (j, b) in combinations(enumerate(outputs), 2):
            if _share(a, b) and not _may_alias(schema.returns[i], schema.returns[j]):
                raise RuntimeError(f"{schema.name}: Outputs {i} and {j} alias unexpectedly. Schema: {schema}")
        return result

    def _check_written(self, schema: FunctionSchema, item: _Given, given: list[_Given]) -> None:
        if not _written(item):
            return
        if not _may_be_written(item, given):
            raise RuntimeError(f"{schema.name}: Argument {item.name} is not defined as mutable but was mutated")
        self.mutated.append((schema.name, item.name))

    def _check_shared(self, schema: FunctionSchema, item: _Given, given: list[_Given], j: int, output: Any) -> None:
        if _share(output, item.value) and schema.name not in _UNSAFE:
            others = [o for o in given if o is item or _share(o.value, item.value)]
            if not any(_may_alias(o.argument, schema.returns[min(j, len(schema.returns) - 1)]) for o in others):
                raise RuntimeError(
                    f"{schema.name}: Argument {item.name} is not defined to alias output but was aliasing"
                )
            self.aliasing.append((schema.name, item.name, f"output_{j}"))


def _check_handed_back(schema: FunctionSchema, item: _Given, given: list[_Given], j: int) -> None:
    if isinstance(item.value, Tensor) and not _may_be_written(item, given):
        raise RuntimeError(
            f"{schema.name}: Dispatcher operators below autograd are not allowed to directly return inputs, but "
            f"outputs[{j}] is {item.name}. Return a view of it (x.view_as(x))."
        )


def _arguments(schema: FunctionSchema, args: Any, kwargs: dict[str, Any]) -> list[_Given]:
    out = []
    for argument, value in zip(schema.arguments, schema.bind(args, kwargs), strict=True):
        tensors = _held_in(value)
        if tensors:
            name = "input" if argument.name == "self" else argument.name
            out.append(_Given(argument, name, value, tensors, [_looks(t) for t in tensors]))
    return out


def _held_in(value: Any) -> list[Tensor]:
    """The tensors in a value; of one without memory of its own what its class holds."""
    out: list[Tensor] = []
    for t in tensors_in([value]):
        held = list(tensors_in(attributes(t).values())) if t.signature & PYTHON else []
        out += held or [t]
    return out


def _looks(t: Tensor) -> Any:
    """What a write would change: shape, strides and values, these where there are some."""
    backend = t.binding.backend
    values = backend.to_numpy(t.array).copy() if backend.traits.has_values else None
    return tuple(t.shape), t.stride(), values


def _written(item: _Given) -> bool:
    now = _held_in(item.value)
    if any(a is not b for a, b in zip(now, item.tensors, strict=True)):
        return True  # its class holds another one
    return any(_differs(t, before) for t, before in zip(now, item.before, strict=True))


def _differs(t: Tensor, before: Any) -> bool:
    shape, strides, values = _looks(t)
    if (shape, strides) != before[:2]:
        return True
    return values is not None and bool((values != before[2])[(values == values) | (before[2] == before[2])].any())


def _share(a: Any, b: Any) -> bool:
    return any(shares_memory(x, y) for x in _held_in(a) for y in _held_in(b))


def _may_be_written(item: _Given, given: list[_Given]) -> bool:
    """Whether the schema has the argument written to, or another one over the same memory."""
    return any(o.argument.is_write and (o is item or _share(o.value, item.value)) for o in given)


def _may_alias(a: Argument, b: Argument) -> bool:
    """Whether a schema has two of its arguments or returns share memory."""
    if a.alias_info is None or b.alias_info is None:
        return False
    ours, theirs = (i.before_set | i.after_set for i in (a.alias_info, b.alias_info))
    return bool(ours & theirs) or "*" in ours | theirs
