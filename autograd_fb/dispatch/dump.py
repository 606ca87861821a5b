"""The dispatcher's state as text, in the format PyTorch prints it in."""

from __future__ import annotations

from collections.abc import Iterator

from autograd_fb.core.keys import DispatchKey, alias_includes, runtime_keys
from autograd_fb.core.schema import parse_schema
from autograd_fb.dispatch.kernel import Kernel
from autograd_fb.dispatch.operator import OpOverload
from autograd_fb.dispatch.registry import all_operators, build_all, find
from autograd_fb.dispatch.waiting import WAITING, op_name, qualified


def find_operator(name: str) -> OpOverload | None:
    """The operator ``"ns::name"`` or ``"ns::name.overload"``, if it is defined."""
    namespace, base, overload = op_name(name)
    return (find(namespace, base) or {}).get(overload)


def dump(name: str) -> str:
    """The registrations of an operator, those in force first; kernels without a schema too, "" for an unknown name."""
    op = find_operator(name)
    kernels = registered(name)
    if op is None and not kernels:
        return ""
    lines = [f"name: {name}"]
    if op is None:
        lines.append("schema: (none)")
    else:
        lines += [f"schema: {op._schema}", f"debug: registered at {_place(op.defined_at)}"]
        lines.append(f"alias analysis kind: {op.alias_analysis}")
    for key, stack in sorted(kernels.items(), key=lambda item: _order(item[0])):
        mark = "[alias]" if key.is_alias else ""
        for kernel in reversed(stack):
            inactive = "" if kernel is stack[-1] else " (inactive)"
            signature = getattr(kernel.fn, "unboxed", "(none) [ boxed ]")
            lines.append(f"{key.name}{mark}{inactive}: {_origin(kernel)} :: {signature}")
    return "\n".join(lines) + "\n"


def _order(key: DispatchKey) -> tuple[object, ...]:
    """The order of PyTorch's enumeration: keys without a backend (its autocast keys are such), of backends, aliases."""
    return key.is_alias, key.backend is not None and key.functionality != "Autocast", key.priority


def registered(name: str) -> dict[DispatchKey, list[Kernel]]:
    """The kernels registered to an operator by key, in order of registration; also while they wait for its schema."""
    op = find_operator(name)
    if op is not None:
        return op.kernels
    kernels: dict[DispatchKey, list[Kernel]] = {}
    for kernel in WAITING.get(op_name(name), ()):
        kernels.setdefault(kernel.key, []).append(kernel)
    return kernels


def dump_table(name: str) -> str:
    """The computed table: per run-time key the kernel in force and the rule by which it is; "" for an unknown name."""
    op = find_operator(name)
    if op is None:
        waiting = [kernel for stack in registered(name).values() for kernel in stack]
        if not waiting:
            return ""
        op = OpOverload(parse_schema("_::no_schema_yet() -> ()"), "")
        for kernel in waiting:
            op.add(kernel)
    return "".join(f"{line}\n" for line in _table(op))


def _table(op: OpOverload) -> Iterator[str]:
    for key in runtime_keys():
        kernel, rule = op.entry_of(key)
        if kernel is not None:
            yield f"{key.name}: {_origin(kernel)} [{rule}]"


def _origin(kernel: Kernel) -> str:
    name = getattr(kernel.fn, "debug_name", "")
    if name:
        return str(name)
    passed_over = "fallthrough " if kernel.kind == "fallthrough" else ""
    return f"{passed_over}registered at {_place(kernel.site)}"


def _place(site: str) -> str:
    """``file:line`` alone: programs read these texts."""
    return site.partition(" (in ")[0]


def all_names() -> list[str]:
    """All operators, and those that only have kernels waiting for a schema."""
    build_all()
    return sorted({op.key for op in all_operators()} | {qualified(name) for name in WAITING})


def dangling() -> list[str]:
    """The dumps of operators that have kernels and no schema."""
    return [dump(qualified(name)) for name in WAITING]


def check_invariants(op: OpOverload) -> None:
    """Raise AssertionError if what is computed disagrees with what is registered."""
    for key, stack in op.kernels.items():
        assert stack, f"{op.key}: an empty list of kernels stands for {key.name}"
        for kernel in stack:
            assert kernel.key is key, f"{op.key}: {kernel} stands in the list of {key.name}"
    for key in runtime_keys():
        cached, fresh = op.entry_of(key), op._compute(key)
        same = cached[0] is fresh[0] or fresh[1] == "ambiguous autogradother"
        assert same and cached[1] == fresh[1], (
            f"{op.key}: the table holds {cached} for {key.name}, computed anew: {fresh}"
        )
        serving = cached[0]
        if serving is not None and serving.key.is_alias:
            assert alias_includes(serving.key, key), f"{op.key}: {serving} serves {key.name}"
    assert op.alive, f"{op.key} is registered but its library is gone"
