"""Train a small convolutional network on 1797 handwritten digits, in seconds.

    python examples/train_digits.py --device cpu --epochs 25 --seed 0 --out digits

Writes the curves of loss and accuracy, the digits it still gets wrong, and the weights. With ``--device meta`` it
prints the shapes layer by layer instead: nothing is computed. `python -m autograd_fb demo` runs this file too.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import autograd_fb as torch
from autograd_fb import nn
from autograd_fb.nn import functional as F

DATA = Path(__file__).resolve().parent / "data" / "digits.npz"
EXTRAS = ("tqdm", "matplotlib", "safetensors")
BATCH = 32


@dataclass(frozen=True)
class Digits:
    """Images ``(N, 1, 8, 8)`` with values from 0 to 1, and labels ``(N,)``."""

    images: torch.Tensor
    labels: torch.Tensor

    def __getitem__(self, index: Any) -> Digits:
        return Digits(self.images[index], self.labels[index])


class History(NamedTuple):
    """The loss of each batch, and the test accuracy after each epoch."""

    losses: list[float]
    accuracies: list[float]


def make_model(device: torch.device) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(64 * 2 * 2, 10),
    ).to(device)


def load_digits(device: torch.device) -> tuple[Digits, Digits]:
    """The digits in random order: four fifths to train with, one fifth to test with."""
    with np.load(DATA) as data:
        images = torch.from_numpy(data["images"].astype(np.float32) / 16).unsqueeze(1).to(device)
        labels = torch.from_numpy(data["labels"].astype(np.int64)).to(device)
    order = torch.randperm(len(labels)).to(device)
    held_out = len(labels) // 5
    digits = Digits(images, labels)
    return digits[order[held_out:]], digits[order[:held_out]]


def train(model: nn.Module, digits: Digits, test: Digits, epochs: int) -> History:
    from tqdm import tqdm

    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    history = History([], [])
    bar = tqdm(range(epochs), desc="training", unit="epoch")
    for _ in bar:
        model.train()
        order = torch.randperm(len(digits.labels)).to(digits.labels.device)
        for start in range(0, len(order), BATCH):
            batch = digits[order[start : start + BATCH]]
            loss = F.cross_entropy(model(batch.images), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.losses.append(loss.item())
        schedule.step()
        accuracy = (predict(model, test).argmax(1) == test.labels).float().mean().item()
        history.accuracies.append(accuracy)
        bar.set_postfix(loss=f"{history.losses[-1]:.4f}", test=f"{accuracy:.1%}")
    return history


@torch.no_grad()
def predict(model: nn.Module, digits: Digits) -> torch.Tensor:
    """Probabilities ``(N, 10)``."""
    model.eval()
    return F.softmax(model(digits.images), 1)


# --- what is written


def draw_history(history: History, path: Path) -> None:
    from matplotlib.figure import Figure

    losses = np.array(history.losses)
    per_epoch = len(losses) // len(history.accuracies)
    epochs = np.arange(1, len(history.accuracies) + 1)
    figure = Figure(figsize=(7, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    upper.plot(np.arange(1, len(losses) + 1) / per_epoch, losses, color="#9ecae1", linewidth=0.8, label="each batch")
    means = losses.reshape(-1, per_epoch).mean(1)
    upper.plot(epochs - 0.5, means, color="#08519c", linewidth=2, marker="o", markersize=3, label="mean of the epoch")
    upper.set_yscale("log")
    upper.set_ylabel("cross entropy")
    upper.set_title("Training loss")
    upper.legend(frameon=False)
    lower.plot(epochs, 100 * np.array(history.accuracies), color="#d94801", linewidth=2, marker="o", markersize=3)
    lower.set_title(f"Accuracy on held-out digits: {history.accuracies[-1]:.1%} at the end")
    lower.set_ylabel("percent")
    lower.set_xlabel("epoch")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def draw_mistakes(probabilities: torch.Tensor, test: Digits, path: Path, shown: int = 20) -> int:
    """A grid of the digits that were misread; returns how many there are."""
    from matplotlib.figure import Figure

    sure, said = (t.cpu().numpy() for t in probabilities.max(1))
    labels, images = test.labels.cpu().numpy(), test.images.cpu().numpy()[:, 0]
    wrong = np.flatnonzero(said != labels)
    columns = max(3, min(5, len(wrong)))
    rows = max(1, -(-min(len(wrong), shown) // columns))
    figure = Figure(figsize=(1.7 * columns, 1.95 * rows + 0.6), layout="constrained")
    more = f", {shown} shown" if len(wrong) > shown else ""
    figure.suptitle(f"{len(wrong)} of {len(labels)} held-out digits are misread{more}")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(wrong) :]:
        axes.set_axis_off()
    for axes, i in zip(grid.flat, wrong[:shown]):
        axes.imshow(images[i], cmap="gray_r", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("lightgray")
        axes.set_title(f"{labels[i]}, read as {said[i]} ({sure[i]:.0%})", fontsize=9)
    figure.savefig(path, dpi=120)
    return len(wrong)


def save_weights(model: nn.Module, path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({name: t.cpu().numpy() for name, t in model.state_dict().items()}, path)


def print_shapes(model: nn.Module, images: torch.Tensor) -> None:
    """One line per layer: what comes out, and how many parameters it has."""

    def report(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        count = sum(p.numel() for p in layer.parameters())
        print(f"{type(layer).__name__:<12} {tuple(output.shape)!s:<18} {count:>8,}")

    print(f"{'layer':<12} {'output':<18} {'parameters':>8}")
    print(f"{'input':<12} {tuple(images.shape)!s:<18}")
    for layer in model:  # type: ignore[attr-defined]
        layer.register_forward_hook(report)
    model(images)
    print(f"{'total':<31} {sum(p.numel() for p in model.parameters()):>8,}")


# --- the command line


def usable_device(text: str) -> torch.device:
    """The device, if tensors can be made on it here. ValueError with one line that says what is wrong."""
    try:
        device = torch.device(text)
        torch.empty(1, device=device)
    except (RuntimeError, ValueError, TypeError, ImportError, NotImplementedError, AssertionError) as error:
        raise ValueError(f"cannot use the device {text!r}: {' '.join(str(error).split())}") from None
    return device


def check_extras() -> None:
    """ValueError with one line if a package is missing that training or drawing needs."""
    missing = []
    for name in EXTRAS:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    if missing:
        raise ValueError(f'needs {", ".join(missing)}: pip install "autograd_fb[examples]"')


def parse(argv: Sequence[str] | None, prog: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, meta (shapes only), ... (default: cpu)")
    parser.add_argument("--epochs", type=int, default=25, help="passes over the training digits (default: 25)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same result (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("digits"), help="folder for what is written (default: digits)")
    options = parser.parse_args(argv)
    if options.epochs < 1:
        parser.error(f"--epochs must be at least 1, not {options.epochs}")
    return options


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the program; returns its exit status."""
    options = parse(argv, prog)
    try:
        device = usable_device(options.device)
        if device.type != "meta":
            check_extras()
    except ValueError as error:
        print(f"train_digits: {error}", file=sys.stderr)
        return 2
    torch.manual_seed(options.seed)
    if device.type == "meta":
        print_shapes(make_model(device), torch.empty(BATCH, 1, 8, 8, device=device))
        return 0
    digits, test = load_digits(device)
    model = make_model(device)
    parameters = sum(p.numel() for p in model.parameters())
    print(
        f"{len(digits.labels)} digits to train with, {len(test.labels)} held out; {parameters:,} parameters on {device}"
    )
    began = time.perf_counter()
    history = train(model, digits, test, options.epochs)
    print(
        f"{history.accuracies[-1]:.2%} of the held-out digits are read correctly, after "
        f"{time.perf_counter() - began:.1f} s"
    )
    options.out.mkdir(parents=True, exist_ok=True)
    draw_history(history, options.out / "loss.png")
    wrong = draw_mistakes(predict(model, test), test, options.out / "mistakes.png")
    save_weights(model, options.out / "model.safetensors")
    print(f"Wrote loss.png, mistakes.png ({wrong} digits) and model.safetensors to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
