"""`float_power_` writes only to what can hold its result, and has written nothing when it refuses."""

from __future__ import annotations

import pytest

import autograd_fb as torch


@pytest.mark.parametrize(
    ("dtype", "has", "wants"),
    [("float32", "Float", "Double"), ("int64", "Long", "Double"), ("complex64", "ComplexFloat", "ComplexDouble")],
)
def test_another_dtype_is_refused(dtype: str, has: str, wants: str) -> None:
    x = torch.full((2,), 3, dtype=getattr(torch, dtype))
    text = f"the base given to float_power_ has dtype {has} but the operation's result requires dtype {wants}"
    with pytest.raises(RuntimeError, match=text):
        x.float_power_(2.0)
    assert x.tolist() == [3, 3] and x._version == 0


def test_doubles_are_written_to() -> None:
    x = torch.full((2,), 3.0, dtype=torch.float64)
    assert x.float_power_(2.0) is x and x.tolist() == [9.0, 9.0]
