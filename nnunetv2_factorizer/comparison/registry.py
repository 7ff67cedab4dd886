"""The families of the comparison: plain data, so that nothing of a network is imported before it is built."""

from nnunetv2_factorizer.family import Family

PLAIN_UNET = Family(
    class_name="nnunetv2_factorizer.comparison.plain.PlainUNet",
    reads=("n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides"),
    variants={"Paper": {}},
)

RES_UNET = Family(
    class_name="nnunetv2_factorizer.comparison.residual.ResUNet",
    reads=("n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides"),
    variants={"Paper": {}},
)

PERFORMER = Family(
    class_name="nnunetv2_factorizer.comparison.performer.Performer",
    reads=("n_stages", "features_per_stage", "conv_op", "strides"),
    takes_patch_size=True,
    variants={"Paper": {}},
)

UNETR = Family(
    class_name="nnunetv2_factorizer.comparison.unetr.UNETR",
    reads=("strides",),
    takes_patch_size=True,
    variants={"Paper": {"feature_size": 32, "hidden_size": 768, "mlp_dim": 3072, "num_heads": 12}},
)

_SWIN = {"feature_size": 48, "depths": [2, 2, 2, 2], "num_heads": [3, 6, 12, 24], "window_size": 7}

SWIN_UNETR = Family(
    class_name="nnunetv2_factorizer.comparison.swin_unetr.SwinUNETR",
    reads=("strides",),
    takes_patch_size=True,
    variants={"Paper": {**_SWIN, "use_v2": False}, "V2": {**_SWIN, "use_v2": True}},
)

_MEDNEXT = {"init_filters": 32, "kernel_size": 3}
_TWO_BLOCKS = {"blocks_down": [2, 2, 2, 2], "blocks_bottleneck": 2, "blocks_up": [2, 2, 2, 2]}
_WIDER = {
    "encoder_expansion_ratio": [2, 3, 4, 4],
    "bottleneck_expansion_ratio": 4,
    "decoder_expansion_ratio": [4, 4, 3, 2],
}

MEDNEXT = Family(
    class_name="nnunetv2_factorizer.comparison.mednext.MedNeXt",
    reads=("strides",),
    takes_patch_size=True,
    variants={
        "S": {
            **_MEDNEXT,
            **_TWO_BLOCKS,
            "encoder_expansion_ratio": [2, 2, 2, 2],
            "bottleneck_expansion_ratio": 2,
            "decoder_expansion_ratio": [2, 2, 2, 2],
        },
        "B": {**_MEDNEXT, **_TWO_BLOCKS, **_WIDER},
        "M": {
            **_MEDNEXT,
            **_WIDER,
            "blocks_down": [3, 4, 4, 4],
            "blocks_bottleneck": 4,
            "blocks_up": [4, 4, 4, 3],
        },
        "L": {
            **_MEDNEXT,
            "blocks_down": [3, 4, 8, 8],
            "blocks_bottleneck": 8,
            "blocks_up": [8, 8, 4, 3],
            "encoder_expansion_ratio": [3, 4, 8, 8],
            "bottleneck_expansion_ratio": 8,
            "decoder_expansion_ratio": [8, 8, 4, 3],
        },
    },
)

NNFORMER = Family(
    class_name="nnunetv2_factorizer.comparison.nnformer.NNFormer",
    reads=("strides",),
    takes_patch_size=True,
    variants={"Paper": {"embedding_dim": 192, "num_heads": [6, 12, 24, 48]}},
)

TRANSBTS = Family(
    class_name="nnunetv2_factorizer.comparison.transbts.TransBTS",
    reads=("strides",),
    takes_patch_size=True,
    variants={"Paper": {"width": 16, "embedding_dim": 512, "mlp_dim": 4096, "num_heads": 8, "num_layers": 4}},
)

COMPARISON: dict[str, Family] = {
    "PlainUNet": PLAIN_UNET,
    "ResUNet": RES_UNET,
    "Performer": PERFORMER,
    "UNETR": UNETR,
    "SwinUNETR": SWIN_UNETR,
    "MedNeXt": MEDNEXT,
    "NNFormer": NNFORMER,
    "TransBTS": TRANSBTS,
}
