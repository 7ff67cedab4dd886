"""The methods of segmentation: a method is one file here and one line in `METHODS`."""

from nnunetv2_factorizer.segment.method import Method
from nnunetv2_factorizer.segment.methods import dfc, factorizer, kmeans, msformer, otsu, slic
from nnunetv2_factorizer.segment.training import SMALLEST

METHODS = {
    "msformer": Method(msformer.segment, axes=2, smallest=SMALLEST, most=msformer.WIDTH),
    "dfc": Method(dfc.segment, axes=2, smallest=SMALLEST, most=dfc.WIDTH),
    "factorizer": Method(factorizer.segment, axes=2, smallest=SMALLEST, most=factorizer.WIDTH),
    "kmeans": Method(kmeans.segment, axes=3),
    "slic": Method(slic.segment, axes=3),
    "otsu": Method(otsu.segment, axes=3, most=otsu.MOST),
}
"""By the name that `--method` takes."""
