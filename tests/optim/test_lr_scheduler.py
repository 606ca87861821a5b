"""Learning-rate schedules: PyTorch's rates, epoch by epoch."""

from __future__ import annotations

from typing import Any

import pytest

import autograd_fb
from autograd_fb import optim

torch = pytest.importorskip("torch")

SCHEDULES: list[Any] = [
    lambda s, o: s.StepLR(o, 3, gamma=0.5),
    lambda s, o: s.MultiStepLR(o, [2, 5, 5, 9], gamma=0.3),
    lambda s, o: s.ExponentialLR(o, 0.9),
    lambda s, o: s.ConstantLR(o, 0.25, 4),
    lambda s, o: s.LinearLR(o, 0.1, 0.8, 6),
    lambda s, o: s.PolynomialLR(o, 7, 2.0),
    lambda s, o: s.CosineAnnealingLR(o, 5, eta_min=0.01),
    lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, eta_min=0.01),
    lambda s, o: s.LambdaLR(o, lambda epoch: 1 / (epoch + 1)),
    lambda s, o: s.LambdaLR(o, [lambda epoch: 0.5**epoch, lambda epoch: epoch]),
    lambda s, o: s.MultiplicativeLR(o, lambda epoch: 0.9),
    lambda s, o: s.OneCycleLR(o, max_lr=1.0, total_steps=20),
    lambda s, o: s.OneCycleLR(
        o, max_lr=[1.0, 0.3], epochs=4, steps_per_epoch=5, anneal_strategy="linear", three_phase=True
    ),
    lambda s, o: s.CyclicLR(o, 0.1, 1.0, step_size_up=3),
    lambda s, o: s.CyclicLR(o, [0.1, 0.2], 1.0, 2, 4, mode="triangular2", base_momentum=0.5, max_momentum=0.7),
    lambda s, o: s.CyclicLR(o, 0.1, 1.0, 2, 3, mode="exp_range", gamma=0.9, cycle_momentum=False),
    lambda s, o: s.CyclicLR(o, 0.1, 1.0, 2, scale_fn=lambda x: 1 / x, scale_mode="cycle"),
    lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9)]),
    lambda s, o: s.SequentialLR(o, [s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9)], [4]),
]


def optimizer_of(lib: Any) -> Any:
    module = lib.optim if lib is torch else optim
    p, q = (lib.tensor([1.0], requires_grad=True) for _ in range(2))
    return module.SGD([{"params": [p]}, {"params": [q], "lr": 0.2}], lr=0.1, momentum=0.9)


def rates(lib: Any, make: Any, epochs: int = 15) -> list[Any]:
    optimizer = optimizer_of(lib)
    scheduler = make((lib.optim if lib is torch else optim).lr_scheduler, optimizer)
    seen = []
    for _ in range(epochs):
        seen.append(([g["lr"] for g in optimizer.param_groups], [g["momentum"] for g in optimizer.param_groups]))
        assert scheduler.get_last_lr() == seen[-1][0]
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize("make", SCHEDULES)
def test_rates_are_pytorchs(make: Any) -> None:
    for ours, theirs in zip(rates(autograd_fb, make), rates(torch, make), strict=True):
        assert ours[0] == pytest.approx(theirs[0], rel=1e-12, abs=1e-15)
        assert ours[1] == pytest.approx(theirs[1], rel=1e-12)


@pytest.mark.parametrize(
    "options", [{}, {"mode": "max", "threshold_mode": "abs"}, {"cooldown": 2, "min_lr": [0.05, 0.01]}]
)
def test_plateaus_are_pytorchs(options: dict[str, Any]) -> None:
    metrics = [1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]

    def run(lib: Any) -> list[Any]:
        optimizer = optimizer_of(lib)
        module = (lib.optim if lib is torch else optim).lr_scheduler
        scheduler = module.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, **options)
        seen = []
        for metric in metrics:
            scheduler.step(lib.tensor(metric))
            seen.append([g["lr"] for g in optimizer.param_groups])
        assert scheduler.state_dict().keys() >= {"best", "num_bad_epochs", "cooldown_counter"}
        return seen

    assert run(autograd_fb) == run(torch)


def test_a_loaded_schedule_goes_on() -> None:
    wanted = rates(autograd_fb, SCHEDULES[0], 8)
    optimizer = optimizer_of(autograd_fb)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.5)
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    again = optimizer_of(autograd_fb)
    again.load_state_dict(optimizer.state_dict())
    later = optim.lr_scheduler.StepLR(again, 1)
    later.load_state_dict(scheduler.state_dict())
    again.load_state_dict(optimizer.state_dict())
    again.step()
    later.step()
    assert [g["lr"] for g in again.param_groups] == wanted[5][0]


def test_stepping_in_the_wrong_order_is_warned_about() -> None:
    scheduler = optim.lr_scheduler.StepLR(optimizer_of(autograd_fb), 3)
    with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()
