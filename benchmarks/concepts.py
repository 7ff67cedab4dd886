"""Concepts without labels: the tables of docs/concepts.md from trained models.

    python -m benchmarks.concepts tables -m MODEL_FOLDER [MODEL_FOLDER ...] -f 0 -o OUT [--cases 100]
    python -m benchmarks.concepts solver -m MODEL_FOLDER -f 0

`tables` makes dictionaries of the training part of the fold, decides there which label a category stands for, and
scores the validation part, of each part at most `--cases`: each model with k of 16, 32, 64, fixed against assign, its
stages against each other. Two controls see no network: intensities, and the place in the image, clustered by k-means.
A pre-training is a model, too, such as DATASET/nnUNetTrainerHybridFactorizer_PretrainMAE__nnUNetPlans__3d_fullres: its
rows are those for which "without labels" is the whole truth. What the others learned, they learned from labels.
A row is a JSON file in OUT, a folder for one data set; rows that are there are not made again. nnU-Net's variables must
be set as for the training. `solver` times the weights of a patch beside scikit-learn's.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2 import paths
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray
from sklearn.decomposition import non_negative_factorization
from sklearn.metrics import pairwise_distances_argmin
from torch import Tensor

from benchmarks.measure import device, machine, median_seconds
from nnunetv2_factorizer.concepts.clustering import cluster
from nnunetv2_factorizer.concepts.dictionary import ModelIdentity
from nnunetv2_factorizer.concepts.evaluation import PROTOCOLS, count, decide, summarise
from nnunetv2_factorizer.concepts.fitting import fit_dictionary
from nnunetv2_factorizer.concepts.segmentation import MODES, Concepts, segment_case
from nnunetv2_factorizer.concepts.stages import select_stage, stages_of
from nnunetv2_factorizer.concepts.training_images import training_cases
from nnunetv2_factorizer.factorization.rows import solve_rows
from nnunetv2_factorizer.inference.image_space import to_image_space
from nnunetv2_factorizer.inference.images import Case
from nnunetv2_factorizer.inference.labels import label_names
from nnunetv2_factorizer.inference.load_image import load_image
from nnunetv2_factorizer.inference.model import Load, load_model_once
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.folders import FINAL, without_task

CATEGORIES = (16, 32, 64)
STAGE_CATEGORIES = 32  # with more categories than channels the weights of a position are not unique
THRESHOLD = 0.5
VOXELS = 2000
"""Of each image, for k-means without a network."""


def tables(models: Sequence[Path], fold: str, out: Path, most_cases: int | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for folder in models:
        checkpoint = without_task(folder, fold, FINAL)
        load = partial(load_model_once, folder, (fold,), checkpoint, device(), use_mirroring=False, allow_tqdm=False)
        fit, score = _cases(load(), fold, most_cases)
        default = select_stage(load()).name
        others = [stage.name for stage in stages_of(load())]
        for stage, k in [(default, k) for k in CATEGORIES] + [(s, STAGE_CATEGORIES) for s in others if s != default]:
            files = {mode: out / f"{folder.name}_{stage}_{k}_{mode}.json" for mode in MODES}
            missing = [mode for mode, file in files.items() if not file.exists()]
            if not missing:
                continue
            identity = ModelIdentity.of(load(), folder, fold, checkpoint)
            centres = fit_dictionary(load, identity, stage, fit, k, scratch=out).centres
            for mode in missing:
                predict = partial(_categories, load, Concepts(stage, centres, mode))
                row = {"features": folder.name.split("__")[0], "stage": stage, "k": k, "mode": mode}
                row |= _evaluate(load(), predict, fit, score, centres)
                _write(files[mode], row)
    for describe, k in product((intensities, place), CATEGORIES):
        file = out / f"{describe.__name__}_{k}.json"
        if not file.exists():
            centres = _centres(partial(describe, load()), fit, k)
            row = {"features": describe.__name__, "stage": "-", "k": k, "mode": "nearest centre"}
            row |= _evaluate(load(), partial(_nearest, partial(describe, load()), centres), fit, score, centres)
            _write(file, row)
    _print(out)


def solver(folder: Path, fold: str) -> None:
    """Prints seconds and the share of the features that is lost, for the first window of an image, k = 64."""
    print(machine())
    predictor = load_model_once(folder, (fold,), FINAL, device(), use_mirroring=False, allow_tqdm=False)
    _, (case, *_) = _cases(predictor, fold, 1)
    data = load_image(predictor, case).data
    stages = stages_of(predictor)
    names = [stage.name for stage in stages[1 : stages.index(select_stage(predictor)) + 1]]
    for name in names:
        features: list[Tensor] = []
        hook = predictor.network.get_submodule(name).register_forward_hook(lambda m, i, o, f=features: f.append(o))
        predictor.predict_logits_from_preprocessed_data(data)
        hook.remove()
        x = torch.relu(features[0])[0].flatten(1).T.cpu().contiguous()
        a = x.numpy()
        h = cluster(a, 64, seed=0)
        candidates: dict[str, Callable[[], Any]] = {"ours": partial(solve_rows, x, torch.from_numpy(h).T)}
        for algorithm in ("cd", "mu"):
            candidates[f"scikit-learn {algorithm}"] = partial(_scikit_learn, a, h, algorithm)
        candidates["scikit-learn mu, 1000 iterations"] = partial(_scikit_learn, a, h, "mu", max_iter=1000, tol=0)
        seconds = median_seconds(candidates, rounds=3)
        for candidate, run in candidates.items():
            lost = float(np.square(a - np.asarray(run(), np.float64) @ h).sum() / np.square(a, dtype=np.float64).sum())
            print(f"| {name}, {a.shape[0]} x {a.shape[1]} | {candidate} | {seconds[candidate]:.3f} s | {lost:.6f} |")


def _scikit_learn(a: NDArray, h: NDArray, solver: str, **options: Any) -> NDArray:
    return non_negative_factorization(a, H=h, n_components=len(h), update_H=False, solver=solver, **options)[0]


def _cases(predictor: nnUNetPredictor, fold: str, most: int | None) -> tuple[list[Case], list[Case]]:
    """Those that the dictionary and the labels of its categories are decided on, and those that are scored."""
    fit = training_cases(predictor, fold)
    everything = training_cases(predictor, "all")
    score = [case for case in everything if case not in fit]
    return fit[:most], score[:most]


def _evaluate(
    predictor: nnUNetPredictor,
    predict: Callable[[Case], NDArray],
    fit: Sequence[Case],
    score: Sequence[Case],
    centres: NDArray,
) -> dict[str, Any]:
    """The summary of each protocol; of the probe why it is not to be had, if so. And of labels without an order."""
    names, ignore = label_names(predictor.dataset_json)
    raw = Path(str(paths.nnUNet_raw)) / predictor.plans_manager.dataset_name
    reader = predictor.plans_manager.image_reader_writer_class()

    rng = np.random.default_rng(0)

    def both_tables(case: Case) -> tuple[NDArray, NDArray]:
        """With the labels as they are, and with the same labels in no order."""
        truth = reader.read_seg(str(raw / "labelsTr" / (case.name + predictor.dataset_json["file_ending"])))[0][0]
        shuffled = rng.permutation(truth.ravel()).reshape(truth.shape)
        found = predict(case)
        of = partial(count, categories=len(centres), labels=list(names.values()), ignore=ignore)
        return of(found, truth), of(found, shuffled)

    fitted, fitted_shuffled = zip(*map(both_tables, fit), strict=True)
    scored, scored_shuffled = zip(*map(both_tables, score), strict=True)
    cases = [case.name for case in score]
    results: dict[str, Any] = {}
    for protocol in PROTOCOLS:
        try:
            columns = decide(protocol, fitted, centres, THRESHOLD)
            results[protocol] = summarise(cases, names, scored, columns)
        except ValueError as error:
            results[protocol] = {"failed": str(error)}
    columns = decide("matching-normalised", fitted_shuffled, centres, THRESHOLD)
    results["matching-normalised, shuffled labels"] = summarise(cases, names, scored_shuffled, columns)
    return results


def _categories(load: Load, concepts: Concepts, case: Case) -> NDArray:
    predictor = load()
    with tempfile.TemporaryDirectory() as folder:
        segment_case(case, load=load, concepts=concepts, output=Path(folder))
        reader = predictor.plans_manager.image_reader_writer_class()
        return reader.read_seg(str(Path(folder) / (case.name + predictor.dataset_json["file_ending"])))[0][0].astype(
            int
        )


def intensities(predictor: nnUNetPredictor, case: Case) -> NDArray:
    """The preprocessed image in the size of the image, `(z, y, x, C)`."""
    image = load_image(predictor, case)
    return np.stack([to_image_space(channel.numpy(), predictor, image.properties) for channel in image.data], -1)


def place(predictor: nnUNetPredictor, case: Case) -> NDArray:
    """Where in the image a voxel is, from 0 to 1 along each axis, `(z, y, x, 3)`."""
    image, _ = predictor.plans_manager.image_reader_writer_class().read_images(list(case.images))
    return np.moveaxis(np.indices(image.shape[1:], np.float32), 0, -1) / image.shape[1:]


def _centres(describe: Callable[[Case], NDArray], cases: Sequence[Case], k: int) -> NDArray:
    """Of some voxels of each image."""
    rng = np.random.default_rng(0)
    described = (describe(case) for case in cases)
    voxels = [rng.permutation(d.reshape(-1, d.shape[-1]))[:VOXELS] for d in described]
    return cluster(np.concatenate(voxels), k, seed=0)


def _nearest(describe: Callable[[Case], NDArray], centres: NDArray, case: Case) -> NDArray:
    described = describe(case)
    return 1 + pairwise_distances_argmin(described.reshape(-1, len(centres[0])), centres).reshape(described.shape[:-1])


def _write(path: Path, row: dict[str, Any]) -> None:
    with replacing(str(path)) as unfinished:
        Path(unfinished).write_text(json.dumps(row, indent=2), encoding="utf-8")


def _print(out: Path) -> None:
    """A line a row: mean Dice of the foreground for each protocol; - where there is nothing for a probe to learn."""
    print(f"{machine()}. Mean foreground Dice of held-out cases.")
    protocols = [*PROTOCOLS, "matching-normalised, shuffled labels"]
    print(f"| features | stage | k | mode | cases | {' | '.join(protocols)} |\n|{' --- |' * (5 + len(protocols))}")
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob("*.json")]
    for row in sorted(rows, key=lambda row: [row[name] for name in ("features", "stage", "k", "mode")]):
        means = [row[p].get("foreground_mean", {}).get("Dice") for p in protocols]
        cells = [*(row[name] for name in ("features", "stage", "k", "mode")), len(row["matching"]["cases"])]
        cells += ["-" if mean is None else f"{mean:.3f}" for mean in means]
        print(f"| {' | '.join(map(str, cells))} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("tables", "solver"):
        command = commands.add_parser(name)
        command.add_argument("-m", nargs="+" if name == "tables" else 1, type=Path, required=True)
        command.add_argument("-f", default="0")
        if name == "tables":
            command.add_argument("-o", type=Path, required=True)
            command.add_argument("--cases", type=int)
    args = parser.parse_args()
    if args.command == "solver":
        solver(args.m[0], args.f)
    else:
        tables(args.m, args.f, args.o, args.cases)


if __name__ == "__main__":
    main()
