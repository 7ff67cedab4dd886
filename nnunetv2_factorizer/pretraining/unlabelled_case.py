"""One image without labels through nnU-Net's preprocessing, into files that nnU-Net's data loader opens."""

import io
import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from numpy.typing import NDArray

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.pretraining.unlabelled_images import Images

SUFFIXES = ("_seg.b2nd", ".pkl", ".b2nd")
"""Of the files of a case. nnU-Net lists cases by the last, so that it comes last and goes first."""

MOST_VOXELS = 2**30
"""Of one channel after resampling; more are 4 GB, and rather a spacing in other units than mm."""


class NotUsableError(Exception):
    """Why an image is left out."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case: `made`, `kept` from an earlier run, or `skipped` for a reason."""

    case: str
    state: str
    reason: str = ""
    smaller_than_patch: bool = False
    """nnU-Net's data loader pads it with zeros."""


class WithoutLabels(DefaultPreprocessor):
    """nnU-Net's preprocessor, for images that have no label file.

    It gets a segmentation that is background everywhere. nnU-Net would also preprocess without any, but then write no
    `class_locations`, which its data loader asks for.
    """

    def run_case(
        self,
        image_files: Sequence[str],
        seg_file: None,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        dataset_json: dict[str, Any],
    ) -> tuple[NDArray, NDArray, dict[str, Any]]:
        data, properties = _read(image_files, plans_manager, dataset_json)
        _check(data, properties["spacing"], plans_manager, configuration_manager)
        background = np.zeros((1, *data.shape[1:]), np.int8)
        try:
            return self.run_case_npy(data, background, properties, plans_manager, configuration_manager, dataset_json)
        except Exception as error:
            raise NotUsableError(f"nnU-Net cannot preprocess it: {error!r}") from error


def prepare_case(
    images: Images, plans: dict[str, Any], configuration_name: str, dataset_json: dict[str, Any], folder: Path
) -> Outcome:
    """Preprocesses one case for one configuration, unless that is done. Nothing half-written gets into the folder.

    Args:
        images: of the case.
        plans: of the target.
        configuration_name: one of them.
        dataset_json: of the target.
        folder: for preprocessed cases; beside it, `unfinished` names the one to write into first.

    Raises:
        UserError: the files cannot be written.
    """
    plans_manager = PlansManager(plans)
    configuration = plans_manager.get_configuration(configuration_name)
    if (shape := _finished_shape(folder, images)) is not None:
        return Outcome(images.name, "kept", smaller_than_patch=_is_smaller(shape, configuration.patch_size))
    remove_case(folder, images.name)
    preprocessor = type("Preprocessor", (WithoutLabels, configuration.preprocessor_class), {})(verbose=False)
    written = str(unfinished(folder) / images.name)
    try:
        preprocessor.run_case_save(written, list(images.files), None, plans_manager, configuration, dataset_json)
        _not_older_than(written + ".pkl", images.files)
        for suffix in SUFFIXES:
            os.replace(written + suffix, folder / f"{images.name}{suffix}")
    except NotUsableError as error:
        return Outcome(images.name, "skipped", str(error))
    except Exception as error:
        raise UserError(
            f"{images.name} cannot be written to {folder}: {error!r}",
            "Free some space if the disk is full, then give the same command again: what is done is kept.",
        ) from error
    shape = nnUNetDatasetBlosc2(str(folder), [images.name]).load_case(images.name)[0].shape[1:]
    return Outcome(images.name, "made", smaller_than_patch=_is_smaller(shape, configuration.patch_size))


def unfinished(folder: Path) -> Path:
    """Where the files of a case are until all are complete: on the same disk, where nnU-Net does not look."""
    return folder.with_name(f".{folder.name}.unfinished")


def remove_case(folder: Path, name: str) -> None:
    """Deletes what an earlier run wrote of a case."""
    for suffix in reversed(SUFFIXES):
        (folder / f"{name}{suffix}").unlink(missing_ok=True)


