"""`nnUNetv2_factorizer_plan_and_preprocess`: plans that name a Factorizer, then nnU-Net's preprocessing."""

import argparse
from functools import partial
from pathlib import Path

from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.configuration import default_num_processes
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiment_dataset
from nnunetv2.paths import nnUNet_raw

from nnunetv2_factorizer.network.settings import MATRICIZE
from nnunetv2_factorizer.planning.budget import NoPlanError
from nnunetv2_factorizer.planning.preprocess import preprocess_missing
from nnunetv2_factorizer.planning.report import chosen
from nnunetv2_factorizer.plans import PLANNERS

DEFAULT_PROCESSES = {"2d": 8, "3d_fullres": 4, "3d_lowres": 8}


def main() -> None:
    """Entry point of the command."""
    args = _parser().parse_args()
    processes = args.np or [DEFAULT_PROCESSES.get(configuration, 4) for configuration in args.c]
    if len(processes) == 1:
        processes *= len(args.c)
    if len(processes) != len(args.c):
        raise SystemExit(
            f"-np takes one number or {len(args.c)}, one for each of -c {' '.join(args.c)}; got {args.np}."
        )
    planner_class = PLANNERS[args.pl]
    planner = partial(planner_class, matricize=args.matricize)

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
        try:
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
        except (FileExistsError, NoPlanError) as error:
            raise SystemExit(str(error)) from error
        print(f"\nPlanned for a GPU of {args.gpu_memory_target or planner_class.gpu_memory_target_in_gb:g} GB:")
        print("\n".join(chosen(plans, load_json(str(Path(nnUNet_raw) / plans["dataset_name"] / "dataset.json")))))
        planned = [c for c in args.c if c in plans["configurations"]]
        configuration = "3d_fullres" if "3d_fullres" in planned else planned[0] if planned else "CONFIGURATION"
        print(f"\nTrain with:\nnnUNetv2_train {dataset_id} {configuration} 0 -p {name} -tr nnUNetTrainerFactorizer")


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
        default="nnUNetPlannerFactorizer",
        help="planner, default: nnUNetPlannerFactorizer (the paper's Swin Factorizer, 8 GB); M, L, XL have a depthwise "
        "convolution in each block, for 8, 24, 40 GB; BraTS and ISLES have the paper's patch and network in 3D",
    )
    add("-matricize", choices=MATRICIZE, help="how the blocks cut the image into matrices, default: the planner's")
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
        help="name of the plans, default: nnUNetFactorizerPlans (nnUNetLocalFactorizerPlans with -matricize local ...)",
    )
    add("--no_pp", action="store_true", help="plan only, do not preprocess")
    add("--verbose", action="store_true", help="print a lot")
    add("--no_pbar", action="store_true", help="no progress bars")
    return parser
