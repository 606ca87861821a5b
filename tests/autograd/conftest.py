"""Tests here that take ``torch`` run twice: on autograd_fb and, where it is installed, on PyTorch.

So what they assert is what PyTorch does, and a test that misunderstands PyTorch fails as well.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from typing import Any

import pytest

LIBRARIES = ["autograd_fb", *(["torch"] if importlib.util.find_spec("torch") else [])]


@pytest.fixture(params=LIBRARIES)
def torch(request: pytest.FixtureRequest) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(request.param)


@pytest.fixture
def ours(torch: Any) -> bool:
    """Whether the library under test is autograd_fb: for what it says more of than PyTorch."""
    return str(torch.__name__) == "autograd_fb"
