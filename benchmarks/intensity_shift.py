"""What trained models lose on images of another contrast: the claim of AvaGrad's paper, tested on real MRI.

    python -m benchmarks.intensity_shift --method NAME ... [--iterations 250] [--data hippocampus]

For models that `python -m benchmarks.learning run` has trained, in the same folder of nnU-Net's results. Their
validation images go through tone curves that nnU-Net's normalisation does not undo; labels stay as they are.
Each image is predicted without mirroring. Prints a row for each model: Dice as it is, and on each shift.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.paths import nnUNet_raw
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.learning.data import DATA
from benchmarks.learning.methods import METHODS
from benchmarks.learning.training import make_trainer

Curve = Callable[[NDArray], NDArray]
SHIFTS: dict[str, Curve] = {
    "gamma 0.4": lambda x: x**0.4,
    "gamma 2.5": lambda x: x**2.5,
    "S curve": lambda x: x - 0.15 * np.sin(2 * np.pi * x),
    "dark inverted": lambda x: np.where(x < 0.3, 0.6 - x, x),
}
"""Of the intensities of a channel between its first and its last percent, which become 0 and 1."""
COLUMNS = ("as it is", *SHIFTS)


def shifted(image: NDArray, curve: Curve) -> NDArray:
    """Of `(C, *S)`, each channel by itself."""
    low, high = np.percentile(image, (1, 99), axis=tuple(range(1, image.ndim)), keepdims=True)
    span = np.maximum(high - low, 1e-6)
    return (low + span * curve(np.clip((image - low) / span, 0, 1))).astype(np.float32)


def dice(prediction: NDArray, truth: NDArray) -> float:
    """Mean over the labels of the truth; NaN where it has none."""
    labels = [label for label in np.unique(truth) if label > 0]
    overlaps = [2 * np.sum((prediction == label) & (truth == label)) for label in labels]
    sizes = [np.sum(prediction == label) + np.sum(truth == label) for label in labels]
    each = [float(overlap / size) for overlap, size in zip(overlaps, sizes, strict=True)]
    return mean(each) if each else float("nan")


def evaluate(method: str, data: str, iterations: int) -> dict[str, float]:
    trainer = make_trainer(method, data, 0, iterations, 0)
    trainer.initialize()
    checkpoint = torch.load(Path(trainer.output_folder) / "checkpoint_final.pth", weights_only=False)
    predictor = nnUNetPredictor(use_mirroring=False, device=trainer.device, allow_tqdm=False)
    predictor.manual_initialization(
        trainer.network, trainer.plans_manager, trainer.configuration_manager, [checkpoint["network_weights"]],
        trainer.dataset_json, type(trainer).__name__, None,
    )  # fmt: skip
    reader: Any = trainer.plans_manager.image_reader_writer_class()
    files = get_filenames_of_train_images_and_targets(str(Path(nnUNet_raw) / trainer.plans_manager.dataset_name))
    trainer.network.decoder.deep_supervision = False
    results: dict[str, list[float]] = {name: [] for name in COLUMNS}
    for case in tqdm(trainer.do_split()[1], desc=method):
        image, properties = reader.read_images(files[case]["images"])
        truth, _ = reader.read_seg(files[case]["label"])
        images = {"as it is": image} | {name: shifted(image, curve) for name, curve in SHIFTS.items()}
        for name, changed in images.items():
            results[name].append(dice(predictor.predict_single_npy_array(changed, properties), truth[0]))
    return {name: float(np.nanmean(values)) for name, values in results.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", nargs="+", choices=METHODS, required=True, help="trained methods")
    parser.add_argument("--iterations", type=int, default=250, help="default: 250")
    parser.add_argument("--data", choices=DATA, default="hippocampus", help="default: hippocampus")
    args = parser.parse_args()
    rows = {method: evaluate(method, args.data, args.iterations) for method in args.method}
    print(f"\n| method, {args.iterations} iterations | {' | '.join(COLUMNS)} |")
    print("| --- " * (len(COLUMNS) + 1) + "|")
    for method, row in rows.items():
        print(f"| {method} | {' | '.join(f'{value:.3f}' for value in row.values())} |")


if __name__ == "__main__":
    main()
