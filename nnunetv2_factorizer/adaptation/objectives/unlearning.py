"""Unlearning an attribute of the case, such as its site (Bevan, Atapour-Abarghouei: Detecting Melanoma Fairly).

A linear head h tries to tell the attribute b from the pooled features f(x), q = softmax(h(f(x))); the encoder is
trained so that it fails.

    LNTL: L_task + lambda mean sum_c q_c log q_c,        and CE(h(R(f(x))), b), R turning the gradient for f around
    TABE: L_task + alpha L_conf,                         and CE(h(f(x)), b)
          L_conf = - mean (1/|B|) sum_c log q_c
    CLGR: TABE with R

Weights, and the factor of R, are those of the authors' release; the paper gives none. Its release multiplies log q by
random numbers in place of 1/|B|; the constant of the formula is taken here.

The paper says that the two losses of TABE are minimised apart; in the release the second step moves f as well, towards
what is to be unlearned. Ours: the first loss moves f alone, the second h alone, but for what R sends back, and both
have their gradients from the same forward pass.

Ours, too: any column of `case_metadata.json`, any stages of the encoder, mean and maximum of each channel (after
InstanceNorm means alone say little), and weights of the cases in CE that are not divided by their sum over the batch,
which would undo them in a batch of one value.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.adaptation.methods.mmtl import MMTL
from nnunetv2_factorizer.adaptation.objective import Batch, Objective
from nnunetv2_factorizer.adaptation.probe import pool_stages
from nnunetv2_factorizer.case_metadata import FILE, Value, metadata_folder, read_column
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.training.bare import bare

if TYPE_CHECKING:
    from nnunetv2_factorizer.adaptation.with_objective import WithObjective


class Unlearning(Objective):
    """What the three methods share: the head, its loss, and how well it does; `flatness` and the numbers differ."""

    column: ClassVar[str] = "site"
    """Of `case_metadata.json`; numbers are categories, too."""
    stages: ClassVar[tuple[int, ...]] = (-1,)
    """Of the encoder, the deepest being -1."""
    weight: ClassVar[float]
    """Of `flatness`."""
    reversal: ClassVar[float] = 0.0
    """The factor by which the head's gradient for the encoder is turned around. 0: it has none."""

    case_weights: Tensor

    def __init__(self, trainer: "WithObjective") -> None:
        super().__init__(trainer)
        self.values = values_of_training_cases(trainer, self.column)
        self.kinds = sorted(set(self.values.values()), key=str)
        number = torch.tensor([list(self.values.values()).count(kind) for kind in self.kinds])
        self.register_buffer("case_weights", len(self.values) / (len(self.kinds) * number), persistent=False)
        encoder: Any = bare(trainer.network).encoder
        self.head = nn.Linear(2 * sum(encoder.output_channels[stage] for stage in self.stages), len(self.kinds))

    def flatness(self, log_q: Tensor) -> Tensor:
        """What is smallest where the head's answer `(B, values)`, given as logarithms, is the same for all values."""
        raise NotImplementedError

    def start_epoch(self) -> None:
        self._right, self._seen = (torch.zeros(len(self.kinds)) for _ in range(2))

    def terms(self, features: Sequence[Tensor], outputs: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        pooled = pool_stages(features, self.stages)
        value = torch.tensor([self.kinds.index(self.values[str(case)]) for case in batch["keys"]], device=pooled.device)
        logits = self.head(turned_around(pooled, self.reversal)).float()
        of_head = self.case_weights[value] * functional.cross_entropy(logits, value, reduction="none")
        log_q = functional.linear(pooled, self.head.weight.detach(), self.head.bias.detach()).float().log_softmax(1)
        for kind, right in zip(value.tolist(), (logits.argmax(1) == value).tolist(), strict=True):
            self._seen[kind] += 1
            self._right[kind] += right
        return {"head": of_head.mean(), "flatness": self.weight * self.flatness(log_q)}

    def end_epoch(self) -> None:
        seen = self._seen > 0
        accuracy = (self._right[seen] / self._seen[seen]).mean().item()
        self.trainer.print_to_log_file(
            f"the head tells {self.column} in {accuracy:.1%} of the samples, as a mean over its values; "
            f"chance is {1 / len(self.kinds):.1%}"
        )

    def get_extra_state(self) -> list[Value]:
        return self.kinds

    def set_extra_state(self, state: list[Value]) -> None:
        if state != self.kinds:
            raise UserError(
                f"the column {self.column!r} of the training cases has the values {_listed(self.kinds)}; when this "
                f"training began it had {_listed(state)}.",
                f"Bring back the {FILE} of then, or train anew.",
            )


class LNTL(Unlearning):
    """Learning Not To Learn: the largest entropy of the head's answer, and its gradient turned around."""

    weight, reversal = 0.01, 0.1

    def flatness(self, log_q: Tensor) -> Tensor:
        return (log_q.exp() * log_q).sum(1).mean()


class TABE(Unlearning):
    """Turning a Blind Eye: the cross-entropy between equal shares and the head's answer."""

    weight = 0.03

    def flatness(self, log_q: Tensor) -> Tensor:
        return -log_q.mean(1).mean()


class CLGR(TABE):
    """TABE, and the head's gradient turned around."""

    reversal = 0.1


def turned_around(x: Tensor, factor: float) -> Tensor:
    """The same values; a gradient comes back times `-factor`."""
    return x.detach() + factor * (x.detach() - x) if factor else x.detach()


def values_of_training_cases(trainer: Any, column: str) -> dict[str, Value]:
    """The value of each training case.

    Raises:
        UserError: the column is not there for all of them, the same in all or different in all, or cases of another
            data set take part.
    """
    name = trainer.plans_manager.dataset_name
    if isinstance(getattr(trainer, "adaptation", None), MMTL):
        raise UserError(
            f"{type(trainer).__name__} mixes cases of another data set into batches, and the column {column!r} is "
            f"only read for those of {name}.",
            f"Make one data set of both, with a {FILE} and without MMTL, or take another method, such as AdaptAll.",
        )
    dataset = metadata_folder(name)
    cases, _ = trainer.do_split()
    values = read_column(dataset, column, cases)
    kinds = set(values.values())
    if len(kinds) == 1:
        raise UserError(
            f"all {len(cases)} training cases of {name} have the value {_listed(kinds)} in the column {column!r} of "
            f"{dataset / FILE}: there is nothing to unlearn.",
            "Add cases with other values, or set the attribute `column` of the objective to another column; "
            "nnUNetv2_factorizer_attributes estimates one. Otherwise take nnUNetTrainerMuon.",
        )
    if len(kinds) == len(cases):
        raise UserError(
            f"each of the {len(cases)} training cases of {name} has a value of its own in the column {column!r} of "
            f"{dataset / FILE}, such as {next(iter(values.values()))!r}: a head could only learn the cases.",
            "Write a column with a few values, such as groups of age in place of the age, and set the attribute "
            "`column` of the objective to it.",
        )
    return values


def _listed(kinds: Any) -> str:
    return ", ".join(map(repr, sorted(kinds, key=str)))
