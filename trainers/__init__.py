"""Trainers for `nnUNetv2_train -tr NAME`. nnU-Net finds them through the variable `nnUNet_extTrainer`."""
