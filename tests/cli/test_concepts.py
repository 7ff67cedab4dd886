"""What `nnUNetv2_factorizer_concepts` refuses before it looks at a model."""

import pytest

from nnunetv2_factorizer.cli import concepts


def test_a_stage_is_named_or_chosen_by_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("-m", "MODEL", "-f", "0", "-o", "DICT", "--size", "3", "--stage", "encoder.stages.0")
    monkeypatch.setattr("sys.argv", ["nnUNetv2_factorizer_concepts", "fit", *flags])
    with pytest.raises(SystemExit):
        concepts.main()
    assert "give either --stage or --size" in capsys.readouterr().err
