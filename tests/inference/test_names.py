"""Names from a file, and what is none."""

from pathlib import Path

import pytest

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.names import read_names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "is not a JSON object of numbers and names"),
        ("{", "is not a JSON object of numbers and names"),
        ('{"one": "a"}', "is not a JSON object of numbers and names"),
        ('{"4": "a"}', r"gives category 4 the name 'a'\.\nCategories are 1 to 3"),
        ('{"0": "a"}', "gives category 0"),
        ('{"1": 7}', "gives category 1 the name 7"),
    ],
)
def test_names_that_are_none(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "names.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_names(path, 3)


def test_names(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_text('{"1": "grey matter", "3": "Gefäß"}', encoding="utf-8")
    assert read_names(path, 3) == {1: "grey matter", 3: "Gefäß"}
