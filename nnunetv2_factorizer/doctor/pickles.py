"""What a pickled file asks Python to import and call, found out without importing or calling any of it.

By hand: PyTorch's `get_unsafe_globals_in_checkpoint` reads its own zip format of today alone, and a file of a stranger
may be whatever nnU-Net unpickles.
"""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from nnunetv2_factorizer.errors import UserError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""The first of the five pickles, one after the other, of PyTorch's format before 1.6."""

LEGACY_PICKLES = 5

EXPECTED = {
    "_codecs.encode",
    "collections.OrderedDict",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor_v2",
    "torch.device",
    *(f"torch.{kind}Storage" for kind in ("BFloat16", "Bool", "Byte", "Double", "Float", "Half", "Int", "Long")),
}
"""What the checkpoints of nnU-Net's trainers and of ours ask for."""


def listed_globals(path: Path) -> list[str]:
    """The dotted names that unpickling the file would import, sorted.

    Knows PyTorch's zip format (every `.pkl` in it), its legacy format, and a plain pickle.

    Raises:
        UserError: the file is damaged, or in none of these formats.
    """
    names: set[str] = set()
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                members = [name for name in archive.namelist() if name.endswith(".pkl")]
                for member in members:
                    _Lister(io.BytesIO(archive.read(member)), names).load()
            if not members:
                raise ValueError("a zip without a pickle")
        else:
            with path.open("rb") as file:
                first = _Lister(file, names).load()
                for _ in range(LEGACY_PICKLES - 1 if first == LEGACY_MAGIC else 0):
                    _Lister(file, names).load()
    except OSError:
        raise
    except Exception as error:  # Damaged files end in all sorts of exceptions.
        so_far = f" after asking for {', '.join(sorted(names))}" if names else ""
        raise UserError(
            f"cannot be read as a checkpoint{so_far} ({type(error).__name__}: {str(error).partition(chr(10))[0]})",
            "Take another copy of the file, and load none of this one.",
        ) from None
    return sorted(names)


class _Nothing:
    """Stands for an object of the file: takes any arguments, calls and states, and does nothing with them."""

    def __init__(self, *_arguments: Any, **_keywords: Any) -> None: ...

    def __call__(self, *_arguments: Any) -> "_Nothing":
        return self

    def __setstate__(self, _state: Any) -> None: ...

    def __setitem__(self, _key: Any, _value: Any) -> None: ...

    def append(self, _value: Any) -> None: ...

    def extend(self, _values: Any) -> None: ...

    def add(self, _value: Any) -> None: ...


class _Lister(pickle.Unpickler):
    """Notes each global that is asked for and hands out a class that does nothing in its place.

    A pickle can only call what it gets from `find_class`, so nothing of the file runs.
    """

    def __init__(self, file: IO[bytes], names: set[str]) -> None:
        super().__init__(file)
        self.names = names

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        self.names.add(f"{module}.{name}")
        return type("Nothing", (_Nothing,), {})

    def persistent_load(self, _identifier: Any) -> _Nothing:
        return _Nothing()
