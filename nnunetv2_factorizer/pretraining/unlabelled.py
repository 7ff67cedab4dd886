"""Images without labels as a data set that stock nnU-Net trains on, preprocessed like another data set."""

import multiprocessing
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from tqdm import tqdm

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.pretraining.unlabelled_case import Outcome, prepare_case, unfinished
from nnunetv2_factorizer.pretraining.unlabelled_dataset import (
    FROM_TARGET,
    Target,
    choose_configurations,
    choose_name,
    read_registered,
    read_target,
    write_dataset,
)
from nnunetv2_factorizer.pretraining.unlabelled_images import Images, find_images
from nnunetv2_factorizer.pretraining.unlabelled_report import summary, write_report


def register(
    folders: Sequence[Path],
    dataset: str,
    like: str,
    *,
    plans_name: str = "nnUNetPlans",
    configurations: Sequence[str] | None = None,
    dataset_name: str | None = None,
    processes: int = 4,
    show_progress: bool = True,
) -> tuple[str, list[str]]:
    """Makes the data set, or adds to one that was made here; gives its name and the configurations that have images.

    What an earlier run has finished is kept. Prints what is skipped, and writes it to a report.

    Args:
        folders: of images, named as nnU-Net asks for.
        dataset: ID or full name.
        like: ID or full name of the target.
        plans_name: of the target's plans.
        configurations: of the plans; None for `3d_fullres`, or `2d` where there is none.
        dataset_name: second part of the name, where `dataset` is an ID.
        processes: for preprocessing.
        show_progress: whether there is a bar.

    Raises:
        UserError: the target, the name or the folders cannot be used, or no image can.
    """
    nnunet_folder("nnUNet_raw")
    target = read_target(like, plans_name)
    chosen = choose_configurations(target.plans, configurations)
    name = choose_name(dataset, dataset_name, target.name)
    registered = read_registered(name)
    sites = {case.site: case.source for case in registered.values()}
    found, not_read = find_images(folders, target.dataset_json["file_ending"], sites)
    cases = dict(sorted({**registered, **found}.items()))
    write_dataset(name, target, cases.values())

    sizes = Counter(case.site for case in cases.values())
    print(f"{name}, preprocessed like {target.name} with {plans_name}: {len(cases)} images from {len(sizes)} folders")
    print("\n".join([*(f"  {number} of {site}" for site, number in sorted(sizes.items())), *not_read]))
    preprocessed = nnunet_folder("nnUNet_preprocessed") / name
    outcomes = {}
    for configuration in chosen:
        print(f"Preprocessing for {configuration}...")
        outcomes[configuration] = _preprocess(
            list(cases.values()), target, configuration, preprocessed, processes, show_progress
        )
    usable = {path.name.removesuffix(".b2nd") for path in preprocessed.glob("*/*.b2nd")}
    write_dataset(name, target, [case for case in cases.values() if case.name in usable])
    header = {"dataset": name, "like": target.name, "plans": plans_name, "sites": dict(sizes), "not_read": not_read}
    report = write_report(preprocessed, header, outcomes)
    print("\n".join(summary(configuration, of_cases) for configuration, of_cases in outcomes.items()))
    print(f"Wrote {report}.")
    ready = [c for c, of_cases in outcomes.items() if any(outcome.state != "skipped" for outcome in of_cases)]
    if not ready:
        first = outcomes[chosen[0]][0]
        raise UserError(
            f"none of the {len(cases)} images can be used. The first, {first.case}: {first.reason}.",
            f"Mend the images, or give others with -i or another target with -like. All reasons: {report}",
        )
    return name, ready


def _preprocess(
    cases: Sequence[Images], target: Target, configuration: str, base: Path, processes: int, show_progress: bool
) -> list[Outcome]:
    folder = base / PlansManager(target.plans).get_configuration(configuration).data_identifier
    folder.mkdir(exist_ok=True)
    shutil.rmtree(unfinished(folder), ignore_errors=True)
    unfinished(folder).mkdir()
    work = partial(
        prepare_case,
        plans=target.plans,
        configuration_name=configuration,
        dataset_json={key: target.dataset_json[key] for key in FROM_TARGET if key in target.dataset_json},
        folder=folder,
    )
    results = map(work, cases) if processes == 1 else _in_processes(work, cases, processes)
    try:
        bar = tqdm(results, desc="Preprocessing cases", total=len(cases), disable=not show_progress)
        return sorted(bar, key=lambda outcome: outcome.case)
    finally:
        shutil.rmtree(unfinished(folder), ignore_errors=True)


def _in_processes(work: Callable[[Images], Outcome], cases: Sequence[Images], processes: int) -> Iterator[Outcome]:
    context = multiprocessing.get_context("spawn")  # as nnU-Net
    pool = ProcessPoolExecutor(min(processes, len(cases)), context)
    try:
        for done in as_completed([pool.submit(work, case) for case in cases]):
            yield done.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a process that preprocessed images was killed, probably since the memory was used up.",
            "Give the same command again with a smaller -np: what is done is kept.",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
