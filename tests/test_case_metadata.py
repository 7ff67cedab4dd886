import json

import pytest

from nnunetv2_factorizer.case_metadata import FILE, group_cases, read_column
from nnunetv2_factorizer.errors import UserError


def _write(folder, content):
    (folder / FILE).write_text(content if isinstance(content, str) else json.dumps(content))


def test_values_of_a_column_in_the_order_of_the_cases(tmp_path):
    _write(tmp_path, {"a": {"site": "A", "age": 3}, "b": {"site": "B", "age": 4.5}, "c": {}})
    assert list(read_column(tmp_path, "age", ["b", "a"]).items()) == [("b", 4.5), ("a", 3)]


def test_groups(tmp_path):
    _write(tmp_path, {"a": {"site": "A"}, "b": {"site": "B"}, "c": {"site": "A"}})
    assert group_cases(tmp_path, "site", ["a", "b", "c"]) == {"A": ["a", "c"], "B": ["b"]}


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (None, "does not exist"),
        ("{", "is no JSON"),
        ([1], "is not an object of cases"),
        ({"a": "A"}, "is not an object of cases"),
        ({"a": {"site": True}}, "gives a True in the column 'site'"),
        ({"a": {"site": ["A"]}}, r"gives a \['A'\] in the column 'site'"),
        ({"a": {"site": "A"}}, "lacks 1 of 2 cases, such as b"),
        ({"a": {"site": "A"}, "b": {"age": 3}}, "does not give b the column 'site'; columns there: age, site"),
        ({"a": {"site": "A"}, "b": {"site": "A"}}, "a single value, 'A', in the column 'site'"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, content, cause):
    if content is not None:
        _write(tmp_path, content)
    with pytest.raises(UserError, match=cause):
        group_cases(tmp_path, "site", ["a", "b"])
