"""Saving and loading what a module has learnt: ``state_dict`` and ``load_state_dict``, in PyTorch's format."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from autograd_fb.autograd.grad_mode import no_grad
from autograd_fb.graph.node import Handle
from autograd_fb.nn.parameter import Parameter
from autograd_fb.tensor.tensor import Tensor

EXTRA = "_extra_state"


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class _IncompatibleKeys(_Keys):
    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"

    __str__ = __repr__


class _Loading(NamedTuple):
    """What one load collects on its way through the modules."""

    missing: list[str]
    unexpected: list[str]
    errors: list[str]


class StateDict:
    """Mixed into Module. ``_version`` is a subclass's number for the layout of its state."""

    _version: int = 1
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]
    _state_dict_pre_hooks: OrderedDict[int, Any]
    _state_dict_hooks: OrderedDict[int, Any]
    _load_state_dict_pre_hooks: OrderedDict[int, Any]
    _load_state_dict_post_hooks: OrderedDict[int, Any]

    # --- saving

    def get_extra_state(self) -> Any:
        """Further state to save; a module that defines this defines `set_extra_state` too."""
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be called.")

    def set_extra_state(self, state: Any) -> None:
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be called.")

    def _has_extra(self) -> bool:
        return type(self).get_extra_state is not StateDict.get_extra_state

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """Parameters and persistent buffers by dotted name, detached unless ``keep_vars``: the very memory, not copies.

        >>> import autograd_fb as torch
        >>> list(torch.nn.Linear(2, 3).state_dict())
        ['weight', 'bias']
        """
        if args:  # the order before the arguments became keyword-only
            given = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
            return self.state_dict(**{"prefix": prefix, "keep_vars": keep_vars, **given})
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata: dict[str, Any] = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, metadata)
            destination = destination if result is None else result
        return destination

    def _persistent_buffers(self) -> dict[str, Any]:
        return {n: b for n, b in self._buffers.items() if n not in self._non_persistent_buffers_set}

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, value in {**self._parameters, **self._persistent_buffers()}.items():
            if value is not None:
                destination[prefix + name] = value if keep_vars else value.detach()
        if self._has_extra():
            destination[prefix + EXTRA] = self.get_extra_state()

    # --- loading

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Copy values in by name (``assign=True`` takes the tensors themselves). Returns the missing and unexpected
        keys.

        RuntimeError that lists every problem: shapes that differ and, when ``strict``, missing or unexpected keys.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        loading = _Loading([], [], [])
        values = OrderedDict(state_dict)
        metadata = getattr(state_dict, "_metadata", None) or {}
        self._load(values, "", metadata, assign, loading)
        errors = list(loading.errors)
        if strict:
            for keys, kind in ((loading.missing, "Missing"), (loading.unexpected, "Unexpected")):
                if keys:
                    listed = ", ".join(f'"{k}"' for k in keys)
                    errors.insert(
                        0 if kind == "Missing" else bool(loading.missing), f"{kind} key(s) in state_dict: {listed}. "
                    )
        if errors:
            text = "\n\t".join(errors)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{text}")
        return _IncompatibleKeys(loading.missing, loading.unexpected)

    def _load(self, values: Any, prefix: str, metadata: Any, assign: bool, loading: _Loading) -> None:
        own = dict(metadata.get(prefix[:-1], {}))
        if assign:
            own["assign_to_params_buffers"] = True
        self._load_from_state_dict(values, prefix, own, True, *loading)
        for name, module in self._modules.items():
            if module is not None:
                below = {k: v for k, v in values.items() if k.startswith(f"{prefix}{name}.")}
                module._load(below, f"{prefix}{name}.", metadata, assign, loading)
        keys = _IncompatibleKeys(loading.missing, loading.unexpected)
        for hook in self._load_state_dict_post_hooks.values():
            if hook(self, keys) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new "
                    "values, if "
                    "incompatible_keys need to be modified, it should be done inplace."
                )

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
        unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        """This module's own values, without those of its children; problems are added to the lists."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, target in {**self._parameters, **self._persistent_buffers()}.items():
            if target is None:
                continue
            if prefix + name not in state_dict:
                if strict:
                    missing_keys.append(prefix + name)
                continue
            self._load_one(name, target, state_dict[prefix + name], prefix, assign, error_msgs)
        extra = prefix + EXTRA
        if self._has_extra():
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            elif strict:
                missing_keys.append(extra)
        for key in state_dict if strict else ():
            if key.startswith(prefix) and (key != extra or not self._has_extra()):
                head, dot, _ = key[len(prefix) :].partition(".")
                known = head in self._modules if dot else head in self._parameters or head in self._persistent_buffers()
                if not known:
                    unexpected_keys.append(key)

    def _load_one(self, name: str, target: Tensor, value: Any, prefix: str, assign: bool, errors: list[str]) -> None:
        key = prefix + name
        if not isinstance(value, Tensor):
            errors.append(
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from '
                "checkpoint but "
                f"received {type(value)}"
            )
            return
        if target.ndim == 0 and tuple(value.shape) == (1,):
            value = value[0]
        if target.shape != value.shape:
            errors.append(
                f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, the shape in "
                "current "
                f"model is {target.shape}."
            )
            return
        try:
            if assign:
                wanted = isinstance(target, Parameter) and not isinstance(value, Parameter)
                setattr(self, name, Parameter(value, target.requires_grad) if wanted else value)
            else:
                with no_grad():
                    target.copy_(value)
        except Exception as error:  # all problems are told together
            errors.append(
                f'While copying the parameter named "{key}", whose dimensions in the model are {target.shape} and '
                "whose "
                f"dimensions in the checkpoint are {value.shape}, an exception occurred : {error.args}."
            )

    # --- hooks

    def register_state_dict_pre_hook(self, hook: Any) -> Handle:
        """Call ``hook(module, prefix, keep_vars)`` before `state_dict` collects."""
        return Handle.add(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Any) -> Handle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after `state_dict` collected."""
        return Handle.add(self._state_dict_hooks, hook)

    _register_state_dict_hook = register_state_dict_post_hook

    def register_load_state_dict_pre_hook(self, hook: Any) -> Handle:
        """Call ``hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors)`` before loading."""
        return Handle.add(self._load_state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook: Any) -> Handle:
        """Call ``hook(module, incompatible_keys)`` after loading; it may change the lists."""
        return Handle.add(self._load_state_dict_post_hooks, hook)
