"""`GradScaler`: losses are scaled up so that gradients in float16 do not vanish, and gradients down before the step."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from autograd_fb.autograd.grad_mode import no_grad
from autograd_fb.core.dtype import float16
from autograd_fb.cuda import is_available as cuda_is_available
from autograd_fb.tensor.calls import call
from autograd_fb.tensor.tensor import Tensor


class OptState(Enum):
    """What was done with an optimizer since the last `GradScaler.update`."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class _Progress:
    """An optimizer since the last update: its state, and whether its gradients were finite (None: not looked at)."""

    def __init__(self) -> None:
        self.state = OptState.READY
        self.finite: bool | None = None


class GradScaler:
    """Scales losses, takes the scale out of gradients, and leaves out steps with gradients that are not finite.

    The scale grows by ``growth_factor`` after ``growth_interval`` steps in a row with finite gradients, and is
    multiplied by ``backoff_factor`` after one without. For device "cuda" a UserWarning, and no scaling, where there is
    none. ValueError for a growth factor of at most 1, a backoff factor of at least 1.

    >>> import autograd_fb as torch
    >>> p = torch.nn.Parameter(torch.ones(1))
    >>> optimizer, scaler = torch.optim.SGD([p], lr=0.5), GradScaler("cpu", init_scale=8.0)
    >>> scaler.scale(p.sum()).backward()
    >>> p.grad
    tensor([8.])
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> p.data
    tensor([0.5000])
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        self._device, self._enabled = device, enabled
        if enabled and device == "cuda" and not cuda_is_available():
            warnings.warn(
                "torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2
            )
            self._enabled = False
        if self._enabled and growth_factor <= 1.0:
            raise ValueError(f"GradScaler: The growth factor must be > 1.0, got {growth_factor}.")
        if self._enabled and backoff_factor >= 1.0:
            raise ValueError(f"GradScaler: The backoff factor must be < 1.0, got {backoff_factor}.")
        self._init_scale = float(init_scale)
        self._scale: float | None = None
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker = growth_interval, 0
        self._optimizers: dict[int, _Progress] = {}

    def scale(self, outputs: Any) -> Any:
        """A tensor, or each of several, times the scale."""
        if not self._enabled:
            return outputs
        self._scale = self.get_scale()
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        if not isinstance(outputs, Iterable):
            raise ValueError(f"outputs must be a Tensor or an iterable of Tensors, got {type(outputs).__name__}")
        scaled = [self.scale(o) for o in outputs]
        return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale; `step` does it if nobody has.

        RuntimeError for a second time since the last update, and after the step; ValueError for float16 gradients.
        """
        if not self._enabled:
            return
        self._check_scaled("unscale_")
        progress = self._of(optimizer)
        if progress.state is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if progress.state is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        with no_grad():
            for p in (p for group in optimizer.param_groups for p in group["params"] if p.grad is not None):
                if p.grad.dtype is float16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                p.grad.mul_(1.0 / self.get_scale())
                finite = bool(call("isfinite", (p.grad,), {}).all())
                progress.finite = finite if progress.finite is None else progress.finite and finite
        progress.state = OptState.UNSCALED

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(...)``, left out if a gradient is not finite. Returns what it returns."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._check_scaled("step")
        progress = self._of(optimizer)
        if progress.state is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if progress.state is OptState.READY:
            self.unscale_(optimizer)
        if progress.finite is None:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = optimizer.step(*args, **kwargs) if progress.finite else None
        progress.state = OptState.STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Change the scale by what the gradients were since the last update, or to ``new_scale``."""
        if not self._enabled:
            return
        self._check_scaled("update")
        assert self._scale is not None
        if new_scale is not None:
            self._scale = float(new_scale)
        else:
            looked_at = [o.finite for o in self._optimizers.values() if o.finite is not None]
            if not looked_at:
                raise AssertionError("No inf checks were recorded prior to update.")
            if not all(looked_at):
                self._scale, self._growth_tracker = self._scale * self._backoff_factor, 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    self._scale, self._growth_tracker = self._scale * self._growth_factor, 0
        self._optimizers.clear()

    def _of(self, optimizer: Any) -> _Progress:
        return self._optimizers.setdefault(id(optimizer), _Progress())

    def _check_scaled(self, what: str) -> None:
        if self._scale is None:
            raise AssertionError(
                f"Attempted {what} but _scale is None.  This may indicate your script did not use scaler.scale(loss or "
                "outputs) earlier in the iteration."
            )

    # --- its numbers

    def get_scale(self) -> float:
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale

    def get_growth_factor(self) -> float:
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors and counts; empty where scaling is off."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(), "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval, "_growth_tracker": self._growth_tracker,
        }  # fmt: skip

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take the state of another one. RuntimeError for an empty one, which is of a scaler that was off."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._init_scale = float(state_dict["scale"])
        self._scale = None if self._scale is None else self._init_scale
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval, self._growth_tracker = state_dict["growth_interval"], state_dict["_growth_tracker"]
