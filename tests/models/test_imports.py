"""What a small helper drags in: in a fresh interpreter, counted."""

import json
import subprocess
import sys

import pytest

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
