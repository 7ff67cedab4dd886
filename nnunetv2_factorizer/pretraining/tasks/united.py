"""United: discrimination, then restoration, then an adversary (Guo et al., StepwisePretraining; patents pending).

An encoder D, a decoder R on its skips and an adversary A; T distorts an image x, and y is which distortion it was:

    L_d = - sum_k y_k ln p_k                                   p from D(T(x))
    L_r = E (x - R(D(T(x))))^2
    L_a = E log A(T(x), x) + E log(1 - A(T(x), R(D(T(x)))))    A ascends, D and R descend
    L   = lambda_d L_d + lambda_r L_r + lambda_a L_a

The steps are D, (D)+R and ((D)+R)+A. Each goes on with what the one before has trained, and nothing is frozen.

Ours, where the paper leaves it open or nnU-Net wants it so:

- The lambdas, and means over voxels and questions in place of sums.
- The head of L_d averages the bottleneck over each block of the puzzle. Over all of it, an average would hide where a
  block is.
- A is a few strided convolutions. As an encoder of the same family, which sees each pair, it would double the cost.
- One optimiser trains all: A sees the restored image through a layer that reverses the gradient. A itself learns with
  weight 1; lambda_a is what D and R feel of it.
- No voxel outside the image is shown, nor one that another distortion would have brought from outside: the outline
  would tell y. What was not shown counts for none of the losses.
- Clustering and visual words, two more of the paper's distortions, need features of the whole data set: left out.
"""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.pretraining.task import Batch, Measure, Task
from nnunetv2_factorizer.pretraining.tasks.puzzles import PUZZLES


class Answers(NamedTuple):
    """Of the parts that train in the present step."""

    logits: Tensor
    """`(B, K_1 + ... + K_Q)` of the Q questions of the puzzle."""
    restored: Tensor | None = None
    """`(B, C, *S)`."""
    judged: Tensor | None = None
    """A's logits `(2 B, 1)`, of the true pairs, then of the restored ones."""


class United(Task):
    """All three steps in thirds of the epochs, with a jigsaw puzzle."""

    measured = "puzzle accuracy"
    unlearned = "chance"
    best = 1.0
    upright = True
    puzzle: ClassVar[str] = "jigsaw"
    """T: also "rotation" or "rubiks_cube". Each is a method of its own in the paper, so they are not mixed."""
    steps: ClassVar[str] = "DRA"
    """Its letters are what is trained, in the order in which they join."""
    stepwise: ClassVar[bool] = True
    """Each step has an equal share of the epochs; else all is trained from the start."""
    lambda_d: ClassVar[float] = 1.0
    lambda_r: ClassVar[float] = 1.0
    lambda_a: ClassVar[float] = 0.01

    def __init__(self, body: nn.Module, input_channels: int, patch_size: tuple[int, ...]) -> None:
        super().__init__(body, input_channels, patch_size)
        self.input_channels = input_channels
        self.pieces = PUZZLES[self.puzzle](patch_size)
        pool = {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[len(patch_size)]
        features = body.encoder.output_channels[-1] * len(self.pieces.orders[0])  # type: ignore[union-attr,index]
        self.head = nn.Sequential(
            pool(self.pieces.grid), nn.Flatten(), nn.Linear(int(features), sum(self.pieces.choices))
        )
        self.adversary = adversary(2 * input_channels, len(patch_size)) if "A" in self.steps else None
        self.active = self.steps
        self.start_epoch(0)

    def start_epoch(self, done: float) -> None:
        if self.stepwise:
            self.active = self.steps[: 1 + int(done * len(self.steps))]

    def pose(self, batch: Batch) -> Batch:
        """`data` is the distorted image, and for A the image and where it is known, in one tensor as nnU-Net has it."""
        image, inside = batch["data"], batch["target"] > 0
        answers = self.pieces.draw(len(image), image.device)
        rows = answers.tolist()
        shown = self.pieces.shared(inside)
        known = torch.stack([self.pieces.restore(mask, row) for mask, row in zip(shown, rows, strict=True)])
        distorted = torch.stack([self.pieces.distort(x, row) for x, row in zip(image, rows, strict=True)])
        data = torch.cat([distorted * shown, image * known, known], dim=1)
        return {**batch, "data": data, "target": [answers, image, known]}

    def forward(self, body: nn.Module, data: Tensor) -> Answers:
        channels = self.input_channels
        distorted, image, known = data.split([channels, channels, 1], dim=1)
        features = body.encoder(distorted)  # type: ignore[operator]
        logits = self.head(features[-1])
        if "R" not in self.active:
            return Answers(logits)
        restored = body.decoder(features)  # type: ignore[operator]
        if self.adversary is None or "A" not in self.active:
            return Answers(logits, restored)
        candidate = reversed_gradient(restored.float(), self.lambda_a) * known
        pairs = torch.cat([torch.cat([distorted, x], dim=1) for x in (image, candidate)])
        return Answers(logits, restored, self.adversary(pairs))

    def loss(self, outputs: Answers, target: list[Tensor]) -> Tensor:
        answers, image, known = target
        of_questions = [functional.cross_entropy(logits, y) for logits, y in self._questions(outputs, answers)]
        loss = self.lambda_d * torch.stack(of_questions).mean()
        if outputs.restored is not None:
            squares = (image - outputs.restored.float()) ** 2 * known
            loss = loss + self.lambda_r * squares.sum() / (known.sum() * image.shape[1]).clamp_min(1)
        if outputs.judged is not None:
            of_true, of_restored = outputs.judged.float().chunk(2)
            # - L_a, which A descends. Its lambda is in the reversed gradient.
            loss = loss - functional.logsigmoid(of_true).mean() - functional.logsigmoid(-of_restored).mean()
        return loss

    def measure(self, outputs: Answers, target: list[Tensor]) -> Measure:
        right = [(logits.argmax(1) == y).float().mean() for logits, y in self._questions(outputs, target[0])]
        chance = [1 / number for number in self.pieces.choices]
        return Measure(torch.stack(right).mean().item(), sum(chance) / len(chance))

    def _questions(self, outputs: Answers, answers: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each question logits `(B, K)` and answers `(B,)`."""
        logits = outputs.logits.float().split(self.pieces.choices, dim=1)
        return list(zip(logits, answers.unbind(1), strict=True))


class UnitedD(United):
    """Discrimination only: the decoder stays as it was."""

    steps = "D"


class UnitedDR(United):
    """Two steps in halves of the epochs."""

    steps = "DR"


class UnitedJoint(United):
    """The paper's control: all three from the start."""

    stepwise = False


class UnitedRotation(United):
    """All three steps, with rotations."""

    puzzle = "rotation"


class UnitedRubik(United):
    """All three steps, with a Rubik's cube."""

    puzzle = "rubiks_cube"


def adversary(channels: int, num_axes: int) -> nn.Sequential:
    """A: pairs `(B, channels, *S)` of two images to logits `(B, 1)`, high for the true pair."""
    conv = {2: nn.Conv2d, 3: nn.Conv3d}[num_axes]
    pool = {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[num_axes]
    layers: list[nn.Module] = []
    for width in (16, 32, 64):
        layers += [conv(channels, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
        channels = width
    return nn.Sequential(*layers, pool(1), nn.Flatten(), nn.Linear(channels, 1))


def reversed_gradient(x: Tensor, factor: float) -> Tensor:
    """`x`, whose gradient is multiplied by `-factor` on its way back."""
    return x.detach() - factor * (x - x.detach())
