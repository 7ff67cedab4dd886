"""Joint training: all cases of all stages so far, which nobody may have kept; the upper bound of every method.

Ours: each stage goes on with the model of the stage before, as all methods do, so that no method sees more iterations.
"""

from nnunetv2_factorizer.lifelong.methods.rehearsal import Rehearsal


class Joint(Rehearsal):
    """Rehearsal of everything."""

    share = 1.0
