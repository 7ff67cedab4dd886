"""Training on labels of which some objects are missing or badly drawn: a mix-in that corrects them meanwhile.

SISSI (Elbatel et al.) for segmentation. A class is corrected from the epoch on in which its curve of training Dice has
flattened (`start`). Then, every few epochs, the network predicts its training cases (`fusion`), sure predictions take
the place of the labels (`correction`), and what may be an unlabelled object can be hidden (`hiding`). The given labels
are never written to: corrected ones lie in folders of their own beside the checkpoints.

The curve costs nothing: it is the Dice, summed over an epoch, of what the training step predicts for its augmented
patches. Labels of a class there are the given ones as long as the class is not corrected, and after that nobody asks.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from numpy.typing import NDArray
from torch import Tensor, nn

from nnunetv2_factorizer.adaptation.cleaning.corrected import Corrected, remove_images, write_case
from nnunetv2_factorizer.adaptation.cleaning.correction import BACKGROUND, correct, unlabelled
from nnunetv2_factorizer.adaptation.cleaning.fusion import fuse, mirrored_views
from nnunetv2_factorizer.adaptation.cleaning.hiding import blur_background, diameters
from nnunetv2_factorizer.adaptation.cleaning.report import missing_raw_labels, write_report
from nnunetv2_factorizer.adaptation.cleaning.start import starts
from nnunetv2_factorizer.case_metadata import FILE, group_cases, metadata_folder
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.training.bare import bare
from nnunetv2_factorizer.training.guard import Guard
from nnunetv2_factorizer.training.remedies import require_one_gpu

CLEANING_KEY = "nnunetv2_factorizer_cleaning"
"""The key of what we add to nnU-Net's `init_args`: the curve of each class, and the epoch of its start."""

WORK, RESULT = "cleaning", "corrected_labels"
"""In the folder of the fold: what the loader reads, and what is for the user."""

CLEAN, NOISY = "clean", "noisy"
"""Values of the column that says whose labels can be trusted."""

WITHOUT = "or train with nnUNetTrainerMuon, which takes the labels as they are."


