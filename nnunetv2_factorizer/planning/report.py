"""What a planner chose, for the person who asked."""

from typing import Any

from nnunetv2_factorizer.planning.budget import needed_gb, peak_of_step


def chosen(plans: dict[str, Any], dataset_json: dict[str, Any]) -> list[str]:
    """A paragraph for each configuration that names a network: patch, batch, stages, windows, and memory in GB."""
    channels, classes = len(plans["foreground_intensity_properties_per_channel"]), len(dataset_json["labels"])
    paragraphs = []
    for name, plan in plans["configurations"].items():
        if "architecture" in plan:
            kwargs = plan["architecture"]["arch_kwargs"]
            paragraphs.append(_paragraph(name, plan, peak_of_step(kwargs, channels, classes, plan["batch_size"])))
    return paragraphs


def _paragraph(name: str, plan: dict[str, Any], peak: int) -> str:
    network = plan["architecture"]["arch_kwargs"]
    windows = network["window_size"]
    windows = " ".join(_times(window) for window in windows) if isinstance(windows, list) else windows
    return (
        f"{name}: patches of {_times(plan['patch_size'])} voxels, batch size {plan['batch_size']}\n"
        f"  {network['n_stages']} stages of {' '.join(map(str, network['features_per_stage']))} channels, heads of "
        f"{network['head_dim']},\n"
        f"  {network['matricize']} windows of {windows} voxels, local path: {network['local_path']}\n"
        f"  expected to need a GPU of {needed_gb(peak):.1f} GB in training (fp16)"
    )


def _times(numbers: list[int]) -> str:
    return "x".join(str(number) for number in numbers)
