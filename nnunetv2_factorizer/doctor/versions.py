"""Which versions are installed, and whether they are among those that this package supports."""

import platform
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

import torch
from packaging.requirements import Requirement

from nnunetv2_factorizer import DISTRIBUTION
from nnunetv2_factorizer.doctor.finding import Finding
from nnunetv2_factorizer.factorization.kernels import mixing_trial
from nnunetv2_factorizer.factorization.mixing import PLAIN
from nnunetv2_factorizer.network import depthwise, voxelwise


def examine() -> list[Finding]:
    """Python, this package, what it requires, GPU, Triton and our kernels in it."""
    findings = [
        Finding("python", "ok", platform.python_version()),
        Finding(DISTRIBUTION, "ok", version(DISTRIBUTION)),
    ]
    requirements = [Requirement(text) for text in requires(DISTRIBUTION) or []]
    findings += [_requirement(r) for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    return [*findings, _gpu(), _triton(), _kernels(torch.device("cuda"))]


def _requirement(requirement: Requirement) -> Finding:
    remedy = f"pip install '{requirement}'"
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return Finding(requirement.name, "error", f"is not installed; {requirement} is needed", remedy)
    if requirement.specifier.contains(installed, prereleases=True):
        return Finding(requirement.name, "ok", installed)
    return Finding(requirement.name, "error", f"{installed} is installed; {requirement} is supported", remedy)


def _gpu() -> Finding:
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Finding("GPU", "ok", f"{', '.join(names)} (CUDA {torch.version.cuda})")
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    return Finding(
        "GPU",
        "warning",
        f"PyTorch ({build} build) sees none",
        "Train and predict with -device cpu, which is slow. Where there is a GPU, see that `nvidia-smi` works and "
        "that PyTorch's CUDA version is not newer than the driver's.",
    )


def _triton() -> Finding:
    try:
        return Finding("triton", "ok", version("triton"))
    except PackageNotFoundError:
        if not torch.cuda.is_available():
            return Finding("triton", "ok", "is not installed, and not needed without a GPU")
        what = "is not installed: PyTorch does the work of the fused kernels, more slowly"
        return Finding("triton", "warning", what, "pip install triton (it comes with PyTorch's CUDA builds on Linux)")


def _kernels(device: torch.device) -> Finding:
    if not torch.cuda.is_available():
        return Finding("fused kernels", "ok", "not tried without a GPU")
    if find_spec("triton") is None:
        return Finding("fused kernels", "warning", "not tried without triton")
    reason = mixing_trial.why_not(mixing_trial.usual_setting(device), PLAIN)
    if reason is None:
        reason = depthwise.why_not(device, torch.float16, (32, 1, 3, 3, 3), (1, 1, 1))
    if reason is None:
        reason = voxelwise.why_not(device)
    if reason is None:
        return Finding("fused kernels", "ok", "run, and agree with PyTorch in fp16, forward and backward")
    return Finding(
        "fused kernels",
        "warning",
        f"PyTorch does their work, more slowly: {' '.join(reason.split())}",
        "Triton needs a C compiler and the GPU's driver; its versions go with those of PyTorch: pip install torch",
    )
