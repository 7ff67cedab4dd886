"""How far each block of a network moves in an epoch: a mix-in for any nnU-Net trainer and any optimiser.

After Sheikh, Klasen, Schultz, DART 2022, figure 3: with SGD the layers of low resolution lag behind.
"""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor

from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.training.bare import bare


class LayerUpdateMonitor(nnUNetTrainer):
    """Put first among the bases. Writes `layer_updates.csv` and `layer_updates.png` into the folder of the fold.

    A row is an epoch and a block, such as `encoder.stages.0`, with the mean of |w - w of the epoch's start| over the
    numbers of its parameters. A resumed training goes on with the rows of the epochs before.
    """

    _weights: dict[str, Tensor]

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        if self.local_rank == 0:
            self._weights = {name: p.detach().clone() for name, p in bare(self.network).named_parameters()}

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        if self.local_rank != 0:
            return
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=self.device))
        numbers: dict[str, int] = defaultdict(int)
        with torch.no_grad():
            for name, p in bare(self.network).named_parameters():
                block = block_of(name)
                sums[block] += (p - self._weights[name]).abs().sum()
                numbers[block] += p.numel()
        del self._weights
        rows = [(self.current_epoch, block, float(sums[block]) / numbers[block]) for block in sums]
        try:
            self._write_updates(rows)
        except (OSError, ValueError) as error:  # a full disk, a damaged file: no reason to end a training
            self.print_to_log_file(f"layer_updates.csv and .png of this epoch were not written: {error}")

    def _write_updates(self, rows: list[tuple[int, str, float]]) -> None:
        folder = Path(self.output_folder)
        rows = [row for row in read_updates(folder) if row[0] < self.current_epoch] + rows
        with replacing(str(folder / "layer_updates.csv")) as unfinished:
            _write(Path(unfinished), rows)
        with replacing(str(folder / "layer_updates.png")) as unfinished:
            _plot(rows).savefig(unfinished, dpi=150, format="png")


def block_of(name: str) -> str:
    """The block of a parameter: what stands in its name up to the first number, `decoder.stages.2` for example."""
    parts = name.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    return ".".join(parts[: number + 1] if number is not None else parts[:-1]) or name


def read_updates(folder: Path) -> list[tuple[int, str, float]]:
    """Epoch, block and update of each row of `layer_updates.csv` in a folder; nothing where there is none."""
    path = folder / "layer_updates.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [(int(row["epoch"]), row["block"], float(row["update"])) for row in csv.DictReader(file)]


def _write(path: Path, rows: list[tuple[int, str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("epoch", "block", "update"))
        writer.writerows(rows)


def _plot(rows: list[tuple[int, str, float]]) -> Figure:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel="mean |change of a weight|", yscale="log")
    for block in dict.fromkeys(block for _, block, _ in rows):
        epochs, updates = zip(*((epoch, update) for epoch, name, update in rows if name == block), strict=True)
        axes.plot(epochs, updates, marker=".", label=block)
    figure.legend(loc="outside right upper", fontsize="small")
    return figure
