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

COMPARISON: dict[str, Family] = {"PlainUNet": PLAIN_UNET, "ResUNet": RES_UNET, "Performer": PERFORMER}
