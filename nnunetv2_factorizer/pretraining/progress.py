"""What nnU-Net logs of a training, for one that has no Dice."""

from pathlib import Path

from matplotlib import pyplot as plt
from nnunetv2.training.logging.nnunet_logger import LocalLogger


class PretrainingLogger(LocalLogger):
    """nnU-Net's own, whose entries for Dice hold how much of the task is learned, and are called so in the plot.

    Args:
        measured: the name of what is measured.
        unlearned: what a network does that has learned nothing.
    """

    def __init__(self, measured: str, unlearned: str) -> None:
        super().__init__()
        self.measured, self.unlearned = measured, unlearned

    def plot_progress_png(self, output_folder: str) -> None:
        """Losses, what is learned, and learning rate over the epochs: `progress.png`."""
        log = self.my_fantastic_logging
        figure, (of_losses, of_task, of_rate) = plt.subplots(3, 1, figsize=(8, 10), sharex=True, layout="constrained")
        for name, label in (("train_losses", "training"), ("val_losses", "validation")):
            of_losses.plot(log[name], label=label)
        of_losses.set(ylabel="loss")
        of_losses.legend()
        of_task.plot(log["mean_fg_dice"], label="an epoch")
        of_task.plot(log["ema_fg_dice"], label="moving average")
        of_task.axhline(0, color="grey", linestyle="dotted")
        of_task.set(ylabel=f"learned, by {self.measured}\n0: {self.unlearned}, 1: perfect")
        of_task.legend()
        of_rate.plot(log["lrs"])
        of_rate.set(ylabel="learning rate", xlabel="epoch")
        figure.savefig(Path(output_folder) / "progress.png", dpi=150)
        plt.close(figure)
