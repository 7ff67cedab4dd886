"""The Factorizer as a plugin for nnU-Net v2."""

from pathlib import Path

DISTRIBUTION = "nnunetv2-factorizer"
"""The name under which it is installed."""

# In a clone `trainers` and `plans` lie beside this package, and an installation puts them into it. Python started in a
# clone imports the clone, also where another copy is installed: it has to find all of it there.
_CLONE = Path(__file__).parents[1]
if not (Path(__file__).parent / "trainers").is_dir() and (_CLONE / "trainers").is_dir():
    __path__.append(str(_CLONE))