class Cleaning(Guard):
    """Put first among the bases: `class nnUNetTrainer_CleanLabels(Cleaning, MuonRecipe)`. Predicts like any model."""

    hiding: ClassVar[str | None] = None
    """None, or how an object without a label is hidden: by the "ignore" label where it may be, or by "blur"."""
    every: ClassVar[int] = 5
    """Epochs from one correction to the next. The last epoch makes one, too."""
    tau: ClassVar[float] = 0.8
    """Probability above which a prediction takes the place of a label (ours, not tuned)."""
    column: ClassVar[str | None] = None
    """Of `case_metadata.json`, with the values "clean" and "noisy"; clean cases are never corrected. None: all are."""
    label_manager: Any
    _goes_on = False
    _curves: dict[int, list[float]]
    _started: dict[int, int]
    _diameter: float | None = None
    _given: Any
    _to_correct: list[str]
    _confusion: Tensor

    def initialize(self) -> None:
        self._refuse_what_does_not_fit()
        self._curves, self._started = {int(label): [] for label in self.label_manager.foreground_labels}, {}
        super().initialize()

    def _refuse_what_does_not_fit(self) -> None:
        dataset = self.plans_manager.dataset_name
        require_one_gpu(self, "labels are corrected by one")
        if self.is_cascaded:
            raise UserError(
                f"{self.configuration_name} is the second stage of a cascade, which needs predictions of the first for "
                "each correction.",
                "Clean the labels with 2d, 3d_fullres or 3d_lowres.",
            )
        if self.label_manager.has_regions:
            raise UserError(
                f"the labels of {dataset} are regions ({self.dataset_json['labels']}), which overlap; a voxel is "
                "corrected to one class.",
                f"Write dataset.json with a plain label for each class and preprocess again, {WITHOUT}",
            )
        if self.label_manager.has_ignore_label:
            raise UserError(
                f"{dataset} has an ignore label, {self.label_manager.ignore_label}, already: what somebody left out on "
                "purpose and what is hidden here could not be told apart.",
                f"Take it out of the labels and of dataset.json and preprocess again, {WITHOUT}",
            )

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        self._goes_on = True
        super().load_checkpoint(filename_or_checkpoint)
        state = self.my_init_kwargs[CLEANING_KEY]
        self._curves, self._started, self._diameter = state["curves"], state["started"], state["diameter"]

    def save_checkpoint(self, filename: str) -> None:
        state = {"curves": self._curves, "started": self._started, "diameter": self._diameter}
        self.my_init_kwargs[CLEANING_KEY] = state
        super().save_checkpoint(filename)

    def on_train_start(self) -> None:
        for folder in (self._work, self._result):
            if not self._goes_on and folder.exists():
                raise UserError(
                    f"{folder} has corrected labels of an earlier training, and was not changed.",
                    "Go on with that training by --c, or move the folder away.",
                )
        super().on_train_start()
        self.print_to_log_file(
            f"Labels of {len(self._to_correct)} of {len(self._given.identifiers)} training cases may be corrected; "
            "those of the validation are not: with errors in them, its Dice punishes a network that is right."
        )

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        training, validation = super().get_tr_and_val_datasets()
        self._given, self._to_correct = training, self._noisy(training.identifiers)
        if missing := missing_raw_labels(self, self._to_correct):
            raise UserError(
                f"{len(missing)} cases, such as {missing[0]}, have no label file in the folder gt_segmentations of "
                f"{self.preprocessed_dataset_folder_base}; corrected labels shall have its geometry.",
                "Run nnUNetv2_preprocess or nnUNetv2_plan_and_preprocess again, which copy them there.",
            )
        return Corrected(training, self._work), validation

    def _noisy(self, cases: list[str]) -> list[str]:
        if self.column is None:
            return list(cases)
        folder = metadata_folder(self.plans_manager.dataset_name)
        groups = group_cases(folder, self.column, cases)
        if others := sorted(str(value) for value in groups if value not in (CLEAN, NOISY)):
            raise UserError(
                f"{folder / FILE} has {others[0]!r} in the column {self.column!r}.",
                f'Its values are "{CLEAN}", for cases whose labels stay, and "{NOISY}".',
            )
        return groups[NOISY]

    def _build_loss(self) -> nn.Module:
        own = self.label_manager
        if self.hiding == "ignore":  # The loss alone needs to know: of nothing else do labels have it.
            labels = {**self.dataset_json["labels"], "ignore": self._ignore}
            self.label_manager = self.plans_manager.get_label_manager({**self.dataset_json, "labels": labels})
        try:
            loss = super()._build_loss()
        finally:
            self.label_manager = own
        loss.register_forward_hook(self._count)
        return loss

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        classes = self.label_manager.num_segmentation_heads
        self._confusion = torch.zeros(classes + 1, classes, dtype=torch.long, device=self.device)

    @torch.no_grad()
    def _count(self, _loss: nn.Module, inputs: tuple[Any, Any], _value: Any) -> None:
        """Adds what the training step predicts to the table of labels (the last row: ignored) and predictions."""
        if not bare(self.network).training:
            return
        outputs, target = (x[0] if isinstance(x, list) else x for x in inputs)
        pairs = target[:, 0].long() * outputs.shape[1] + outputs.argmax(1)
        numbers = torch.bincount(pairs.flatten(), minlength=self._confusion.numel())
        self._confusion += numbers.view_as(self._confusion)

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        table = self._confusion[:-1].cpu().numpy()
        for label, values in self._curves.items():
            if label in self._started or not table[label].sum():
                continue
            values.append(float(2 * table[label, label] / (table[label].sum() + table[:, label].sum())))
            if self.starts(values):
                self._started[label] = self.current_epoch
                self.print_to_log_file(
                    f"Class {label} is corrected from now on: its training Dice of {values[-1]:.4f} hardly rises."
                )

    def starts(self, overlaps: list[float]) -> bool:
        """Whether to correct a class with these Dice, one an epoch; for another rule than that of ADELE."""
        return starts(overlaps)

    def on_epoch_end(self) -> None:
        if self._started:
            since = self.current_epoch - min(self._started.values())
            if since % self.every == 0 or self.current_epoch == self.num_epochs - 1:
                self._correct_cases()
        super().on_epoch_end()

    def _correct_cases(self) -> None:
        if self.hiding == "blur" and self._diameter is None:
            self._diameter = self._median_diameter()
        classes = sorted(self._started)
        added, removed, changed = 0, 0, 0
        predictor = self._start_predicting()
        try:
            for case in self._to_correct:
                image, given, _, properties = self._given.load_case(case)
                image, given = np.asarray(image[:], np.float32), np.asarray(given[:])
                views = mirrored_views(predictor, torch.from_numpy(image), self.inference_allowed_mirroring_axes or ())
                fused = fuse(views).numpy()
                corrected = correct(given[0], fused, classes, self.tau)
                added += int(np.sum((given[0] <= BACKGROUND) & (corrected > BACKGROUND)))
                removed += int(np.sum((given[0] > BACKGROUND) & (corrected == BACKGROUND)))
                changed += bool((corrected != given[0]).any())
                self._hand_out(case, image, corrected, fused, properties)
        finally:
            self.set_deep_supervision_enabled(self.enable_deep_supervision)
            compute_gaussian.cache_clear()
        self.print_to_log_file(
            f"Labels corrected: {changed} of {len(self._to_correct)} cases differ from the given ones; {added} voxels "
            f"of background have a class now, {removed} voxels of a class are background"
        )

    def _start_predicting(self) -> nnUNetPredictor:
        self.set_deep_supervision_enabled(False)
        self.network.eval()
        predictor = nnUNetPredictor(
            use_mirroring=False, perform_everything_on_device=self.device.type == "cuda", device=self.device,
            allow_tqdm=False,
        )  # fmt: skip
        predictor.manual_initialization(
            self.network, self.plans_manager, self.configuration_manager, None, self.dataset_json, type(self).__name__,
            self.inference_allowed_mirroring_axes,
        )  # fmt: skip
        return predictor

    def _hand_out(
        self, case: str, image: NDArray, corrected: NDArray, fused: NDArray, properties: dict[str, Any]
    ) -> None:
        """Writes what the loader takes from now on; locations are of the classes that nnU-Net had kept."""
        kept = properties["class_locations"]
        locations = DefaultPreprocessor._sample_foreground_locations(corrected[None], [int(label) for label in kept])
        blurred = None
        if self.hiding == "ignore":
            corrected = np.where(unlabelled(corrected, fused, sorted(self._started), self.tau), self._ignore, corrected)
        elif self.hiding == "blur" and self._diameter is not None:
            blurred = blur_background(image, corrected, self.configuration_manager.spacing, self._diameter)
        write_case(self._work, case, corrected[None].astype(np.int16), locations, blurred)

    def _median_diameter(self) -> float | None:
        """Of the objects in the given labels of all training cases."""
        spacing = self.configuration_manager.spacing
        loaded = (np.asarray(self._given.load_case(case)[1][:])[0] for case in self._given.identifiers)
        found = np.concatenate([diameters(labels, spacing) for labels in loaded])
        return float(np.median(found)) if len(found) else None

    def on_train_end(self) -> None:
        super().on_train_end()
        remove_images(self._work)
        if self._result.exists():
            return  # --c of a training that had ended
        if not self._started:
            self.print_to_log_file("No class met the start rule: all labels stayed as they were given.")
            return
        names = {int(label): name for name, label in self.dataset_json["labels"].items()}
        facts = {
            "trainer": type(self).__name__,
            "dataset": self.plans_manager.dataset_name,
            "fold": self.fold,
            "hiding": self.hiding or "none",
            "tau": self.tau,
            "corrected_from_epoch": {names[label]: epoch for label, epoch in self._started.items()},
        }
        changed = write_report(self._result, self._work, self._given, self, facts)
        self.print_to_log_file(
            f"{len(changed)} of {len(self._to_correct)} cases have other labels now: {self._result}. The given ones "
            "are as they were."
        )

    def shown(self, labels: NDArray) -> NDArray:
        """Labels as a person shall see them: what is hidden is background, as it was given."""
        return np.where(labels == self._ignore, BACKGROUND, labels)

    @property
    def _ignore(self) -> int:
        """What nnU-Net asks of an ignore label: the number after the last class."""
        return int(max(self.label_manager.all_labels)) + 1

    @property
    def _work(self) -> Path:
        return Path(self.output_folder) / WORK

    @property
    def _result(self) -> Path:
        return Path(self.output_folder) / RESULT
