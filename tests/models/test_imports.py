"""What a small helper drags in: in a fresh interpreter, counted."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import nnunetv2_factorizer

COUNT = "import json, sys; import {}; print(json.dumps(sorted(sys.modules)))"
HEAVY = ("torch", "nnunetv2", "numpy", "matplotlib", "scipy", "sklearn", "SimpleITK")


def loaded(module: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", COUNT.format(module)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("module", ["atomic", "identity", "folders"])
def test_files_and_folders_need_the_standard_library_alone(module: str) -> None:
    modules = loaded(f"nnunetv2_factorizer.models.{module}")
    assert [name for name in modules if name.partition(".")[0] in HEAVY] == []
    assert len(modules) < 200


def test_reading_checkpoints_loads_no_trainer() -> None:
    modules = loaded("nnunetv2_factorizer.models.checkpoint")
    assert [name for name in modules if name.startswith(("nnunetv2.", "torch._inductor"))] == []


def test_a_clone_is_whole_where_another_copy_is_installed(tmp_path: Path) -> None:
    """`python -m` in a clone imports the clone; what is installed elsewhere must not be needed for its trainers."""
    clone = Path(nnunetv2_factorizer.__file__).parents[1]
    code = (
        "import sys; sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder).lower()]\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import nnunetv2_factorizer.trainers, nnunetv2_factorizer.plans\n"
        "print(nnunetv2_factorizer.trainers.__file__, nnunetv2_factorizer.plans.__file__)\n"
    )
    command = [sys.executable, "-c", code, str(clone)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(clone / name / "__init__.py") for name in ("trainers", "plans")]
    assert find_spec("nnunetv2_factorizer.tests") is None  # and nothing else of the clone
