"""The suite: every check in every case, with a result for each."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from nnunetv2_factorizer.conformance import contract, deployment, forward, numerics, rng
from nnunetv2_factorizer.conformance.cases import CASES, Case, fixed_by
from nnunetv2_factorizer.conformance.subject import ArchKwargs, CheckFailed, Subject

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
    """What a check found in a case: `status` is "passed", "failed" or "skipped"; `message` says why."""

    check: str
    case: str
    status: str
    message: str = ""
    error: Exception | None = None

    def __str__(self) -> str:
        return f"{self.check} [{self.case}] {self.status}" + (f": {self.message}" if self.message else "")


def check_nnunet_architecture(
    network_class: type[nn.Module],
    arch_kwargs: ArchKwargs | None = None,
    skip: Sequence[str] = (),
    *,
    cases: Sequence[Case] = CASES,
    kw_requires_import: Sequence[str] = (),
) -> list[CheckResult]:
    """Checks that nnU-Net can plan, train, save, load and run a network.

    Args:
        network_class: `(input_channels, num_classes, **arch_kwargs)`, defined where plans can name it.
        arch_kwargs: what stands under this name in the plans, JSON values. They are laid over the arguments that
            nnU-Net's planner writes and the constructor takes (`n_stages`, `conv_op`, `strides` ...). A function of the
            `Case` where they depend on the dimension.
        skip: names of checks (`CHECKS`) and of cases.
        cases: kinds of plans, by default 2D, 3D, and 3D with thick slices.
        kw_requires_import: further arguments that are dotted names, besides nnU-Net's conv_op, norm_op, dropout_op and
            nonlin, as `_kw_requires_import` in the plans.

    Returns:
        One result for each check and case, none of them failed.

    Raises:
        AssertionError: checks failed; the message is all of theirs.
        ValueError: `skip` or `arch_kwargs` make no sense.
    """
    checks = run_checks(network_class, arch_kwargs, skip, cases=cases, kw_requires_import=kw_requires_import)
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
    cases: Sequence[Case] = CASES,
    kw_requires_import: Sequence[str] = (),
) -> Iterator[CheckResult]:
    """As `check_nnunet_architecture`, but yields the results as they come, the failed ones among them."""
    arch_kwargs = {} if arch_kwargs is None else arch_kwargs
    _check_arguments(arch_kwargs, skip, cases)
    for case in cases:
        subject = Subject(network_class, case, arch_kwargs, kw_requires_import)
        built = True
        for name in CHECKS:
            if name in skip or case.name in skip:
                yield CheckResult(name, case.name, "skipped", "as asked")
            elif not built:
                yield CheckResult(name, case.name, "skipped", "the network could not be built, see `builds`")
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
        return CheckResult(name, subject.case.name, "failed", one_line, error)
    except Exception as error:
        return CheckResult(name, subject.case.name, "failed", _describe(error), error)
    return CheckResult(name, subject.case.name, "passed")


def _describe(error: Exception) -> str:
    """What was raised, and the innermost line outside PyTorch."""
    frames = traceback.extract_tb(error.__traceback__)
    innermost = [frame for frame in frames if "torch" not in Path(frame.filename).parts] or frames
    first_line = str(error).strip().partition("\n")[0]
    return f"raised {type(error).__name__}: {first_line} ({innermost[-1].filename}, line {innermost[-1].lineno})"


def _check_arguments(arch_kwargs: ArchKwargs, skip: Sequence[str], cases: Sequence[Case]) -> None:
    names = [*CHECKS, *(case.name for case in cases)]
    unknown = [name for name in skip if name not in names]
    if unknown:
        raise ValueError(f"skip must name checks or cases, got {', '.join(unknown)}. There are: {', '.join(names)}.")
    if callable(arch_kwargs):
        return
    fixed = [key for case in cases for key in fixed_by(case) if key in arch_kwargs]
    if fixed:
        raise ValueError(
            f"arch_kwargs must not hold {', '.join(dict.fromkeys(fixed))}, which differ from case to case. "
            "Give a function of the case, or cases of your own."
        )
