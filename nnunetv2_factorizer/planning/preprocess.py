"""Preprocessing through nnU-Net that does not repeat what nnU-Net has done already."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess_dataset
from nnunetv2.utilities.dataset_name_id_conversion import convert_id_to_dataset_name
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.planning.planner import NNUNET_PLANS


def preprocess_missing(
    dataset_id: int,
    plans_name: str,
    configurations: Sequence[str],
    num_processes: Sequence[int],
    verbose: bool = False,
    show_progress_bar: bool = True,
) -> None:
    """Runs nnU-Net's preprocessing for the configurations whose data are missing, incomplete or out of date.

    Args:
        dataset_id: of the data set.
        plans_name: name of the plans file.
        configurations: those that the plans lack are skipped, as nnU-Net does.
        num_processes: for each configuration.
        verbose: as in nnU-Net.
        show_progress_bar: as in nnU-Net.

    Raises:
        UserError: the data belong to nnU-Net's default plans and are not up to date. nnU-Net deletes a folder
            before it fills it again, and a training may be reading it.
    """
    todo = []
    for configuration, processes in zip(configurations, num_processes, strict=True):
        folder = _folder(dataset_id, plans_name, configuration)
        if folder is None or not folder.is_dir() or not any(folder.iterdir()):
            todo.append((configuration, processes))
            continue
        outdated = _outdated_cases(dataset_id, folder)
        if not outdated:
            print(f"{configuration}: {folder} is up to date; delete it to have it made again.")
        elif folder.name.startswith(f"{NNUNET_PLANS}_") and (folder.parent / f"{NNUNET_PLANS}.json").exists():
            raise UserError(
                f"{folder} belongs to nnU-Net's default plans and lacks {len(outdated)} cases or has older versions of "
                f"them, such as {outdated[0]}. It was not changed.",
                "If the raw files were only copied, and have new times: "
                f"{shlex.join(['find', str(folder), '-name', '*.pkl', '-exec', 'touch', '{}', '+'])}\n"
                "If they have changed, bring it up to date with: "
                f"nnUNetv2_preprocess -d {dataset_id} -plans_name {NNUNET_PLANS} -c {configuration}",
            )
        else:
            todo.append((configuration, processes))
    # nnU-Net also copies the labels that validation compares with, so that this is called with an empty list, too.
    names = [configuration for configuration, _ in todo]
    preprocess_dataset(dataset_id, plans_name, names, [n for _, n in todo], verbose, show_progress_bar)


def _folder(dataset_id: int, plans_name: str, configuration: str) -> Path | None:
    base = nnunet_folder("nnUNet_preprocessed") / convert_id_to_dataset_name(dataset_id)
    plans = PlansManager(str(base / f"{plans_name}.json"))
    if configuration not in plans.available_configurations:
        return None
    return base / plans.get_configuration(configuration).data_identifier


def _outdated_cases(dataset_id: int, folder: Path) -> list[str]:
    """Cases that are not in the folder, or were before one of their files changed. The `.pkl` is written last."""
    raw = nnunet_folder("nnUNet_raw") / convert_id_to_dataset_name(dataset_id)
    cases = get_filenames_of_train_images_and_targets(str(raw))
    outdated = []
    for case, files in cases.items():
        done = folder / f"{case}.pkl"
        changed = max(Path(file).stat().st_mtime for file in [*files["images"], files["label"]])
        if not done.exists() or done.stat().st_mtime < changed:
            outdated.append(case)
    return outdated
