"""Dice and HD95 of the validation cases, from the files that nnU-Net's validation leaves."""

from pathlib import Path
from typing import Any

from nnunetv2_factorizer.inference.labels import foreground
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.tune.metrics import evaluate

Scores = dict[str, dict[str, dict[str, float]]]
"""Case to label to `dice` and `hd95` (mm)."""


def scores_of(trainer: Any) -> Scores:
    """Of a trainer after its validation; what is empty counts as in `tune.metrics.evaluate`."""
    ending, labels = trainer.dataset_json["file_ending"], foreground(trainer.dataset_json)
    reader = trainer.plans_manager.image_reader_writer_class()
    truths = nnunet_folder("nnUNet_preprocessed") / trainer.plans_manager.dataset_name / "gt_segmentations"
    scores = {}
    for path in sorted((Path(trainer.output_folder) / "validation").glob(f"*{ending}")):
        prediction, _ = reader.read_seg(str(path))
        truth, of_truth = reader.read_seg(str(truths / path.name))
        spacing, ignored = of_truth["spacing"], trainer.label_manager.ignore_label
        scores[path.name.removesuffix(ending)] = evaluate(prediction[0], truth[0], spacing, labels, ignored)
    return scores
