"""A pre-training task: what a network is asked where nobody has labelled anything."""

from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

Batch = dict[str, Any]
"""nnU-Net's: `data` `(B, C, *S)`, `target`, and the names of the cases in `keys`."""


class Measure(NamedTuple):
    """How well a task is done on a batch, in the units of the task."""

    value: float
    """Of the network."""
    unlearned: float
    """Of a network that has learned nothing: chance, or the best constant."""


class Task(nn.Module):
    """Batch in, loss out. What it has of modules are its heads: they are trained, and left out of what is exported.

    One task is one file in `pretraining/tasks`. nnU-Net's training step calls the three parts in turn: `pose`, then
    `forward`, then `loss`.

    Args:
        body: the network that is pre-trained, with an `encoder` that gives the features of all stages, highest
            resolution first, and a `decoder` that takes them. It is only looked at: its weights are not the task's.
        input_channels: of the images.
        patch_size: in voxels.
    """

    parts: ClassVar[int] = 0
    """Parts of equal size that the loader divides each axis of an image into, if the task asks where a voxel lies."""
    cases: ClassVar[int] = 1
    """That the task needs at least."""
    upright: ClassVar[bool] = False
    """Whether images stay the way up they are, without nnU-Net's rotations and mirroring."""
    measured: ClassVar[str]
    """What `measure` gives, in two or three words, such as "order accuracy"."""
    unlearned: ClassVar[str]
    """What a network does that has learned nothing, such as "chance"."""
    best: ClassVar[float]
    """The value of `measure` for a network that does everything right."""

    def __init__(self, body: nn.Module, input_channels: int, patch_size: tuple[int, ...]) -> None:
        super().__init__()

    @classmethod
    def output_channels(cls, input_channels: int, num_classes: int) -> int:
        """Of the body's last layer: image channels where the task restores images, as here, or classes."""
        return input_channels

    def start_epoch(self, done: float) -> str | None:
        """Tells the share of the epochs that are done, in [0, 1): a task of several steps goes on to the next.

        What it then has to say goes into the log, where the time stands beside it.
        """
        return None

    def observe(self, loss: float) -> None:
        """Tells the loss of a training step."""

    @property
    def finished(self) -> bool:
        """Whether to stop the training after this epoch."""
        return False

    def pose(self, batch: Batch) -> Batch:
        """The batch that is trained with: `data` is what the network sees, `target` what it shall find.

        Args:
            batch: of nnU-Net's loader, on the device. `target` `(B, A, *S)` is where each voxel lies in its image: on
                each of the A axes of the patch the part, counted from 1 to `parts`; 0 is outside the image. With
                `parts = 0` it is `(B, 1, *S)`, 1 inside.
        """
        raise NotImplementedError

    def forward(self, body: nn.Module, data: Tensor) -> Any:
        """What body and heads say to the posed `data`."""
        raise NotImplementedError

    def loss(self, outputs: Any, target: Any) -> Tensor:
        """Of what `forward` gave, for the `target` of `pose`."""
        raise NotImplementedError

    def measure(self, outputs: Any, target: Any) -> Measure:
        """Whether anything is learned, said for a batch."""
        raise NotImplementedError

    def learned(self, measure: Measure) -> float:
        """0 for a network that has learned nothing, 1 for one that does everything right."""
        return (measure.value - measure.unlearned) / (self.best - measure.unlearned)


class TaskNetwork(nn.Module):
    """A body and a task as one network, so that nnU-Net compiles it and makes it data-parallel as a whole.

    Args:
        body: with deep supervision off.
        task: for this body.
    """

    def __init__(self, body: nn.Module, task: Task) -> None:
        super().__init__()
        self.body = body
        self.task: Task = task
        for head in body.decoder.seg_layers[:-1]:  # type: ignore[union-attr,index]
            head.requires_grad_(False)  # of the lower resolutions: nobody asks them

    @property
    def decoder(self) -> nn.Module:
        """Where nnU-Net switches deep supervision."""
        decoder: nn.Module = self.body.decoder  # type: ignore[assignment]
        return decoder

    def forward(self, data: Tensor) -> Any:
        return self.task(self.body, data)
