"""Module: the base class of layers and networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from autograd_fb.autograd.grad_mode import no_grad
from autograd_fb.core import dtype as dtypes
from autograd_fb.core.device import Device
from autograd_fb.core.dtype import DType
from autograd_fb.nn.modules.hooks import Hooked
from autograd_fb.nn.modules.state_dict import StateDict
from autograd_fb.nn.modules.traversal import Traversal
from autograd_fb.nn.parameter import Buffer, Parameter, forget_grad
from autograd_fb.tensor import factory
from autograd_fb.tensor.functions import empty_like
from autograd_fb.tensor.tensor import Tensor

INTERNAL_FRAMES = True  # a layer's ops are blamed on the line that called the layer
T = TypeVar("T", bound="Module")
_TABLES = ("_parameters", "_buffers", "_modules")


def type_name(value: Any) -> str:
    """How messages name the type of a value: ``torch.FloatTensor`` for tensors, the qualified name for the rest."""
    if isinstance(value, Tensor):
        return str(value.type())
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


class Module(Hooked, StateDict, Traversal):
    """Base class of everything with parameters. Subclasses call ``super().__init__()``, assign layers and parameters
    as attributes, and define ``forward``.

    >>> import autograd_fb as torch
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = Parameter(torch.tensor(3.0))
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> Scale()(torch.ones(2))
    tensor([3., 3.], grad_fn=<MulBackward0>)
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]
    forward: Callable[..., Any]

    def __init__(self) -> None:
        put = super().__setattr__
        put("training", True)
        put("_parameters", {})
        put("_buffers", {})
        put("_modules", {})
        put("_non_persistent_buffers_set", set())
        self._init_hooks(put)

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[no-redef]
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooked:
            return self._call_hooked(args, kwargs)
        return self.forward(*args, **kwargs)

    # --- registration

    def _check_name(self, what: str, name: Any, table: dict[str, Any]) -> None:
        """KeyError or TypeError for a name that cannot be registered."""
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {type_name(name)}")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain "."' + (f", got: {name}" if what == "module" else ""))
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')
        if hasattr(self, name) and name not in table:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name. KeyError for a name that is taken or not valid, TypeError for other values."""
        self._check_name("parameter", name, self.__dict__.get("_parameters", {}))
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type_name(param)}' object to parameter '{name}' (torch.nn.Parameter or None required)"
            )
        if param is not None and not param.is_leaf:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. To "
                f"express '{name}' as a function of another Tensor, compute the value in the forward() method."
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the state and is not learnt; with ``persistent=False`` not to the state dict."""
        self._check_name("buffer", name, self.__dict__.get("_buffers", {}))
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type_name(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        self._buffers[name] = tensor
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under a name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type_name(module)} is not a Module subclass")
        self._check_name("module", name, self.__dict__.get("_modules", {}))
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Alias of `add_module`."""
        self.add_module(name, module)

    # --- attributes

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for table in _TABLES:
            values = own.get(table)
            if values is not None and name in values:
                return values[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._register("parameters", "_parameters", name, value)
        elif isinstance(value, Module):
            self._register("module", "_modules", name, value)
        elif isinstance(value, Buffer):
            self._register("buffer", "_buffers", name, value)
            (self._non_persistent_buffers_set.discard if value.persistent else self._non_persistent_buffers_set.add)(
                name
            )
        else:
            self._set_plain(name, value)

    def _register(self, what: str, table: str, name: str, value: Any) -> None:
        """Put a value into one of the tables, taking the name out of wherever else it stood."""
        own = self.__dict__
        if table not in own:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        own.pop(name, None)
        for other in _TABLES:
            if other != table:
                own[other].pop(name, None)
        self._non_persistent_buffers_set.discard(name)
        if table == "_parameters":
            self.register_parameter(name, value)
        else:
            own[table][name] = value

    def _set_plain(self, name: str, value: Any) -> None:
        own = self.__dict__
        if name in own.get("_parameters", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)"
                )
            self._parameters[name] = None
        elif name in own.get("_modules", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as child module '{name}' (torch.nn.Module or None expected)"
                )
            self._modules[name] = None
        elif name in own.get("_buffers", ()):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as buffer '{name}' "
                    "(torch.nn.Buffer, torch.Tensor or None expected)"
                )
            self._buffers[name] = value
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        for table in _TABLES:
            if name in self.__dict__[table]:
                del self.__dict__[table][name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        return sorted(n for n in names if not n[:1].isdigit())

    # --- modes, dtypes, devices

    def train(self: T, mode: bool = True) -> T:
        """Put this module and all below it into training mode (or evaluation mode)."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: T) -> T:
        return self.train(False)

    def requires_grad_(self: T, requires_grad: bool = True) -> T:
        """Whether gradients of the parameters are to be recorded."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero."""
        for p in self.parameters():
            forget_grad(p, set_to_none)

    def apply(self: T, fn: Callable[[Module], Any]) -> T:
        """Call ``fn`` with every module below this one and then with this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self: T, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> T:
        """Replace all parameters, gradients and buffers by ``fn`` of them; parameters stay the same objects."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for p in self._parameters.values():
            if p is None:
                continue
            with no_grad():
                grad = p.grad
                p.grad = None
                p.data = fn(p.data)
                if grad is not None:
                    p.grad = fn(grad)
        for name, b in self._buffers.items():
            if b is not None:
                self._buffers[name] = fn(b)
        return self

    def to(self: T, *args: Any, **kwargs: Any) -> T:
        """Move and cast in place: ``to(device)``, ``to(dtype)``, ``to(device, dtype)``, ``to(tensor)``.

        A dtype is for floating-point values only: integers keep theirs. TypeError for a dtype that is no such.
        """
        dtype, device, _ = factory.parse_to(args, kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )

        def convert(t: Tensor) -> Tensor:
            wanted = dtype if t.is_floating_point() or t.is_complex() else None
            if t.is_meta and device is not None and device.type != "meta":
                raise NotImplementedError(
                    "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of "
                    "torch.nn.Module.to() when moving module from meta to a different device."
                )
            return factory.to(t, dtype=wanted, device=device)

        return self._apply(convert)

    def _cast(self: T, dtype: DType) -> T:
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def float(self: T) -> T:
        return self._cast(dtypes.float32)

    def double(self: T) -> T:
        return self._cast(dtypes.float64)

    def half(self: T) -> T:
        return self._cast(dtypes.float16)

    def bfloat16(self: T) -> T:
        return self._cast(dtypes.bfloat16)

    def type(self: T, dst_type: Any) -> T:
        return self._apply(lambda t: t.type(dst_type))

    def cpu(self: T) -> T:
        return self._apply(lambda t: t.cpu())

    def cuda(self: T, device: Any = None) -> T:
        return self._apply(lambda t: t.cuda(device))

    def xpu(self: T, device: Any = None) -> T:
        return self._apply(lambda t: t.xpu(device))

    def to_empty(self: T, *, device: Any, recurse: bool = True) -> T:
        """Move to a device without copying values."""
        return self._apply(lambda t: empty_like(t, device=Device(device)), recurse)

    def share_memory(self: T) -> T:
        return self

    # --- text and copies

    def extra_repr(self) -> str:
        """What stands between the parentheses of the module's text, before its children."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({extra})"
        body = lines + children
        return f"{self._get_name()}(" + ("\n  " + "\n  ".join(body) + "\n" if body else "") + ")"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name, table in Module().__dict__.items():
            self.__dict__.setdefault(name, table)
