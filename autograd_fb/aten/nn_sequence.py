"""The loss of connectionist temporal classification.

A. Graves et al., "Connectionist temporal classification", ICML 2006: the probability of all alignments of a target
with a sequence, by the forward recursion over the target with blanks between its labels, in logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from autograd_fb.aten.reduction import holds
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of
from autograd_fb.core.dtype import described, int64

_FAMILY = "sequence"
NONE, MEAN = 0, 1
_NEVER = -1e30  # the logarithm of an impossible alignment's probability: finite, so that its gradient is 0


def _lengths(values: Any, count: int, name: str) -> list[int]:
    given = values.tolist() if hasattr(values, "tolist") else list(values)
    given = [given] if isinstance(given, int) else [int(n) for n in given]
    if len(given) != count:
        raise RuntimeError(f"{name} must be of size batch_size")
    return given


def _labels(F: Any, targets: Any, lengths: Sequence[int], blank: int) -> Any:
    """The targets as rows of the longest one's length, filled up with blanks."""
    longest = max([*lengths, 0])
    device = device_of(targets)
    rows = []
    if targets.ndim == 1 and sum(lengths) != targets.shape[0]:
        raise RuntimeError(
            f"Expected tensor to have size {sum(lengths)} at dimension 0, but got size {targets.shape[0]} for argument "
            "#2 'targets' (while checking arguments for ctc_loss_cpu)"
        )
    if targets.ndim == 2 and targets.shape[1] < longest:
        raise RuntimeError(
            f"Expected tensor to have size at least {longest} at dimension 1, but got size {targets.shape[1]} for "
            "argument #2 'targets' (while checking arguments for ctc_loss_cpu)"
        )
    start = 0
    for i, n in enumerate(lengths):
        row = F.narrow(targets, 0, start, n) if targets.ndim == 1 else F.narrow(F.select(targets, 0, i), 0, 0, n)
        start += n
        rest = F.full([longest - n], blank, dtype=int64, device=device)
        rows.append(F.cat([F.to(row, int64), rest], 0))
    return F.stack(rows, 0)


def _ctc(
    F: Any, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: int = MEAN, zero_infinity: bool = False,
) -> Any:
    batched = log_probs.ndim == 3
    x = log_probs if batched else F.unsqueeze(log_probs, 1)
    steps, count, classes = x.shape
    given, wanted = (_lengths(v, count, name) for v, name in (
        (input_lengths, "input_lengths"), (target_lengths, "target_lengths")))  # fmt: skip
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    for n in given:
        if not 0 <= n <= steps:
            raise RuntimeError(
                f"Expected input_lengths to have value at most {steps}, but got value {n} (while checking arguments "
                "for ctc_loss_cpu)"
            )
    labels = _labels(F, F.unsqueeze(targets, 0) if not batched and targets.ndim == 1 else targets, wanted, blank)
    if labels.shape[1] and holds(lambda: F.any((labels < 0) | (labels >= classes))):
        raise RuntimeError(f"targets values out of range: expected labels from 0 to {classes - 1}")
    blanks = F.full_like(labels, blank)
    between = F.reshape(F.stack([blanks, labels], -1), [count, -1])
    extended = F.cat([between, F.full([count, 1], blank, dtype=int64, device=device_of(labels))], 1)
    width = extended.shape[1]
    emitted = F.gather(x, 2, F.expand(F.unsqueeze(extended, 0), [steps, count, width]))
    never = F.full_like(F.detach(F.select(emitted, 0, 0)), _NEVER)
    # A blank between two labels may be left out where they differ.
    differs = F.ne(F.narrow(extended, 1, 2, width - 2), F.narrow(extended, 1, 0, width - 2)) if width > 2 else None
    place = F.arange(width, dtype=int64, device=device_of(labels))
    alpha = F.where(place < 2, F.select(emitted, 0, 0), never)
    for t in range(1, steps):
        ways = [alpha, F.cat([F.narrow(never, 1, 0, 1), F.narrow(alpha, 1, 0, width - 1)], 1)]
        if differs is not None:
            jumped = F.where(differs, F.narrow(alpha, 1, 0, width - 2), F.narrow(never, 1, 0, width - 2))
            ways.append(F.cat([F.narrow(never, 1, 0, 2), jumped], 1))
        moved = F.logsumexp(F.stack(ways, 0), [0]) + F.select(emitted, 0, t)
        alpha = _where_running(F, t, given, moved, alpha)
    losses = [_of_one(F, F.select(alpha, 0, i), 2 * n) for i, n in enumerate(wanted)]
    loss = F.stack(losses, 0)
    loss = F.where(loss > -_NEVER / 2, F.full_like(F.detach(loss), inf), loss) + _of_softmax(F, x, given)
    if zero_infinity:
        loss = F.where(F.eq(loss, inf), F.zeros_like(loss), loss)
    if reduction == MEAN:
        sizes = [F.full([1], max(n, 1), dtype=described(loss.dtype), device=device_of(loss)) for n in wanted]
        return F.mean(loss / F.cat(sizes, 0))
    if reduction == NONE:
        return loss if batched else F.select(loss, 0, 0)
    return F.sum(loss)


def _where_running(F: Any, t: int, lengths: Sequence[int], moved: Any, alpha: Any) -> Any:
    """The step taken in the sequences that are longer than ``t``."""
    if all(t < n for n in lengths):
        return moved
    rows = [F.select(moved if t < n else alpha, 0, i) for i, n in enumerate(lengths)]
    return F.stack(rows, 0)


def _of_one(F: Any, alpha: Any, last: int) -> Any:
    """Minus the logarithm of the probability to end in the last label or in the blank behind it."""
    ends = [F.select(alpha, 0, last), *([F.select(alpha, 0, last - 1)] if last else [])]
    return -F.logsumexp(F.stack(ends, 0), [0])


def _of_softmax(F: Any, x: Any, lengths: Sequence[int]) -> Any:
    """Nothing, with the gradient exp(log_probs): PyTorch's gradient is the one of log_probs that a log_softmax made."""
    shares = F.sum(F.exp(x) - F.detach(F.exp(x)), [2])
    return F.stack([F.sum(F.narrow(F.select(shares, 1, i), 0, 0, n)) for i, n in enumerate(lengths)], 0)


for _overload, _kind in (("IntList", "int[]"), ("Tensor", "Tensor")):
    op(f"ctc_loss.{_overload}(Tensor log_probs, Tensor targets, {_kind} input_lengths, {_kind} target_lengths, "
       "int blank=0, int reduction=1, bool zero_infinity=False) -> Tensor", family=_FAMILY, composite=_ctc,
       method=False, out=False, doc="Minus the log-probability of all alignments of targets with sequences.")