def _finished_shape(folder: Path, images: Images) -> tuple[int, ...] | None:
    """Of a case whose files can all be opened (blosc2 refuses truncated ones) and are as new as the images."""
    try:
        data, seg, _, properties = nnUNetDatasetBlosc2(str(folder), [images.name]).load_case(images.name)
        written = (folder / f"{images.name}.pkl").stat().st_mtime_ns
    except Exception:  # whatever blosc2 and pickle say of such files
        return None
    complete = data.shape[1:] == seg.shape[1:] and "class_locations" in properties
    return data.shape[1:] if complete and _newest(images.files) <= written else None


def _newest(files: Sequence[str]) -> int:
    """When the last of them changed, in ns; an archive that is not mounted does not change."""
    return max((os.stat(file).st_mtime_ns for file in files if os.path.exists(file)), default=0)


def _not_older_than(path: str, files: Sequence[str]) -> None:
    """Images may be from the future: the clock of the machine they were copied from may be fast."""
    if (newest := _newest(files)) > os.stat(path).st_mtime_ns:
        os.utime(path, ns=(newest, newest))


def _read(files: Sequence[str], plans: PlansManager, dataset_json: dict[str, Any]) -> tuple[NDArray, dict[str, Any]]:
    ending, wanted = dataset_json["file_ending"], len(dataset_json.get("modality") or dataset_json["channel_names"])
    case = os.path.basename(files[0])[: -len("_0000" + ending)]
    for i, file in enumerate(files):
        if not file.endswith(expected := f"_{i:04d}{ending}"):
            raise NotUsableError(f"{case}{expected} is missing")
    reader = plans.image_reader_writer_class()
    said = io.StringIO()  # the readers print what is wrong, and then raise an error without a text
    try:
        with redirect_stdout(said):
            in_one_file = 1 if len(files) == wanted else len(reader.read_images(files[:1])[0])
            number = in_one_file * len(files)
            if number < wanted and in_one_file == 1:
                raise NotUsableError(f"{case}_{number:04d}{ending} is missing: the target has {wanted} channels")
            if number != wanted:
                raise NotUsableError(f"it has {number} channels, the target has {wanted}")
            data, properties = reader.read_images(list(files))
    except NotUsableError:
        raise
    except Exception as error:
        reasons = [str(error), said.getvalue(), repr(error)]
        first_line = next(text.strip() for text in reasons if text.strip()).splitlines()[0]
        raise NotUsableError(f"it cannot be read: {first_line}") from error
    if len(data) != wanted:
        raise NotUsableError(f"it has {len(data)} channels, the target has {wanted}")
    return data, properties


def _check(data: NDArray, spacing: Sequence[float], plans: PlansManager, configuration: ConfigurationManager) -> None:
    if wrong := [str(i) for i, channel in enumerate(data) if not np.isfinite(channel).all()]:
        raise NotUsableError(f"there are NaN or infinite voxels in channel {', '.join(wrong)}")
    if all(channel.min() == channel.max() for channel in data):
        raise NotUsableError("all its voxels have the same value")
    if len(configuration.patch_size) == 3 and 1 in data.shape[1:]:
        raise NotUsableError("it is a single slice, and the configuration is 3D")
    if not all(np.isfinite(s) and s > 0 for s in spacing):
        raise NotUsableError(f"its spacing is {_by_x(spacing)} mm")
    order = plans.transpose_forward
    old_shape, old = [data.shape[1:][i] for i in order], [float(spacing[i]) for i in order]
    new = [*old[: 3 - len(configuration.spacing)], *configuration.spacing]  # 2D: slices stay as thick as they are
    shape = compute_new_shape(old_shape, old, new)
    if min(shape) < 1 or prod(int(n) for n in shape) > MOST_VOXELS:
        raise NotUsableError(
            f"its spacing {_by_x(old)} mm (as the plans order the axes) does not go with the target's {_by_x(new)} mm: "
            f"{_by_x(old_shape)} voxels would be {_by_x(shape)}"
        )


def _is_smaller(shape: Sequence[int], patch_size: Sequence[int]) -> bool:
    return any(n < p for n, p in zip(shape[-len(patch_size) :], patch_size, strict=True))


def _by_x(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
