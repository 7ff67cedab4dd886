"""What is known of the cases of a data set beside images and labels: site, stage, any column.

One file, `case_metadata.json`, beside `dataset.json`:

    {"case_001": {"site": "A", "stage": 1}, "case_002": {"site": "B", "stage": 2}}
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json

FILE = "case_metadata.json"
EXAMPLE = '{"case_001": {"site": "A"}, "case_002": {"site": "B"}}'

Value = str | int | float
"""Of a column."""


def metadata_folder(dataset: str) -> Path:
    """The folder of a data set that has the file: the preprocessed one, else the raw one, which need not be there.

    Raises:
        UserError: `nnUNet_preprocessed` is not set.
    """
    preprocessed = nnunet_folder("nnUNet_preprocessed") / dataset
    if (preprocessed / FILE).is_file() or "nnUNet_raw" not in os.environ:
        return preprocessed
    return nnunet_folder("nnUNet_raw") / dataset


def read_column(dataset: Path, column: str, cases: Sequence[str]) -> dict[str, Value]:
    """The value of each case in a column.

    Args:
        dataset: folder of the data set, with `dataset.json`, in `nnUNet_raw` or `nnUNet_preprocessed`.
        column: such as `site`.
        cases: names without ending; the file may have more.

    Raises:
        UserError: the file is not there or is something else, or lacks a case or the column of a case.
    """
    path = dataset / FILE
    metadata = read_metadata(path)
    values: dict[str, Value] = {}
    for case in cases:
        if case not in metadata:
            raise UserError(
                f"{path} lacks {sum(other not in metadata for other in cases)} of {len(cases)} cases, such as {case}.",
                f'Add them, such as "{case}": {{"{column}": ...}}.',
            )
        if column not in metadata[case]:
            there = sorted(set().union(*metadata.values()))
            raise UserError(
                f"{path} does not give {case} the column {column!r}; columns there: {', '.join(there) or 'none'}.",
                f"Add it to {case}, or name another column.",
            )
        values[case] = metadata[case][column]
    return values


def group_cases(dataset: Path, column: str, cases: Sequence[str]) -> dict[Value, list[str]]:
    """The cases with each value of a column, which has at least two; otherwise as `read_column`.

    Raises:
        UserError: as `read_column`, or all cases have one value.
    """
    groups: dict[Value, list[str]] = defaultdict(list)
    for case, value in read_column(dataset, column, cases).items():
        groups[value].append(case)
    if len(groups) < 2:
        raise UserError(
            f"{dataset / FILE} has a single value, {next(iter(groups))!r}, in the column {column!r} of all cases.",
            "Name a column with two values or more, or leave the column out.",
        )
    return dict(groups)


def read_metadata(path: Path) -> dict[str, dict[str, Value]]:
    """The columns of each case in the file.

    Raises:
        UserError: it is not there, or it is something else.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist.", f"Write it, such as {EXAMPLE}.")
    try:
        metadata = read_json(path)
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}.", f"Write it like {EXAMPLE}.") from error
    if not isinstance(metadata, dict) or not all(isinstance(columns, dict) for columns in metadata.values()):
        raise UserError(
            f"{path} is not an object of cases with an object of columns each.", f"Write it like {EXAMPLE}."
        )
    for case, columns in metadata.items():
        for column, value in columns.items():
            if isinstance(value, bool) or not isinstance(value, Value):
                raise UserError(
                    f"{path} gives {case} {value!r} in the column {column!r}.", "A value is a string or a number."
                )
    return metadata
