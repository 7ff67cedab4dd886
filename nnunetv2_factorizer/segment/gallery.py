"""A page of all images beside their segments, so that a person can see what they are and give them names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunetv2_factorizer.inference.page import render
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.segment.case import CASES
from nnunetv2_factorizer.segment.pictures import colour
from nnunetv2_factorizer.segment.record import Record

GALLERY = "gallery.html"


def write_gallery(record: Record, folder: Path) -> None:
    """Writes `gallery.html`, which opens from disk with the pictures in `cases/`, and needs nothing else.

    Args:
        record: with all cases.
        folder: of the label maps.
    """
    cases = [_shown(name, case, record) for name, case in record.cases.items()]
    page = render(__package__, "gallery.html.jinja", {"record": record, "cases": cases, "folder": CASES})
    with replacing(str(folder / GALLERY)) as unfinished:
        Path(unfinished).write_text(page, encoding="utf-8")


def _shown(name: str, case: Mapping[str, Any], record: Record) -> dict[str, Any]:
    total = sum(case["voxels"].values())
    segments = [
        {
            "label": int(label),
            "name": record.names.get(int(label), ""),
            "share": voxels / total,
            "colour": "rgb({})".format(" ".join(str(round(255 * part)) for part in colour(int(label)))),
        }
        for label, voxels in case["voxels"].items()
        if label != "0"
    ]
    return {"name": name, "segments": segments, "collapsed": case["collapsed"], "slices": case["slices"]}
