"""Labels are corrected while a network is trained on them (SISSI, Elbatel et al., carried over to segmentation)."""
