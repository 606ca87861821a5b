"""Which backends there are: the project's own and those of installed packages, told without loading their libraries.

Note [Finding backends]
    A backend is one file and one entry point of the group ``autograd_fb.backends``. The entry point's name is the
    device type it serves (``cuda``), with a name of its own behind a dot where several may serve it (``xpu.dpnp``); its
    value is a function without arguments that makes the backend. The project's own are listed in `OWN`, so that finding
    the CPU costs no scan of installed packages and a bare checkout needs no installation; a test holds the list to the
    entry points. Of several backends for one device type the first that is available serves it: the one asked for by
    `prefer` or ``AUTOGRAD_FB_BACKENDS=xpu.dpnp,cuda``, then the project's own, then all others by name.

Note [Asking without loading]
    Importing an array library can take seconds, so what can be said without it is: a backend's file is parsed, not run.
    Libraries that it imports at its top and that are not installed make it unavailable. Two constants in the file tell
    more: ``LIBRARY`` is the import name whose version is shown, ``NEEDS`` the shared libraries (``"libcuda.so.1"``) of
    which one must be loadable for a device to be there. An empty ``NEEDS`` says that the backend is available wherever
    its library is installed. Only where neither settles it is the backend loaded and asked.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from autograd_fb.backend.protocol import Backend, check_members

if TYPE_CHECKING:
    import ast

GROUP = "autograd_fb.backends"
VARIABLE = "AUTOGRAD_FB_BACKENDS"
OWN: tuple[tuple[str, str], ...] = (
    ("cpu", "autograd_fb_backends.cpu_numpy:make_backend"),
    ("meta", "autograd_fb_backends.meta:make_backend"),
    ("cpu.torch", "autograd_fb_backends.torch_devices:make_cpu"),
    ("xpu.dpnp", "autograd_fb_backends.xpu_dpnp:make_backend"),
    ("xpu", "autograd_fb_backends.torch_devices:make_xpu"),
    ("mps", "autograd_fb_backends.torch_devices:make_mps"),
    ("hpu", "autograd_fb_backends.torch_devices:make_hpu"),
    ("xla", "autograd_fb_backends.xla_jax:make_backend"),
    ("cuda", "autograd_fb_backends.cuda_cupy:make_backend"),
    ("lazy", "autograd_fb_backends.lazy_dask:make_backend"),
)
_preferred: list[str] = [part.strip() for part in os.environ.get(VARIABLE, "").split(",") if part.strip()]
_warned: set[str] = set()
_made: dict[tuple[str, str], Backend] = {}
_NO_LIBRARIES = ("autograd_fb", "autograd_fb_backends", "array_api_compat")


class Candidate(NamedTuple):
    """A backend that was found, not yet loaded: its entry point, and who brought it."""

    entry: str  # "cuda" or "xpu.dpnp"
    value: str  # "module:function"
    source: str  # the distribution, "autograd_fb" for the project's own

    @property
    def device_type(self) -> str:
        return self.entry.partition(".")[0]

    @property
    def module(self) -> str:
        return self.value.partition(":")[0].strip()

    def __str__(self) -> str:
        return f"'{self.entry}' ({self.value}, from {self.source})"


def candidates(device_type: str | None = None) -> list[Candidate]:
    """All backends, or those of one device type, in the order in which they are tried."""
    found = [Candidate(entry, value, "autograd_fb") for entry, value in OWN]
    if device_type not in ("cpu", "meta") or any(p.partition(".")[0] == device_type for p in _preferred):
        found += sorted(set(_installed()) - set(found))
    if device_type is not None:
        found = [c for c in found if c.device_type == device_type]
    return sorted(found, key=lambda c: _preferred.index(c.entry) if c.entry in _preferred else len(_preferred))


def _installed() -> Iterator[Candidate]:
    """The entry points of all distributions but the project's own."""
    own = {value for _, value in OWN}
    for entry in importlib.import_module("importlib.metadata").entry_points(group=GROUP):
        if entry.value not in own:
            yield Candidate(entry.name, entry.value, entry.dist.name if entry.dist is not None else "unknown")


def prefer(entry: str) -> None:
    """Try the backend of this entry point before all others of its device type."""
    _preferred[:] = [entry, *(p for p in _preferred if p != entry)]


def find_own_folder() -> None:
    """In a bare checkout: make the project's own backends importable."""
    root = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "backends")
    if os.path.isdir(os.path.join(root, "autograd_fb_backends")) and root not in sys.path:
        sys.path.append(root)


