"""`nnUNetv2_factorizer_doctor`: what is wrong with an installation, plans or a checkpoint."""

import argparse
from pathlib import Path

from nnunetv2_factorizer.doctor.examination import examine_all
from nnunetv2_factorizer.doctor.finding import as_json, as_table, healthy


def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(
        description="Look at versions, at which nnU-Net is imported, at its folders and at whether it finds the "
        "Factorizer trainers, and say how to mend what is wrong. Nothing is changed. Exit status: 0 without errors, "
        "1 with any; a warning is no error."
    )
    parser.add_argument(
        "--plans",
        type=Path,
        metavar="FILE",
        help="also see whether the networks of these plans can be built; dataset.json must lie beside them",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="also list what this checkpoint holds, without running any of it as nnU-Net's loading would, and whether "
        "its weights fit --plans, or the plans in the folder above it",
    )
    parser.add_argument(
        "--model_zip",
        type=Path,
        metavar="FILE",
        help="also look at a model zip before nnUNetv2_install_pretrained_model_from_zip does: names that would leave "
        "its folder, and what its checkpoints would run",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    args = parser.parse_args()
    findings = examine_all(args.plans, args.checkpoint, args.model_zip)
    print(as_json(findings) if args.json else as_table(findings))
    raise SystemExit(0 if healthy(findings) else 1)
