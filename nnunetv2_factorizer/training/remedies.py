"""What to change where plans do not work: the file and the settings in it."""

import json
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


def plans_file(trainer: nnUNetTrainer) -> Path:
    """Where the plans of a trainer are."""
    return Path(trainer.preprocessed_dataset_folder_base or "") / f"{trainer.plans_manager.plans_name}.json"


def check_dataset(trainer: nnUNetTrainer) -> None:
    """Checks that the plans are of the data set that is trained on.

    nnU-Net takes its folders from the plans, and `dataset.json` from the data set named on the command line.

    Raises:
        ValueError: they are of another one.
    """
    if trainer.preprocessed_dataset_folder_base is None:
        return  # Without the variable there is nothing to train on, as nnU-Net will say.
    name = trainer.plans_manager.dataset_name
    path = Path(trainer.preprocessed_dataset_folder_base) / "dataset.json"
    if not path.is_file() or json.loads(path.read_text()) != trainer.dataset_json:
        raise ValueError(
            f"the plans {trainer.plans_manager.plans_name} are of {name}, the data set to train on is another one "
            f"(its dataset.json is not that of {path.parent}).\n"
            "Plan this data set itself, with nnUNetv2_plan_and_preprocess or nnUNetv2_factorizer_plan_and_preprocess; "
            "nnUNetv2_move_plans_between_datasets takes plans over from another one."
        )


def explain_plans(error: Exception, trainer: nnUNetTrainer) -> str:
    """One line of cause and one of remedy for a network that cannot be built."""
    return f"{error}\nMend arch_kwargs of {trainer.configuration_name} in {plans_file(trainer)}, or plan again."


def explain_out_of_memory(
    error: torch.OutOfMemoryError, trainer: nnUNetTrainer, architecture: dict[str, Any], when: str
) -> str:
    """One line of cause and one of remedy for a GPU that is too small."""
    configuration = trainer.configuration_manager
    memory = architecture["arch_kwargs"].get("memory")
    fast = 'Set "memory" to "low" in arch_kwargs, or lower' if memory == "fast" else "Lower"
    return (
        f"{'. '.join(str(error).split('. ')[:3])}: {when}, batch size {configuration.batch_size}, "
        f"patch {list(configuration.patch_size)}.\n"
        f"{fast} batch_size of {trainer.configuration_name} in {plans_file(trainer)}, or plan for a smaller GPU under "
        "another name: nnUNetv2_factorizer_plan_and_preprocess -d ID -gpu_memory_target GB -overwrite_plans_name NAME. "
        "Not compiled (nnUNet_compile=f), the network may need less."
    )


def is_of_gpu(error: Exception) -> bool:
    """Whether an error comes from the GPU; those of earlier steps show late, in whatever copies from it."""
    return isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and "CUDA" in str(error))
