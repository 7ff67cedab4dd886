"""Images in any number of folders, as cases of one data set that are named after the folder they come from."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_factorizer.errors import UserError

NAMES_OF_NO_SITE = ("imagesTr", "imagesTs")
"""Folders of a raw data set are all called like this: the name of the data set says more."""


@dataclass(frozen=True)
class Images:
    """One case: its files, one a channel, and where they come from."""

    name: str
    site: str
    source: str
    """The folder that was given."""
    files: tuple[str, ...]


def find_images(
    folders: Sequence[Path], file_ending: str, known_sites: Mapping[str, str]
) -> tuple[dict[str, Images], list[str]]:
    """The cases of all folders by name, `SITE_CASE`, and what is not read, for the log.

    The name of a case depends on its own folder only, so that it stays the same whatever is added later.

    Args:
        folders: that hold `CASE_0000.nii.gz` and so on.
        file_ending: of the target data set.
        known_sites: folders by site, of an earlier run.

    Raises:
        UserError: a folder does not exist or holds no images, or two of them cannot be told apart by name.
    """
    sites = dict(known_sites)
    cases: dict[str, Images] = {}
    not_read: list[str] = []
    for folder in dict.fromkeys(os.path.abspath(folder) for folder in folders):
        channels, others = _channels_by_case(Path(folder), file_ending)
        site = _site(Path(folder), sites)
        sites[site] = folder
        for case, files in channels.items():
            images = Images(_case_name(site, case), site, folder, tuple(files))
            if images.name in cases:
                raise UserError(
                    f"{cases[images.name].source} and {folder} both have a case that would be called {images.name}.",
                    "Rename one of the folders, whose name is the first part.",
                )
            cases[images.name] = images
        if others:
            not_read.append(
                f"{len(others)} files in {folder}, such as {others[0]}, are not named CASE_0000{file_ending}."
            )
        labels = [path for path in sorted(Path(folder).parent.glob("labels*")) if path.is_dir()]
        not_read += [f"The labels in {path} are not read." for path in labels]
    return cases, list(dict.fromkeys(not_read))


def _channels_by_case(folder: Path, file_ending: str) -> tuple[dict[str, list[str]], list[str]]:
    if not folder.is_dir():
        raise UserError(f"the folder {folder} does not exist.", "Give folders of images with -i.")
    pattern = re.compile(rf"([^.].*)_\d{{4}}{re.escape(file_ending)}")  # a Mac's ._CASE_0000.nii.gz is no image
    channels: dict[str, list[str]] = {}
    others = []
    for path in sorted(path for path in folder.iterdir() if not path.is_dir()):
        if match := pattern.fullmatch(path.name):
            channels.setdefault(match[1], []).append(str(path))
        else:
            others.append(path.name)
    if channels:
        return channels, others
    seen = f"{len(others)} other files, such as {others[0]}" if others else "no files"
    below = [name for name in NAMES_OF_NO_SITE if (folder / name).is_dir()]
    raise UserError(
        f"{folder} holds no images with the names that nnU-Net asks for, but {seen}.",
        f"Give {folder / below[0]} with -i."
        if below
        else f"Name them CASE_0000{file_ending}, CASE_0001{file_ending} ..., one a channel, as the target's are.",
    )


def _site(folder: Path, sites: Mapping[str, str]) -> str:
    """The folder's name; with its parent's where that is taken."""
    name = folder.parent.name if folder.name in NAMES_OF_NO_SITE else folder.name
    for candidate in (name, f"{folder.parent.name}_{folder.name}"):
        if candidate and sites.get(candidate, str(folder)) == str(folder):
            return candidate
    raise UserError(
        f"{folder} and {sites[name]} have the same name, and it is to say where an image comes from.",
        "Rename one of them, or link to it under another name.",
    )


def _case_name(site: str, case: str) -> str:
    name = f"{site}_{case}"
    return f"{name}_image" if name.endswith("_seg") else name  # nnU-Net would take its data for those of labels
