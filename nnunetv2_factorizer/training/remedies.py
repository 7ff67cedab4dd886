"""What to change where plans do not work: the file and the settings in it."""

from pathlib import Path
from typing import Any

import torch
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.json_files import read_json


def plans_file(plans_manager: PlansManager) -> Path:
    """Where the plans of a training are; without the variable for it, their data set and name."""
    base = Path(nnUNet_preprocessed.get() or "")
    return base / plans_manager.dataset_name / f"{plans_manager.plans_name}.json"


def arch_kwargs_of(plans_manager: PlansManager, configuration_manager: ConfigurationManager) -> str:
    """Such as `arch_kwargs of 3d_fullres in FILE`."""
    names = plans_manager.available_configurations
    wanted = configuration_manager.configuration
    same = [name for name in names if plans_manager.get_configuration(name).configuration == wanted]
    return f"arch_kwargs of {', '.join(same)} in {plans_file(plans_manager)}"


def require_one_gpu(trainer: nnUNetTrainer, why: str) -> None:
    """Raises a `UserError` where a training was started on several GPUs; `why` says what does not work there."""
    if trainer.is_ddp:
        raise UserError(
            f"{type(trainer).__name__} was started on several GPUs (-num_gpus); {why}.", "Leave -num_gpus out."
        )


def check_dataset(trainer: nnUNetTrainer) -> None:
    """Checks that the plans are of the data set that is trained on.

    nnU-Net takes its folders from the plans, and `dataset.json` from the data set named on the command line.

    Raises:
        UserError: they are of another one.
    """
    if trainer.preprocessed_dataset_folder_base is None:
        return  # Without the variable there is nothing to train on, as nnU-Net will say.
    name = trainer.plans_manager.dataset_name
    path = Path(trainer.preprocessed_dataset_folder_base) / "dataset.json"
    if not path.is_file() or read_json(path) != trainer.dataset_json:
        raise UserError(
            f"the plans {trainer.plans_manager.plans_name} are of {name}, the data set to train on is another one "
            f"(its dataset.json is not that of {path.parent}).",
            "Plan this data set itself, with nnUNetv2_plan_and_preprocess or nnUNetv2_factorizer_plan_and_preprocess; "
            "nnUNetv2_move_plans_between_datasets takes plans over from another one.",
        )


def explain_out_of_memory(
    error: torch.OutOfMemoryError, trainer: nnUNetTrainer, architecture: dict[str, Any], when: str
) -> UserError:
    """What to say of a GPU that is too small."""
    configuration = trainer.configuration_manager
    recompute = architecture["arch_kwargs"].get("recompute", True)
    keeps = recompute is False or (isinstance(recompute, list) and not all(recompute))
    first = 'Set "recompute" to true in arch_kwargs, or lower' if keeps else "Lower"
    return UserError(
        f"{'. '.join(str(error).split('. ')[:3])}: {when}, batch size {configuration.batch_size}, "
        f"patch {list(configuration.patch_size)}.",
        f"{first} batch_size of {trainer.configuration_name} in {plans_file(trainer.plans_manager)}, or plan for a "
        "smaller GPU under another name: nnUNetv2_factorizer_plan_and_preprocess -d ID -gpu_memory_target GB "
        "-overwrite_plans_name NAME. Not compiled (nnUNet_compile=f), the network may need less.",
    )


def is_of_gpu(error: Exception) -> bool:
    """Whether an error comes from the GPU; those of earlier steps show late, in whatever copies from it."""
    return isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and "CUDA" in str(error))
