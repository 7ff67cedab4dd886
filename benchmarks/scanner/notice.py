"""Does the screen notice another scanner, another organ, a cut image, and does its distance tell the lost Dice?"""

import json
import statistics
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.paths import nnUNet_raw
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from benchmarks.measure import in_own_process, machine, peak_mib
from benchmarks.scanner.cases import READER, dice, read_scanned, split, truth
from benchmarks.scanner.models import FOLD, predictor, published
from benchmarks.scanner.scanners import SCANNERS
from nnunetv2_factorizer.inference.images import preprocess
from nnunetv2_factorizer.screen import Statistics, read_statistics, score_image
from nnunetv2_factorizer.screen.fitting import fit_statistics
from nnunetv2_factorizer.screen.statistics import FILE

BRAINS = "Dataset030_MSLesion"
CUT = 0.5
"""The share of an image's length that is left of it, in the row of cut images."""


def print_notice(method: str, iterations: int) -> None:
    """A row a kind of image: distances, share that is called shifted, AUC against unseen cases of scanner A."""
    folder = published(method, iterations)
    model = predictor(folder)
    screen = fitted(model, folder)
    scanned = {scanner: [(case, *read_scanned(case, scanner)) for case in split("val")] for scanner in ("A", *SCANNERS)}
    distances = {
        scanner: [_distance(model, screen, image, properties) for _, image, properties in tqdm(images, desc=scanner)]
        for scanner, images in scanned.items()
    }
    distances["A, cut at the border"] = [
        _distance(model, screen, image[:, :, : round(CUT * image.shape[2])], properties)
        for _, image, properties in scanned["A"]
    ]
    distances["brains"] = [_distance(model, screen, *brain) for brain in _brains()]
    lost = _lost(model, scanned)
    columns = "images | distance: median (range) | called shifted | AUC against A | lost Dice"
    print(f"| {method}, {iterations} iterations | {columns} |\n| --- | --- | --- | --- | --- | --- |")
    for name, found in distances.items():
        middle = f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"
        auc = "" if name == "A" else f"{_auc(distances['A'], found):.3f}"
        loss = f"{statistics.mean(lost[name]):.3f}" if name in lost else ""
        print(f"| {name} | {len(found)} | {middle} | {np.mean(np.array(found) > 1):.0%} | {auc} | {loss} |", flush=True)
    after = [distance for scanner in SCANNERS for distance in distances[scanner]]
    together = spearmanr(after, [value for scanner in SCANNERS for value in lost[scanner]]).statistic
    each = ", ".join(
        f"{spearmanr(distances[scanner], lost[scanner]).statistic:.2f} on {scanner}" for scanner in SCANNERS
    )
    print(f"\nRank correlation of distance and lost Dice: {together:.2f} over all B, {each}.")
    cost = in_own_process("benchmarks.scanner.notice", method, f"{iterations}")
    size = " x ".join(map(str, cost["size"]))
    print(f"A brain of {size} voxels: {cost['seconds']:.1f} s, peak {cost['mib']:.0f} MiB, on {machine()}.")


def fitted(model: nnUNetPredictor, folder: Path) -> Statistics:
    """The statistics beside the model, made where they are not there yet, as `nnUNetv2_factorizer_screen fit` does."""
    path = folder / f"fold_{FOLD}" / FILE
    if not path.is_file():
        fit_statistics(model, folder, f"{FOLD}", "checkpoint_final.pth", show_progress=True).save(path)
    return read_statistics(folder, f"{FOLD}")


def _distance(
    model: nnUNetPredictor, screen: Statistics, image: NDArray[np.float32], properties: dict[str, Any]
) -> float:
    return score_image(model, preprocess(model, image, properties).data, screen).distance


def _brains() -> list[tuple[NDArray[np.float32], dict[str, Any]]]:
    """Each channel of each brain is an image of its own: the model has seen T1 of another organ."""
    files = sorted((Path(nnUNet_raw).joinpath(BRAINS).resolve() / "imagesTr").glob("*.nii.gz"))
    return [READER.read_images((str(file),)) for file in files]


def _lost(model: nnUNetPredictor, scanned: dict[str, Any]) -> dict[str, list[float]]:
    found = {
        scanner: [
            dice(model.predict_single_npy_array(image, properties), truth(case))
            for case, image, properties in tqdm(images, desc=f"predicting {scanner}")
        ]
        for scanner, images in scanned.items()
    }
    return {scanner: [a - b for a, b in zip(found["A"], found[scanner], strict=True)] for scanner in SCANNERS}


def _auc(inside: list[float], outside: list[float]) -> float:
    return float(roc_auc_score([0] * len(inside) + [1] * len(outside), inside + outside))


def _cost_of_a_brain(method: str, iterations: int) -> dict[str, Any]:
    folder = published(method, iterations)
    model = predictor(folder)
    screen = fitted(model, folder)
    data = preprocess(model, *_brains()[0]).data
    mib = peak_mib(lambda: score_image(model, data, screen))
    start = perf_counter()
    score_image(model, data, screen)
    return {"size": data.shape[1:], "seconds": perf_counter() - start, "mib": mib}


if __name__ == "__main__":
    import contextlib
    import sys

    with contextlib.redirect_stdout(sys.stderr):  # nnU-Net prints, and the result alone is JSON
        result = _cost_of_a_brain(sys.argv[1], int(sys.argv[2]))
    print(json.dumps(result))