def own_module(name: str) -> Any:
    """A module of the project's own backends."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != "autograd_fb_backends":
            raise
        find_own_folder()
        return importlib.import_module(name)


# --- loading


class Unavailable(Exception):
    """A backend that cannot be used here; the message says why."""


def made(candidate: Candidate) -> Backend | None:
    """The backend of an entry point if it was loaded before."""
    return _made.get((candidate.entry, candidate.value))


def make(candidate: Candidate) -> Backend:
    """The backend of an entry point, one object per process, whether or not its device is there.

    `Unavailable` where a library is missing (nothing is imported then) or the file fails; that it fails is warned about
    once.
    """
    found = made(candidate)
    if found is not None:
        return found
    lacking = missing_libraries(candidate)
    if lacking:
        raise Unavailable(_not_installed(lacking))
    try:
        module, _, name = candidate.value.partition(":")
        factory: Any = own_module(module.strip())
        for part in (name.strip() or "make_backend").split("."):
            factory = getattr(factory, part)
        backend: Backend = check_members(factory(), candidate.device_type)
    except Exception as error:
        raise Unavailable(failed(candidate, error)) from error
    _made[candidate.entry, candidate.value] = backend
    return backend


def failed(candidate: Candidate, error: Exception) -> str:
    """Why a backend failed to load; the first time it is warned about by name."""
    reason = f"it failed to load: {type(error).__name__}: {error}"
    if candidate.value not in _warned:
        _warned.add(candidate.value)
        warnings.warn(
            f"The backend {candidate} is left out: {reason}. All others work; repair it, or uninstall what brought it.",
            RuntimeWarning,
            stacklevel=2,
        )
    return reason


def ask(candidate: Candidate, backend: Backend) -> str:
    """Why a loaded backend cannot be used here; "" if it can. Never raises."""
    try:
        if backend.is_available():
            return ""
        return getattr(backend, "unavailable_reason", "") or "it found no such device here"
    except Exception as error:  # is_available must not raise; a backend that does breaks no other
        return failed(candidate, error)


# --- what can be said without loading


@cache
def _source(module: str) -> ast.Module | None:
    """The parsed file of a module, found without importing it or its parents."""
    import ast  # lazy: needed only to list backends

    if module.partition(".")[0] == "autograd_fb_backends" and importlib.util.find_spec("autograd_fb_backends") is None:
        find_own_folder()
    try:
        path: Iterable[str] | None = None
        spec = None
        for i, _ in enumerate(parts := module.split(".")):
            name = ".".join(parts[: i + 1])
            spec = importlib.machinery.PathFinder.find_spec(name, None if path is None else list(path))
            if spec is None:
                return None
            path = spec.submodule_search_locations
        if spec is None or not spec.origin or not spec.origin.endswith(".py"):
            return None
        with open(spec.origin, encoding="utf-8") as file:
            return ast.parse(file.read())
    except (OSError, SyntaxError, ValueError, ImportError):
        return None


def imported(candidate: Candidate) -> list[str]:
    """The libraries that a backend's file imports at its top."""
    import ast  # lazy: needed only to list backends

    tree = _source(candidate.module)
    own = (*_NO_LIBRARIES, candidate.module.partition(".")[0])
    names: dict[str, None] = {}
    for node in tree.body if tree is not None else ():
        given: list[str] = []
        if isinstance(node, ast.Import):
            given = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            given = [node.module]
        for name in (g.partition(".")[0] for g in given):
            if name not in sys.stdlib_module_names and name not in own:
                names[name] = None
    return list(names)


def constant(candidate: Candidate, name: str) -> Any:
    """The value of a constant at the top of a backend's file; None where there is none."""
    import ast  # lazy: needed only to list backends

    tree = _source(candidate.module)
    for node in tree.body if tree is not None else ():
        if not isinstance(node, ast.Assign) or not any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            continue
        try:
            return ast.literal_eval(node.value)
        except (ValueError, TypeError):
            return None
    return None


def library(candidate: Candidate) -> str:
    """The import name of the array library behind a backend, as its file says; "" for none of its own."""
    declared = constant(candidate, "LIBRARY")
    if isinstance(declared, str):
        return declared
    names = [name for name in imported(candidate) if name != "numpy"] or imported(candidate)
    return names[0] if names else ""


def library_of(backend: Backend) -> str:
    """The import name of the library that a loaded backend computes with; "" for one of its own."""
    parts = str(getattr(backend.xp, "__name__", "")).split(".")
    name = parts[1] if parts[0] == "array_api_compat" and len(parts) > 1 else parts[0]
    return "" if name in _NO_LIBRARIES else name


def missing_libraries(candidate: Candidate) -> list[str]:
    """The libraries a backend needs that are not installed."""
    names = dict.fromkeys([library(candidate), *imported(candidate)])
    return [name for name in names if name and not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _not_installed(names: list[str]) -> str:
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} not installed"


@cache
def version(name: str) -> str:
    """The installed version of a library by its import name; "" where it is not known."""
    module = sys.modules.get(name)
    if module is not None and isinstance(getattr(module, "__version__", None), str):
        return str(module.__version__)
    metadata = importlib.import_module("importlib.metadata")
    try:
        return str(metadata.version(name))
    except metadata.PackageNotFoundError:
        pass
    found = {d for d in metadata.packages_distributions().get(name, ())}  # as of cupy, whose distributions are many
    return str(metadata.version(sorted(found)[0])) if found else ""


def cheap_answer(candidate: Candidate) -> str | None:
    """Why a backend is not available, "" if it is; None where only loading it would tell."""
    lacking = missing_libraries(candidate)
    if lacking:
        return _not_installed(lacking)
    needs = constant(candidate, "NEEDS")
    if needs is None:
        return None
    if not needs:
        return ""
    if not any(_loadable(name) for name in needs):
        return f"no driver: none of {', '.join(needs)} can be loaded"
    return None


@cache
def _loadable(name: str) -> bool:
    import ctypes  # lazy: needed only to list backends

    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
