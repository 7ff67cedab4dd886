"""`nnUNetv2_factorizer_segment evaluate`: segments beside labels, with the controls that decide."""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from nnunetv2_factorizer.cli.label_arguments import add_dataset_json, dataset_json_of
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.segment.evaluation import NOTICES, PROTOCOLS, evaluate_case, summarise, table
from nnunetv2_factorizer.segment.images import find_images
from nnunetv2_factorizer.segment.record import Record


def evaluate(arguments: Sequence[str]) -> None:
    """Runs the subcommand with the words that follow `evaluate`."""
    args = _parser().parse_args(arguments)
    output = args.o or args.predictions / f"evaluation_{args.protocol}.json"
    files = (output, output.with_suffix(".md"))
    if output.suffix != ".json":
        raise UserError(f"-o must end in .json, got {output}.", "The table comes beside it, ending in .md.")
    for path in files:
        if path.exists():
            raise UserError(f"{path} exists and was not changed.", "Give another file with -o.")
    record, dataset_json = Record.load(args.predictions), dataset_json_of(args)
    if not record.cases:
        raise UserError(
            f"{args.predictions} is not finished.", "Run the segmentation again with --continue_prediction."
        )
    images, _, reader = find_images(args.i)
    cases = [case for case in images if case.name in record.cases]
    if not cases:
        raise UserError(
            f"no image of {args.i} is among the {len(record.cases)} cases of {args.predictions}.",
            "Give the folder of the images that were segmented with -i.",
        )
    work = partial(
        evaluate_case, reader=reader, predictions=args.predictions, labels=args.labels, record=record,
        dataset_json=dataset_json, protocol=args.protocol,
    )  # fmt: skip
    scored = list(map_cases(work, cases, show_progress=not args.disable_progress_bar))
    of_cases = {case.name: scores for case, scores in zip(cases, scored, strict=True)}
    mean = summarise(of_cases)
    result = {
        "protocol": args.protocol,
        "notice": NOTICES[args.protocol],
        "method": record.method,
        "k": record.k,
        "seed": record.seed,
        "mean": mean,
        "cases": of_cases,
    }
    text = table(mean, len(cases), args.protocol)
    for path, content in zip(files, (json.dumps(result, indent=2) + "\n", text), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(str(path)) as unfinished:
            Path(unfinished).write_text(content, encoding="utf-8")
    print(text)
    if left_out := len(record.cases) - len(cases):
        print(f"{left_out} cases of {args.predictions} have no image in {args.i} and were left out.")
    print(f"Wrote {files[0]} and {files[1]}.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nnUNetv2_factorizer_segment evaluate",
        description="Compare segments with labels. Segments have no names: the one that overlaps the foreground most "
        "is taken, and for several labels each gets the segment that fits best. That choice needs the truth, so the "
        "same is done with everything as one segment, with random numbers and with k-means on intensities.",
    )
    add = parser.add_argument
    add("-i", type=Path, required=True, metavar="IMAGES", help="[REQUIRED] images that were segmented, for k-means")
    add("--predictions", type=Path, required=True, metavar="OUT", help="[REQUIRED] folder of the segmentation")
    add("--labels", type=Path, required=True, help="[REQUIRED] folder with a label file for each image")
    add(
        "--protocol",
        choices=PROTOCOLS,
        default="best-overlap",
        help="leaky: as MS-Former's released code, which erases predictions outside the dilated truth; for comparison "
        "with its numbers only; default: best-overlap",
    )
    add_dataset_json(parser)
    add("-o", type=Path, help="JSON file to write, a table .md beside it; default: OUT/evaluation_PROTOCOL.json")
    add("--disable_progress_bar", action="store_true", help="for logs")
    return parser
