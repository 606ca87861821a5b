"""``torch.backends.cuda``: whether a backend for CUDA is installed, and its switches.

The switches are kept here and read by the backend that serves CUDA (`Backend.tf32_changed`).
"""

from __future__ import annotations

from autograd_fb.backend import discovery, registry
from autograd_fb.core import config

__all__ = ["is_built", "matmul"]


def is_built() -> bool:
    """Whether the library of a backend for CUDA is installed; there need be no GPU."""
    return any(not discovery.missing_libraries(c) for c in discovery.candidates("cuda"))


class _Matmul:
    """How float32 matrices are multiplied."""

    @property
    def allow_tf32(self) -> bool:
        """Whether the tensor cores may round the factors to 10 bits (TF32); off by default."""
        return config.switches.allow_tf32

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        registry.allow_tf32(bool(value))

    @property
    def fp32_precision(self) -> str:
        """``"tf32"`` or ``"ieee"``: the newer name of the same switch."""
        return "tf32" if self.allow_tf32 else "ieee"

    @fp32_precision.setter
    def fp32_precision(self, value: str) -> None:
        if value not in ("tf32", "ieee", "none"):
            raise RuntimeError(f"Invalid precision: {value}; expected 'ieee', 'tf32' or 'none'")
        self.allow_tf32 = value == "tf32"


matmul = _Matmul()
