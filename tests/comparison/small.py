"""Foreign networks so small that a test takes seconds: one a family, of the variant with most kinds of layers."""

from typing import Any

SMALL: dict[str, dict[str, Any]] = {
    "UNETR Paper": {"feature_size": 4, "hidden_size": 12, "mlp_dim": 12, "num_heads": 2},
    "SwinUNETR V2": {"feature_size": 12, "depths": [2, 1, 1, 1], "num_heads": [1, 1, 1, 1], "window_size": 3},
    "MedNeXt S": {"init_filters": 4, "blocks_down": [1] * 4, "blocks_bottleneck": 1, "blocks_up": [1] * 4},
    "NNFormer Paper": {"embedding_dim": 8, "num_heads": [1, 1, 2, 2]},
    "TransBTS Paper": {"width": 8, "embedding_dim": 16, "mlp_dim": 16, "num_heads": 2, "num_layers": 1},
}
"""What is laid over the variant's arguments."""
