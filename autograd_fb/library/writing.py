"""Operators that write to an argument and return it: those tagged `Tag.inplace` and `Tag.out`.

The tag is a promise that the schema has to keep when the operator is defined, and every kernel of a custom op when it
is called. In return shapes need no fake, and an ``out=`` operator refuses to be recorded, as built-in ones do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from autograd_fb.core.schema import Argument, FunctionSchema
from autograd_fb.core.tags import Tag
from autograd_fb.dispatch.operator import OpOverload


def tags_of(tags: Any) -> list[Tag]:
    """Tags given as one, several or None, each once."""
    if tags is None:
        return []
    return list(dict.fromkeys(tags if isinstance(tags, Iterable) else (tags,)))


def check_tags(schema: FunctionSchema, tags: Sequence[Tag]) -> None:
    """Raise ValueError for a schema that does not do what its tags say."""
    if Tag.out in tags:
        _check_out(schema)
    if Tag.inplace in tags:
        _check_inplace(schema)


def _check_out(schema: FunctionSchema) -> None:
    written = [a for a in schema.arguments if a.is_write]
    if not written:
        _refuse(Tag.out, "must have at least one mutable argument", schema)
    positional = [a.name for a in written if not a.kwarg_only]
    if positional:
        _refuse(Tag.out, f"takes its mutable arguments keyword-only (after the *), but {positional} are not", schema)
    others = [a.name for a in written if str(a.type) != "Tensor"]
    if others:
        _refuse(Tag.out, f"only supports Tensor arguments as mutable ones, but {others} are something else", schema)
    if len(schema.returns) != len(written):
        _refuse(
            Tag.out,
            f"must return all its mutable arguments: there are {len(written)} and {len(schema.returns)} returns",
            schema,
        )
    for i, (returned, argument) in enumerate(zip(schema.returns, written, strict=True)):
        if not _same_memory(returned, argument):
            _refuse(Tag.out, f"return {i} must alias the mutable argument '{argument.name}'", schema)


def _check_inplace(schema: FunctionSchema) -> None:
    if not schema.arguments or schema.arguments[0].kwarg_only:
        _refuse(Tag.inplace, "must have at least one positional argument", schema)
    first, *rest = schema.arguments
    if not first.is_write:
        _refuse(Tag.inplace, "needs the first positional argument to be mutable (Tensor(a!))", schema)
    if str(first.type) != "Tensor":
        _refuse(Tag.inplace, f"needs the first positional argument to be a Tensor, not {first.type}", schema)
    if len(schema.returns) != 1:
        _refuse(Tag.inplace, f"must return its first argument, not {len(schema.returns)} values", schema)
    if not _same_memory(schema.returns[0], first):
        _refuse(Tag.inplace, "must return the first mutable argument (return must alias it: Tensor(a!))", schema)
    others = [a.name for a in rest if a.is_write]
    if others:
        _refuse(Tag.inplace, f"must only mutate the first positional argument, not {others}", schema)


def _refuse(tag: Tag, problem: str, schema: FunctionSchema) -> None:
    raise ValueError(f"Schema tagged with torch.{tag}: it {problem}. Got: {schema}")


def _same_memory(returned: Argument, argument: Argument) -> bool:
    theirs, ours = returned.alias_info, argument.alias_info
    return (
        str(returned.type) == "Tensor" and theirs is not None and ours is not None and theirs.is_write
        and theirs.before_set == ours.before_set
    )


class Writes:
    """What an operator promised by its tags to return, and whether it does."""

    def __init__(self, op: OpOverload):
        self.op = op
        self.tag = next((tag for tag in (Tag.out, Tag.inplace) if tag in op.tags), None)
        self._outs = tuple(a.name for a in op._schema.arguments if a.is_write)

    def promised(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The arguments that the operator returns."""
        if self.tag is Tag.inplace:
            return args[0]
        outs = tuple(kwargs[name] for name in self._outs)
        return outs[0] if len(outs) == 1 else outs

    def check_result(self, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> None:
        """Raise RuntimeError if a kernel returned something else."""
        due = self.promised(args, kwargs)
        if isinstance(due, tuple):
            kept = isinstance(result, tuple) and len(result) == len(due) and all(map(_is, result, due))
        else:
            kept = result is due
        if not kept:
            what = "first argument" if self.tag is Tag.inplace else f"mutable keyword-only arguments {self._outs}"
            raise RuntimeError(f"{self.op}: an operator tagged with torch.{self.tag} must return its {what}.")


def _is(a: object, b: object) -> bool:
    return a is b
