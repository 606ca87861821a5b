"""Methods of Tensor."""

from __future__ import annotations

from typing import Any


class TensorMethods:
    __slots__ = ()
