"""Preprocessing through nnU-Net that does not repeat what nnU-Net has done already."""

from collections.abc import Sequence
from pathlib import Path

from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess_dataset
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.dataset_name_id_conversion import convert_id_to_dataset_name
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets


def preprocess_missing(
    dataset_id: int,
    plans_name: str,
    configurations: Sequence[str],
    num_processes: Sequence[int],
    verbose: bool = False,
    show_progress_bar: bool = True,
) -> None:
    """Runs nnU-Net's preprocessing for the configurations whose folder does not hold every case yet.

    nnU-Net deletes a folder before it fills it again; data that a training may be reading are left alone.

    Args:
        dataset_id: of the data set.
        plans_name: name of the plans file.
        configurations: those that the plans lack are skipped, as nnU-Net does.
        num_processes: for each configuration.
        verbose: as in nnU-Net.
        show_progress_bar: as in nnU-Net.
    """
    todo = []
    for configuration, processes in zip(configurations, num_processes, strict=True):
        folder = _folder(dataset_id, plans_name, configuration)
        if folder is not None and _is_complete(dataset_id, folder):
            print(f"{configuration}: {folder} holds every case already; delete it to have it made again.")
        else:
            todo.append((configuration, processes))
    # nnU-Net also copies the labels that validation compares with, so that this is called with an empty list, too.
    names = [configuration for configuration, _ in todo]
    preprocess_dataset(dataset_id, plans_name, names, [n for _, n in todo], verbose, show_progress_bar)


def _folder(dataset_id: int, plans_name: str, configuration: str) -> Path | None:
    base = Path(str(nnUNet_preprocessed)) / convert_id_to_dataset_name(dataset_id)
    plans = PlansManager(str(base / f"{plans_name}.json"))
    if configuration not in plans.available_configurations:
        return None
    return base / plans.get_configuration(configuration).data_identifier


def _is_complete(dataset_id: int, folder: Path) -> bool:
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    cases = get_filenames_of_train_images_and_targets(
        str(Path(str(nnUNet_raw)) / convert_id_to_dataset_name(dataset_id))
    )
    done = infer_dataset_class(str(folder)).get_identifiers(str(folder))
    return set(cases) == set(done)
