"""A folder for `nnUNet_extTrainer`, with the trainer of the demonstration."""
