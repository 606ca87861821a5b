"""The backend under test, samples on its device, and what the same calls give on NumPy."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from autograd_fb.aten.row import TABLE
from autograd_fb.backend import discovery, registry
from autograd_fb.backend.protocol import Backend, check_members
from autograd_fb.backend.simulation import simulate
from autograd_fb.core.device import register_device_type
from autograd_fb.testing.op_suite import our_op, tensors_in
from autograd_fb.testing.samples import Sample

torch: Any = importlib.import_module("autograd_fb")  # the public API is what is checked, so no layer's own names


class Target(NamedTuple):
    """The backend under test and the device that its tensors are made on."""

    backend: Backend
    device: Any

    @property
    def has_values(self) -> bool:
        return self.backend.traits.has_values

    def has(self, dtype: str) -> bool:
        """Whether the backend declares a dtype."""
        return not self.backend.traits.dtypes or dtype in self.backend.traits.dtypes

    def lift(self, value: Any, requires_grad: bool = False) -> Any:
        """Arrays as tensors on the device, lists of arrays likewise, named devices as this one."""
        return lift(value, self.device, requires_grad)

    def call(self, key: str, sample: Sample, requires_grad: bool = False) -> tuple[Any, Any]:
        """The arguments and the result of an operator on a sample."""
        return call(key, sample, self.device, requires_grad)

    def host(self, t: Any) -> Any:
        """The values of a tensor of the device, as a NumPy array."""
        t = t.detach().cpu()
        return np.asarray((t.float() if t.dtype is torch.bfloat16 else t).numpy())


def lift(value: Any, device: Any, requires_grad: bool = False) -> Any:
    if isinstance(value, np.ndarray):
        if device.type == "meta":
            strides = [s // value.itemsize for s in value.strides]
            made = torch.empty_strided(list(value.shape), strides, dtype=torch.as_tensor(value).dtype, device=device)
        else:
            made = torch.as_tensor(np.array(value)).to(device)
        return made.requires_grad_() if requires_grad and value.dtype.kind in "fcV" else made
    if isinstance(value, (list, tuple)):
        return type(value)(lift(v, device, requires_grad) for v in value)
    return device if isinstance(value, torch.device) else value


def call(key: str, sample: Sample, device: Any, requires_grad: bool = False, op: Any = None) -> tuple[Any, Any]:
    """The arguments and the result of an operator on a sample, on any device; random ones draw from seed 0."""
    args = lift(sample.args, device, requires_grad)
    kwargs = {k: lift(v, device) for k, v in sample.kwargs.items()}
    row = TABLE[key]
    if not any(True for _ in tensors_in(args)) and any(a.name == "device" for a in row.schema.arguments):
        kwargs["device"] = device
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return args, (op or our_op(key))(*args, **kwargs)


CPU = torch.device("cpu")


# --- finding the backend


def numpy_backend() -> Backend:
    """What the contract compares with."""
    return discovery.make(discovery.Candidate(*discovery.OWN[0], "autograd_fb"))


@contextlib.contextmanager
def use_target(backend: Any, index: int | None = None) -> Iterator[Target]:
    """A backend in charge of its device type for the block, whatever served it before.

    ``backend``: a Backend, its name in `autograd_fb.backends.list`, an entry point, a device type, a module with
    ``make_backend``, or ``"simulated cuda"``. With several devices the second is used (``index`` chooses), since a
    device that is not the first shows what forgets its index. LookupError for what is not found, RuntimeError for what
    is not available here.
    """
    if isinstance(backend, str) and backend.startswith("simulated"):
        with simulate(backend.removeprefix("simulated").strip(" :") or "cuda", 2) as simulation:
            device = simulation.devices[1 if index is None else index]
            yield Target(registry.load(simulation.device_type).backend, device)
        return
    found = backend if isinstance(backend, Backend) else find_backend(backend)
    reason = discovery.ask(discovery.Candidate(found.device_type, type(found).__module__, "you"), found)
    if reason:
        raise RuntimeError(f"backend '{found.name}' is not available: {reason}")
    kind = found.device_type
    if kind == "cpu" and not isinstance(found, type(numpy_backend())):
        raise RuntimeError(
            f"backend '{found.name}' serves the CPU in the place of NumPy, which the contract compares with; check its "
            "library under another device type (a factory of your own may name one)"
        )
    before = registry.BY_DEVICE.get(kind)
    register_device_type(kind)
    registry.put_in_charge(found)
    try:
        if index is None:
            index = 1 if found.device_count() > 1 else 0
        yield Target(found, torch.device(kind) if kind in ("cpu", "meta") else torch.device(kind, index))
    finally:
        if before is not None:
            registry.install(before)
        elif kind not in ("cpu", "meta"):
            registry.BY_DEVICE.pop(kind, None)


def find_backend(name: str) -> Backend:
    """The backend of this name, entry point, device type or module."""
    for candidate in discovery.candidates():
        made = discovery.made(candidate)
        known = (candidate.entry, candidate.device_type, candidate.value, candidate.value.removesuffix(":make_backend"))
        if name in (*known, discovery.library(candidate)) or (made is not None and made.name == name):
            try:
                return discovery.make(candidate)
            except discovery.Unavailable as why:
                raise RuntimeError(f"the backend {candidate} is not available: {why}") from why
    for binding in registry.BY_DEVICE.values():
        if binding.backend.name == name:
            return binding.backend
    module, _, factory = name.partition(":")
    try:
        found: Backend = check_members(getattr(discovery.own_module(module), factory or "make_backend")())
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        names = ", ".join(sorted({c.entry for c in discovery.candidates()}))
        raise LookupError(
            f"no backend is called {name!r}, and there is no module of that name; there are: {names}"
        ) from None
    return found


# --- results that are not unique


def canonical(key: str, results: Sequence[Any]) -> list[Any]:
    """Results whose signs, phases or order are free, as values that are not."""
    make = _CANONICAL.get(key.partition(".")[0])
    return [*results] if make is None else make(*results)


def _svd(u: Any, s: Any, vh: Any) -> list[Any]:
    k = s.shape[-1]
    return [s, (u[..., :k] * s[..., None, :].to(u.dtype)) @ vh[..., :k, :]]


def _eigh(values: Any, vectors: Any) -> list[Any]:
    return [values, (vectors * values[..., None, :].to(vectors.dtype)) @ vectors.mH]


def _qr(q: Any, r: Any) -> list[Any]:
    return [q[..., : r.shape[-2]] @ r] if q.numel() else [r.abs()]


def _eig(values: Any, vectors: Any) -> list[Any]:
    return [_power_sums(values), (vectors * values[..., None, :]) @ torch.linalg.inv(vectors)]


def _power_sums(values: Any) -> Any:
    return torch.stack([(values**p).sum(-1) for p in (1, 2, 3)])


_CANONICAL: dict[str, Any] = {
    "linalg_svd": _svd, "_linalg_svd": _svd, "svd": lambda u, s, v: _svd(u, s, v.mH), "linalg_eigh": _eigh,
    "_linalg_eigh": _eigh, "linalg_qr": _qr, "qr": _qr, "linalg_eig": _eig,
    "linalg_eigvals": lambda values: [_power_sums(values)],
}  # fmt: skip
