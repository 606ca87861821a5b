"""Python's operators on the general path: numbers beside tensors mean what they mean without it."""

from __future__ import annotations

import operator

import pytest

import autograd_fb as torch

NAMES = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "gt", "ge", "lt", "le", "eq", "ne")
BITS = ("and_", "or_", "xor", "lshift", "rshift")


def outcome(call):
    try:
        result = call()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        return type(error)
    return result.dtype, result.tolist()


@pytest.mark.parametrize("name", NAMES + BITS)
def test_traced_operators_with_numbers(name):
    fn = getattr(operator, name)
    for t in (torch.tensor([1.0, 2.0]), torch.tensor([1, 2], dtype=torch.int32), torch.tensor([True, False])):
        for pair in ((t, 2), (2, t), (t, 2.5), (t, True)):
            plain = outcome(lambda pair=pair: fn(*pair))
            with torch.dispatch_trace():
                assert outcome(lambda pair=pair: fn(*pair)) == plain
