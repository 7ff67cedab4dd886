"""`nnUNetv2_factorizer_plan_and_preprocess`: plans that name a Factorizer, then nnU-Net's preprocessing."""

import argparse
import shlex

from nnunetv2.configuration import default_num_processes
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiment_dataset
from nnunetv2.utilities.dataset_name_id_conversion import convert_id_to_dataset_name

from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.planning.preprocess import preprocess_missing
from nnunetv2_factorizer.planning.report import chosen
from nnunetv2_factorizer.plans import PLANNERS

DEFAULT_PROCESSES = {"2d": 8, "3d_fullres": 4, "3d_lowres": 8}


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    args = _parser().parse_args()
    processes = args.np or [DEFAULT_PROCESSES.get(configuration, 4) for configuration in args.c]
    if len(processes) == 1:
        processes *= len(args.c)
    if len(processes) != len(args.c):
        raise UserError(
            f"-np takes one number or {len(args.c)}, one for each of -c {' '.join(args.c)}; got {args.np}.",
            "Give one of them.",
        )
    planner = PLANNERS[args.pl]

    for dataset_id in args.d:
        try:
            convert_id_to_dataset_name(dataset_id)
        except RuntimeError as error:
            raise UserError(str(error), "Give IDs of data sets in nnUNet_raw with -d.") from error
    print("Fingerprint extraction...")
    extract_fingerprints(
        args.d,
        num_processes=args.npfp,
        check_dataset_integrity=args.verify_dataset_integrity,
        clean=args.clean,
        verbose=args.verbose,
        show_progress_bar=not args.no_pbar,
    )
    for dataset_id in args.d:
        print("Experiment planning...")
        plans, name = plan_experiment_dataset(
            dataset_id,
            planner,
            args.gpu_memory_target,
            overwrite_target_spacing=args.overwrite_target_spacing,
            overwrite_plans_name=args.overwrite_plans_name,
        )
        if not args.no_pp:
            print("Preprocessing...")
            preprocess_missing(dataset_id, name, args.c, processes, args.verbose, not args.no_pbar)
        print(f"\nPlanned for a GPU of {args.gpu_memory_target or planner.gpu_memory_target_in_gb:g} GB:")
        print("\n".join(chosen(plans, read_json(nnunet_folder("nnUNet_raw") / plans["dataset_name"] / "dataset.json"))))
        planned = [c for c in args.c if c in plans["configurations"]]
        configuration = "3d_fullres" if "3d_fullres" in planned else planned[0] if planned else "CONFIGURATION"
        command = ["nnUNetv2_train", str(dataset_id), configuration, "0", "-p", name, "-tr", planner.trainer]
        print(f"\nTrain with:\n{shlex.join(command)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Plan and preprocess a data set for a Factorizer. Like nnUNetv2_plan_and_preprocess; preprocessed "
        "data of nnU-Net's default plans are used as they are where spacing and normalisation agree. The plans name "
        "the network, so that nnUNetv2_train and nnUNetv2_predict work with -p PLANS and any trainer."
    )
    add = parser.add_argument
    add("-d", nargs="+", type=int, required=True, help="[REQUIRED] dataset IDs, for example 2 4 5")
    add(
        "-pl",
        choices=PLANNERS,
        default="nnUNetPlannerHybridFactorizerM",
        help="planner, default: nnUNetPlannerHybridFactorizerM (the Hybrid Factorizer, 8 GB; L and XL: 24 and 40 GB); "
        "the others plan the paper's networks for 8 GB, BraTS and ISLES with the paper's patch and sizes in 3D",
    )
    add(
        "-c",
        nargs="+",
        default=["2d", "3d_fullres", "3d_lowres"],
        help="configurations to preprocess, default: 2d 3d_fullres 3d_lowres; those that do not exist are skipped",
    )
    add("-np", nargs="+", type=int, help="processes, one number or one for each of -c; default: 8, 4, 8 as nnU-Net")
    add(
        "-npfp",
        type=int,
        default=default_num_processes,
        help=f"processes for the fingerprint, default: {default_num_processes}",
    )
    add("--verify_dataset_integrity", action="store_true", help="check the data set first; do so once for each")
    add("--clean", action="store_true", help="extract the fingerprint again; needed where the data set has changed")
    add(
        "-gpu_memory_target",
        type=float,
        help="memory of the GPU to plan for, in GB; default: the planner's, 8, 24 or 40",
    )
    add(
        "-overwrite_target_spacing",
        nargs=3,
        type=float,
        metavar="MM",
        help="target spacing of 3d_fullres in mm, default: the median of the data set",
    )
    add(
        "-overwrite_plans_name",
        help="name of the plans, default: the planner's, nnUNetHybridFactorizerMPlans and so on",
    )
    add("--no_pp", action="store_true", help="plan only, do not preprocess")
    add("--verbose", action="store_true", help="print a lot")
    add("--no_pbar", action="store_true", help="no progress bars")
    return parser
