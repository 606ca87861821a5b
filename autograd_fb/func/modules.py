"""Modules as functions of their parameters: `functional_call` and `stack_module_state`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Module
from autograd_fb.tensor.tensor import Tensor


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with other parameters and buffers: a dict by name, or a sequence of dicts that name nothing twice.

    Names that are tied in the module are replaced together (``tie_weights``); ``strict`` asks for all names and no
    others. What the
    module writes to its buffers is written to the ones given.

    >>> import autograd_fb as torch
    >>> net = torch.nn.Linear(2, 1)
    >>> torch.func.functional_call(net, {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, torch.ones(2))
    tensor([2.])
    """
    given = _merged(parameter_and_buffer_dicts)
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with reparametrized(module, given, tie_weights, strict):
        return module(*args, **(kwargs or {}))


def _merged(dicts: Any) -> dict[str, Any]:
    if isinstance(dicts, Mapping):
        return dict(dicts)
    if not isinstance(dicts, Sequence):
        raise ValueError(
            f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(dicts)}"
        )
    if not all(isinstance(d, Mapping) for d in dicts):
        raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
    names = [name for d in dicts for name in d]
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if repeated:
        raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous")
    return {name: value for d in dicts for name, value in d.items()}


def _owned(module: Module) -> dict[str, Any]:
    """Every parameter and buffer by name, tied ones under each of their names."""
    return dict([*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)])


@contextmanager
def reparametrized(module: Module, given: dict[str, Any], tie_weights: bool, strict: bool) -> Iterator[None]:
    """For a block, the module has the given tensors in the place of its own."""
    own = _owned(module)
    if tie_weights:
        given = _tied(own, given)
    if strict:
        _check_names(module, own, given)
    saved: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for name, value in given.items():
            table = _table(module, name)
            if table is None:
                continue
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"{value} is not an instance of torch.Tensor")
            last = name.rpartition(".")[2]
            saved.append((table, last, table[last]))
            table[last] = value
        yield
    finally:
        for table, last, value in reversed(saved):
            table[last] = value


def _tied(own: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    names: dict[int, list[str]] = {}
    for name, tensor in own.items():
        names.setdefault(id(tensor), []).append(name)
    out = dict(given)
    for name, value in given.items():
        for tied in names.get(id(own.get(name)), ()):
            if tied in given and given[tied] is not value:
                raise ValueError(
                    f"functional_call got multiple values for keys "
                    f"{sorted(n for n in names[id(own[name])] if n in given)}, which are "
                    "tied. Consider using tie_weights=False"
                )
            out[tied] = value
    return out


def _check_names(module: Module, own: dict[str, Any], given: dict[str, Any]) -> None:
    unexpected, missing = sorted(given.keys() - own.keys()), sorted(own.keys() - given.keys())
    if not (unexpected or missing):
        return
    lines = [f"Error(s) in reparametrizing for {type(module).__name__}:"]
    if unexpected:
        lines.append("\tUnexpected key(s): " + ", ".join(f"'{n}'" for n in unexpected) + ".")
    if missing:
        lines.append("\tMissing key(s): " + ", ".join(f"'{n}'" for n in missing) + ".")
    raise RuntimeError("\n".join(lines))


def _table(module: Any, name: str) -> dict[str, Any] | None:
    """The dict of parameters or buffers that holds a name; None for a name the module does not have."""
    path, _, last = name.rpartition(".")
    for part in path.split(".") if path else ():
        module = module._modules.get(part)
        if module is None:
            return None
    tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
    return next((t for t in tables if last in t), None)


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and the buffers of models of one class, each stacked along a new first dim, for `vmap`.

    The stacked parameters are leaves that require grad where the models' do.

    >>> import autograd_fb as torch
    >>> params, buffers = torch.func.stack_module_state([torch.nn.Linear(2, 3) for _ in range(4)])
    >>> params["weight"].shape
    torch.Size([4, 3, 2])
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or all(not m.training for m in models)):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = _stacked([dict(m.named_parameters()) for m in models])
    return parameters, _stacked([dict(m.named_buffers()) for m in models])


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Make the batch norms of a module use the statistics of the batch only, so that it can be vmapped; returns it."""
    for module in root.modules():
        if (
            "running_mean" in module._buffers
            and getattr(module, "track_running_stats", False)
            and _is_batch_norm(module)
        ):
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                module._buffers[name] = None
            module.track_running_stats = False
    return root


def _is_batch_norm(module: Module) -> bool:
    return isinstance(module, (BatchNorm1d, BatchNorm2d, BatchNorm3d))


def _stacked(states: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: _stack([s[name] for s in states]) for name in states[0]}


def _stack(tensors: list[Tensor]) -> Tensor:
    requires = tensors[0].requires_grad
    if any(t.requires_grad != requires for t in tensors):
        raise RuntimeError("Expected each Tensor to have the same .requires_grad attribute")
    stacked: Tensor = tensor_namespace().stack([t.detach() for t in tensors], 0)
    return stacked.requires_grad_(requires)
