"""Names that a person gives to numbers in label maps, read from a file."""

from pathlib import Path

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.json_files import read_json


def read_names(path: Path, categories: int) -> dict[int, str]:
    """Names of categories from a JSON file such as `{"1": "grey matter", "5": "vessel"}`.

    Raises:
        UserError: the file cannot be read, is something else, or names a category that there is not.
    """
    try:
        names = {int(number): name for number, name in read_json(path).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is not a JSON object of numbers and names: {error}.",
            'Write it like {"1": "grey matter"}.',
        ) from error
    wrong = [item for item in names.items() if not (1 <= item[0] <= categories and isinstance(item[1], str))]
    if wrong:
        raise UserError(
            f"{path} gives category {wrong[0][0]} the name {wrong[0][1]!r}.",
            f"Categories are 1 to {categories}, and a name is a string.",
        )
    return names
