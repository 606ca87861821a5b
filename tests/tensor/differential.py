"""Runs an expression with both packages and compares what is seen: the text of the result, or the error."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np

import autograd_fb


def _with_default_device(M: Any) -> Any:
    with M.device("meta"):
        made = M.ones(2), M.tensor([1.0]), M.zeros_like(M.ones(1))
    return [t.device for t in made], M.ones(1).device


def outcome(M: Any, source: str) -> str:
    """What ``a; b; c`` gives: the statements are run, the last is an expression whose repr counts."""
    scope: dict[str, Any] = {
        "M": M, "np": np, "copy": copy, "pickle": pickle, "with_default_device": _with_default_device,
    }  # fmt: skip
    *statements, last = source.split("; ")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for statement in statements:
                exec(statement, scope)
            text = repr(eval(last, scope))
        except Exception as error:
            lines = str(error).splitlines()
            return f"{type(error).__name__}: {lines[0].rstrip() if lines else ''}"
    return text.replace("autograd_fb.tensor.tensor.", "torch.").replace("autograd_fb", "torch")


def differences(reference: Any, sources: str) -> list[tuple[str, str, str]]:
    """The lines of ``sources`` whose outcomes differ, with both."""
    found = []
    for source in sources.strip().splitlines():
        want, got = outcome(reference, source), outcome(autograd_fb, source)
        if want != got:
            found.append((source, want, got))
    return found
