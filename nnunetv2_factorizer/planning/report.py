"""What a planner chose, for the person who asked."""

from typing import Any

from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_factorizer.families import family_of
from nnunetv2_factorizer.planning.budget import needed_gb, peak_of_step


def chosen(plans: dict[str, Any], dataset_json: dict[str, Any]) -> list[str]:
    """A paragraph for each configuration of a network of ours: patch, batch, stages, windows, and memory in GB."""
    manager = PlansManager(plans)
    paragraphs = []
    for name in manager.available_configurations:
        configuration = manager.get_configuration(name)
        family = family_of(configuration.network_arch_class_name)
        if family is not None:
            channels = determine_num_input_channels(manager, configuration, dataset_json)
            kwargs = configuration.network_arch_init_kwargs
            peak = peak_of_step(
                family,
                kwargs,
                configuration.patch_size,
                channels,
                len(dataset_json["labels"]),
                configuration.batch_size,
            )
            paragraphs.append(_paragraph(name, configuration, peak))
    return paragraphs


def _paragraph(name: str, configuration: ConfigurationManager, peak: int) -> str:
    network = configuration.network_arch_init_kwargs
    lines = [f"{name}: patches of {_times(configuration.patch_size)} voxels, batch size {configuration.batch_size}"]
    if "features_per_stage" in network:
        lines.append(f"  {network['n_stages']} stages of {' '.join(map(str, network['features_per_stage']))} channels")
    if "window_size" in network:
        windows = network["window_size"]
        windows = " ".join(_times(window) for window in windows) if isinstance(windows, list) else windows
        lines.append(f"  {network['matricize']} windows of {windows} voxels, heads of {network['head_dim']} channels")
    if "local_path" in network:
        lines.append(f"  local path: {network['local_path']}")
    lines.append(f"  expected to need a GPU of {needed_gb(peak):.1f} GB in training (fp16, not compiled)")
    return "\n".join(lines)


def _times(numbers: Any) -> str:
    return "x".join(str(number) for number in numbers)
