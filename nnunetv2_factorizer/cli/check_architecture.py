"""`nnUNetv2_check_architecture`: whether anybody's network does what nnU-Net asks of one."""

import argparse
import pydoc
from pathlib import Path
from typing import Any

from torch import nn
from tqdm import tqdm

from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.conformance import CHECKS, CONFIGURATIONS, CheckResult, run_checks
from nnunetv2_factorizer.conformance.pretrained import check_pretrained
from nnunetv2_factorizer.conformance.subject import CheckFailed
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.json_files import read_json

CELLS = {"passed": "ok", "failed": "FAILED", "skipped": "-"}


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    parser = _parser()
    args = parser.parse_args()
    if args.list:
        print("\n".join(f"{name:<20}{(check.__doc__ or '').strip()}" for name, check in CHECKS.items()))
        return
    if args.pretrained is not None:
        _check_pretrained(args.pretrained)
        return
    if args.path is None:
        parser.error("which network? Give its dotted path, such as my_package.my_module.MyNetwork")
    network_class, arch_kwargs = _locate(args.path), _read(args.arch_kwargs)
    checks = run_checks(network_class, arch_kwargs, args.skip, kw_requires_import=args.kw_requires_import)
    results = list(tqdm(checks, total=len(CHECKS) * len(CONFIGURATIONS), leave=False, disable=None))
    print(_table(results))
    failed: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result.status == "failed":
            failed.setdefault((result.check, result.message), []).append(result.configuration)
    for (check, message), configurations in failed.items():
        print(f"\n{check} [{', '.join(configurations)}]: {message}")
    counts = ", ".join(f"{sum(r.status == status for r in results)} {status}" for status in CELLS)
    print(f"\n{args.path}: {counts}")
    if failed:
        raise SystemExit(1)


def _check_pretrained(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path} is no file.", "Give the checkpoint_pretrained.pth of a pre-training.")
    try:
        check_pretrained(path)
    except CheckFailed as error:
        print(f"{path}: FAILED\n\n{error}")
        raise SystemExit(1) from None
    print(
        f"{path}: -pretrained_weights of nnU-Net 2.8 takes it, and so does the loader of nnU-Net's development branch"
    )


def _table(results: list[CheckResult]) -> str:
    """A row a check, a column a configuration."""
    status = {(result.check, result.configuration): CELLS[result.status] for result in results}
    rows = [["check", *(c.name for c in CONFIGURATIONS)]]
    rows += [[name, *(status[name, c.name] for c in CONFIGURATIONS)] for name in CHECKS]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _locate(path: str) -> type[nn.Module]:
    """The class by the function that nnU-Net names it with."""
    try:
        found: Any = pydoc.locate(path)
    except pydoc.ErrorDuringImport as error:
        raise UserError(f"{path} cannot be imported: {error}.", "Mend or install what is named there.") from error
    if found is None:
        raise UserError(
            f"{path}: nothing of this name can be imported.",
            "Check the spelling, and install the package that holds it (pip install -e .) or put its folder on "
            "PYTHONPATH, which nnU-Net needs, too.",
        )
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise UserError(f"{path} must be a class derived from torch.nn.Module, got {found!r}.", "Give its path.")
    return found


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        arch_kwargs = read_json(file)
    except (OSError, ValueError) as error:
        raise UserError(f"--arch_kwargs {file}: {error}", "Give a JSON file.") from error
    if not isinstance(arch_kwargs, dict):
        raise UserError(f"--arch_kwargs {file} holds a {type(arch_kwargs).__name__}.", "It must hold an object {...}.")
    return arch_kwargs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Check that nnU-Net can plan, train, save, load and run a network, with small networks in 2D, "
        "in 3D and in 3D with thick slices, on the CPU. Prints a table, then what is wrong and what to do. Exit status "
        "1 if a check fails."
    )
    add = parser.add_argument
    add("path", nargs="?", metavar="DOTTED.PATH", help="of the class, as plans name it: my_package.my_module.MyNetwork")
    add(
        "--arch_kwargs",
        type=Path,
        metavar="FILE.json",
        help="arguments of its constructor that hold in 2D and 3D. Those that nnU-Net's planner writes (n_stages, "
        "conv_op, strides ...) and `patch_size` are given anyway where the constructor takes them.",
    )
    add(
        "--kw_requires_import",
        nargs="+",
        default=[],
        metavar="KEY",
        help="arguments in this file that are dotted names of classes, as _kw_requires_import in plans; conv_op, "
        "norm_op, dropout_op and nonlin always are",
    )
    add(
        "--skip",
        nargs="+",
        default=[],
        metavar="NAME",
        help="checks (--list) or configurations (2d, 3d, 3d_anisotropic)",
    )
    add(
        "--pretrained",
        type=Path,
        metavar="FILE",
        help="check a checkpoint of a pre-training in place of a network: whether nnU-Net's loaders of pre-trained "
        "weights take it, that of 2.8 and that of the development branch",
    )
    add("--list", action="store_true", help="print the checks")
    return parser
