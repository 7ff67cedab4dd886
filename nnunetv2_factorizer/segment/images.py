"""Images in nnU-Net's raw format without a data set around them: found, read, and made comparable."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES, determine_reader_writer_from_file_ending
from numpy.typing import NDArray

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.images import Case, find_cases

Reader = type[BaseReaderWriter]


@dataclass(frozen=True)
class Image:
    """An image that can be segmented.

    Attributes:
        data: `(C, z, y, x)`, float32, standardised; z of length 1 for an image in 2D.
        colours: whether the channels are those of a photograph.
        properties: the reader's.
    """

    data: NDArray[np.float32]
    colours: bool
    properties: dict[str, Any]


def find_images(folder: Path) -> tuple[list[Case], str, Reader]:
    """The cases of a folder of `CASE_0000.nii.gz` and so on, their file ending, and nnU-Net's reader of them.

    Raises:
        UserError: there is none, or of several file endings, or nnU-Net cannot read the first one.
    """
    known = sorted({ending for reader in LIST_OF_IO_CLASSES for ending in reader.supported_file_endings})
    endings = [ending for ending in known if any(folder.glob(f"*_0000{ending}"))]
    if len(endings) > 1:
        raise UserError(f"{folder} has images of the types {', '.join(endings)}.", "Give a folder of one type with -i.")
    if not endings:
        raise UserError(
            f"{folder} holds no images with the names that nnU-Net asks for.",
            f"Name them CASE_0000, CASE_0001 ..., one a channel, with one of {', '.join(known)}.",
        )
    cases = find_cases(folder.absolute(), endings[0])
    told = io.StringIO()  # nnU-Net prints the traceback of each reader that it tries
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            reader = determine_reader_writer_from_file_ending(endings[0], cases[0].images[0], verbose=False)
    except RuntimeError as error:
        why = (told.getvalue().strip().splitlines() or [str(error)])[-1]
        raise UserError(
            f"nnU-Net cannot read {cases[0].images[0]}: {why}", "Repair the file, or leave it out."
        ) from error
    return cases, endings[0], reader


def read_image(case: Case, reader: Reader) -> Image:
    """Reads an image, and gives it mean 0 and standard deviation 1: each channel, or all colours of one together.

    Channels of a photograph have one unit, and a colour that is hardly there should stay so. Others have their own.

    Raises:
        UserError: it has NaN or infinite pixels, or one value everywhere.
    """
    data, properties = reader().read_images(case.images)
    if not np.isfinite(data).all():
        wrong = np.count_nonzero(~np.isfinite(data))
        raise UserError(f"{case.name} has {wrong} NaN or infinite pixels.", "Repair the image, or leave it out.")
    colours = reader is NaturalImage2DIO
    axes = (0, 1, 2, 3) if colours else (1, 2, 3)
    data = data - data.mean(axes, np.float64, keepdims=True)
    deviation = data.std(axes, keepdims=True)
    if all(channel.min() == channel.max() for channel in data):
        raise UserError(
            f"{case.name} has one value everywhere: there is nothing in it to segment.",
            "Look at the image, and leave it out.",
        )
    return Image((data / np.where(deviation > 0, deviation, 1)).astype(np.float32), colours, properties)
