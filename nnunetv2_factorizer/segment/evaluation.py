"""Segments of `nnUNetv2_factorizer_segment` beside a truth, and beside what needs no method at all.

Segments have no names, so the truth says which of them is meant. That flatters every method, and most of all one with
many segments. Therefore each case is scored three more times by the same rules: *everything* is one segment, *random*
gives each voxel a number, *k-means* clusters intensities; the last two with as many segments as the map has (2 where it
has one only). A method is worth something where it is better than all three.

A volume that was segmented slice by slice is one map here: segment 2 is the second darkest of each slice.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.images import Case
from nnunetv2_factorizer.inference.labels import label_names
from nnunetv2_factorizer.segment.images import Image, Reader, read_image
from nnunetv2_factorizer.segment.methods import METHODS
from nnunetv2_factorizer.segment.pieces import segment_image
from nnunetv2_factorizer.segment.record import Record
from nnunetv2_factorizer.segment.scores import (
    Score,
    best_overlap,
    leaked,
    matched_dice,
    overlap_scores,
    partition_scores,
)

PROTOCOLS = ("best-overlap", "leaky")
CONTROLS = ("everything", "random", "k-means")
NOTICES = {
    "best-overlap": "Which segment is meant was decided with the truth, for the rows everything, random and k-means as "
    "for the others: a method is worth something where it is better than all three.",
    "leaky": "NOT AN HONEST NUMBER: everything outside the dilated truth was erased from each prediction before it was "
    "scored, as in MS-Former's released code. Look at the row everything.",
}


def evaluate_case(
    case: Case,
    *,
    reader: Reader,
    predictions: Path,
    labels: Path,
    record: Record,
    dataset_json: dict[str, Any],
    protocol: str,
) -> dict[str, Score]:
    """The scores of one case by the name of the row: the method's, and those of the `CONTROLS`.

    Args:
        case: the image.
        reader: of `find_images`; it reads segments and labels, too.
        predictions: folder that `nnUNetv2_factorizer_segment` wrote.
        labels: folder of the truth.
        record: of the predictions.
        dataset_json: of the labels.
        protocol: of the `PROTOCOLS`.

    Raises:
        UserError: a file is missing, or has another shape, or the truth has labels that it should not have, or no
            foreground.
    """
    segments = _read(reader, predictions / (case.name + record.file_ending), "Run the segmentation again.")
    truth = _read(
        reader, labels / (case.name + dataset_json["file_ending"]), "Give labels of all images with --labels."
    )
    if segments.shape != truth.shape:
        raise UserError(
            f"{case.name}: the segments are {segments.shape}, the label {truth.shape}.",
            "Give labels of the images that were segmented with --labels.",
        )
    names, ignore = label_names(dataset_json)
    known = np.ones(truth.shape, bool) if ignore is None else truth != ignore
    if unknown := sorted(set(np.unique(truth[known]).tolist()) - set(names.values())):
        raise UserError(
            f"{case.name} has voxels of label {unknown[0]}; known are {', '.join(map(str, names.values()))}.",
            "Give the dataset.json of the labels with -djfile.",
        )
    if not (truth[known] > 0).any():
        raise UserError(
            f"{case.name}: no voxel of the label is foreground, so no segment can be the one that is meant.",
            "Leave the case out: give -i a folder without its images.",
        )
    rows = {record.method: segments, **_controls(case.name, read_image(case, reader), segments, record.seed)}
    return {row: _scores(truth, found, known, names, protocol) for row, found in rows.items()}


def _controls(name: str, image: Image, segments: NDArray[np.integer], seed: int) -> dict[str, NDArray[np.integer]]:
    number = max(2, len(np.unique(segments)))
    rng = np.random.default_rng([seed, crc32(name.encode())])  # of the case, whatever other cases there are
    clusters, _ = segment_image(image, METHODS["kmeans"], number, seed)
    return {
        "everything": np.ones(segments.shape, int),
        "random": rng.integers(1, number + 1, segments.shape),
        "k-means": clusters.astype(int),
    }


def _read(reader: Reader, path: Path, remedy: str) -> NDArray[np.integer]:
    if not path.is_file():
        raise UserError(f"{path} does not exist.", remedy)
    labels: NDArray[np.integer] = reader().read_seg(str(path))[0][0].astype(int)
    return labels


def _scores(
    truth: NDArray[np.integer], segments: NDArray[np.integer], known: NDArray[np.bool_], names: dict[str, int],
    protocol: str,
) -> Score:  # fmt: skip
    """Of all foreground together, and for more than one label of each with a segment of its own."""
    foreground = (truth > 0) & known
    chosen = best_overlap(foreground, segments)
    scores: Score = {"segments": len(np.unique(segments[known]))}
    if protocol == "leaky":  # The released code has no other scores.
        return scores | overlap_scores(foreground[known], (chosen & leaked(foreground))[known])
    dice = matched_dice(truth[known], segments[known], list(names.values()))
    of_labels = {f"matched Dice of {name}": dice[value] for name, value in names.items() if value > 0 and value in dice}
    return {
        **scores,
        **overlap_scores(foreground[known], chosen[known]),
        "matched Dice": float(np.mean(list(of_labels.values()))),
        **of_labels,
        **partition_scores(truth[known], segments[known]),
    }


def summarise(cases: dict[str, dict[str, Score]]) -> dict[str, dict[str, float]]:
    """The mean over the cases of each row and score, and `collapsed`: in how many cases there was one segment.

    Args:
        cases: for each the rows of `evaluate_case`. A label that a case lacks is left out of that label's mean.
    """
    mean = {}
    for row in next(iter(cases.values())):
        scores = [case[row] for case in cases.values()]
        keys = dict.fromkeys(key for score in scores for key in score)
        mean[row] = {key: float(np.mean([score[key] for score in scores if key in score])) for key in keys}
        mean[row]["collapsed"] = sum(score["segments"] == 1 for score in scores)
    return mean


def table(mean: dict[str, dict[str, float]], number: int, protocol: str) -> str:
    """The means in Markdown, with the notice of the protocol.

    Args:
        mean: of `summarise`.
        number: of cases.
        protocol: of the `PROTOCOLS`.
    """
    keys = list(dict.fromkeys(key for scores in mean.values() for key in scores if key != "collapsed"))
    lines = [NOTICES[protocol], "", f"Means of {number} cases, protocol {protocol}.", ""]
    lines += [_row(["", *keys, "collapsed"]), _row(["---"] * (len(keys) + 2))]
    for row, scores in mean.items():
        cells = [f"{scores[key]:.3f}" if key in scores else "-" for key in keys]
        lines.append(_row([row, *cells, f"{scores['collapsed']:.0f} of {number}"]))
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
