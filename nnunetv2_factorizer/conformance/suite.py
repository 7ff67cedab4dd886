"""The suite: every check in every configuration, with a result for each."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from nnunetv2_factorizer.conformance import contract, deployment, forward, numerics, rng
from nnunetv2_factorizer.conformance.configurations import CONFIGURATIONS, Configuration, fixed_by
from nnunetv2_factorizer.conformance.subject import ArchKwargs, CheckFailed, Subject
from nnunetv2_factorizer.errors import UserError

CHECKS: dict[str, Callable[[Subject], None]] = {
    check.__name__: check
    for check in (
        contract.builds,
        contract.deep_supervision,
        contract.heads,
        contract.initialize,
        contract.pretraining_keys,
        forward.shapes,
        forward.batch_of_one,
        forward.odd_patches,
        forward.deterministic,
        forward.global_rng,
        numerics.finite_float32,
        numerics.finite_float16,
        numerics.finite_bfloat16,
        numerics.gradients,
        deployment.state_dict,
        deployment.pretrained_weights,
        deployment.memory_estimate,
        deployment.torch_compile,
        deployment.torch_export,
    )
}
"""Name to check, in the order in which they run. The first line of a docstring says what is checked."""


@dataclass(frozen=True)
class CheckResult:
    """What a check found in a configuration: `status` is "passed", "failed" or "skipped"; `message` says why."""

    check: str
    configuration: str
    status: str
    message: str = ""
    error: Exception | None = None

    def __str__(self) -> str:
        return f"{self.check} [{self.configuration}] {self.status}" + (f": {self.message}" if self.message else "")


def check_nnunet_architecture(
    network_class: type[nn.Module],
    arch_kwargs: ArchKwargs | None = None,
    skip: Sequence[str] = (),
    *,
    configurations: Sequence[Configuration] = CONFIGURATIONS,
    kw_requires_import: Sequence[str] = (),
) -> list[CheckResult]:
    """Checks that nnU-Net can plan, train, save, load and run a network.

    Args:
        network_class: `(input_channels, num_classes, **arch_kwargs)`, defined where plans can name it.
        arch_kwargs: what stands under this name in the plans, JSON values. They are laid over the arguments that
            nnU-Net's planner writes and the constructor takes (`n_stages`, `conv_op`, `strides` ...). A function of the
            `Configuration` where they depend on the dimension.
        skip: names of checks (`CHECKS`) and of configurations.
        configurations: kinds of plans, by default 2D, 3D, and 3D with thick slices.
        kw_requires_import: further arguments that are dotted names, besides nnU-Net's conv_op, norm_op, dropout_op and
            nonlin, as `_kw_requires_import` in the plans.

    Returns:
        One result for each check and configuration, none of them failed.

    Raises:
        AssertionError: checks failed; the message is all of theirs.
        UserError: `skip` or `arch_kwargs` make no sense.
    """
    checks = run_checks(
        network_class, arch_kwargs, skip, configurations=configurations, kw_requires_import=kw_requires_import
    )
    results = list(checks)
    failed = [result for result in results if result.status == "failed"]
    if failed:
        messages = "\n".join(str(result) for result in failed)
        raise AssertionError(
            f"{network_class.__name__} failed {len(failed)} of {len(results)} checks for nnU-Net:\n{messages}"
        ) from failed[0].error
    return results


def run_checks(
    network_class: type[nn.Module],
    arch_kwargs: ArchKwargs | None = None,
    skip: Sequence[str] = (),
    *,
    configurations: Sequence[Configuration] = CONFIGURATIONS,
    kw_requires_import: Sequence[str] = (),
) -> Iterator[CheckResult]:
    """As `check_nnunet_architecture`, but yields the results as they come, the failed ones among them."""
    arch_kwargs = {} if arch_kwargs is None else arch_kwargs
    _check_arguments(arch_kwargs, skip, configurations)
    for configuration in configurations:
        subject = Subject(network_class, configuration, arch_kwargs, kw_requires_import)
        built = True
        for name in CHECKS:
            if name in skip or configuration.name in skip:
                yield CheckResult(name, configuration.name, "skipped", "as asked")
            elif not built:
                yield CheckResult(name, configuration.name, "skipped", "the network could not be built, see `builds`")
            else:
                result = _run(name, subject)
                built = built and not (name == "builds" and result.status == "failed")
                yield result


def _run(name: str, subject: Subject) -> CheckResult:
    try:
        with rng.isolated():
            CHECKS[name](subject)
    except CheckFailed as error:
        one_line = " ".join(str(error).split())  # PyTorch's messages, which some quote, have many
        return CheckResult(name, subject.configuration.name, "failed", one_line, error)
    except Exception as error:
        return CheckResult(name, subject.configuration.name, "failed", _describe(error), error)
    return CheckResult(name, subject.configuration.name, "passed")


def _describe(error: Exception) -> str:
    """What was raised, and the innermost line outside PyTorch."""
    frames = traceback.extract_tb(error.__traceback__)
    innermost = [frame for frame in frames if "torch" not in Path(frame.filename).parts] or frames
    first_line = str(error).strip().partition("\n")[0]
    return f"raised {type(error).__name__}: {first_line} ({innermost[-1].filename}, line {innermost[-1].lineno})"


def _check_arguments(arch_kwargs: ArchKwargs, skip: Sequence[str], configurations: Sequence[Configuration]) -> None:
    names = [*CHECKS, *(configuration.name for configuration in configurations)]
    unknown = [name for name in skip if name not in names]
    if unknown:
        raise UserError(
            f"skip must name checks or configurations, got {', '.join(unknown)}.", f"There are: {', '.join(names)}."
        )
    if callable(arch_kwargs):
        return
    fixed = [key for configuration in configurations for key in fixed_by(configuration) if key in arch_kwargs]
    if fixed:
        raise UserError(
            f"arch_kwargs must not hold {', '.join(dict.fromkeys(fixed))}, which differ between configurations.",
            "Give a function of the configuration, or configurations of your own.",
        )
