"""OCTL: the optimiser goes on with its history of the source training (Goodman, Greenspan, Goldberger).

    SGD:  H_0 = H_source;  H_t = mu H_(t-1) + g_t;  theta_t = theta_(t-1) - gamma H_t
    Adam: M_0, V_0 of the source;  M_t = beta1 M_(t-1) + (1 - beta1) g_t;  V_t likewise with g_t^2
          theta_t = theta_(t-1) - gamma M' / (sqrt(V') + eps)
          M' = M_t / (1 - beta1^(t + 100)),  V' = V_t / (1 - beta2^(t + 100))

The paper prints g_t^2 in the line of M_t, which must be g_t. The step counter goes on at 100, not at the true number of
steps, so that the history is neither too strong nor forgotten at once.

Ours: the history is carried over by the name of the parameter; parameters that the source model does not give, such as
heads of other labels, start without. Muon has its momentum for matrices, and Adam for the rest. There is no warm-up:
mu = 0.99 halves the history in 69 steps, so it would be gone before the steps are large. Learning rates start anew.
"""

from typing import Any, ClassVar

import torch

from nnunetv2_factorizer.adaptation.history import history_by_name, slots
from nnunetv2_factorizer.adaptation.methods.momentum import Momentum
from nnunetv2_factorizer.models.checkpoint import made_by
from nnunetv2_factorizer.training.bare import bare

NAMED_AT_MOST = 8


class OCTL(Momentum):
    """Fine-tune all, with the momentum that the source training ended with."""

    from_step: ClassVar[int] = 100
    """Where Adam's step counter goes on."""

    def start(self, checkpoint: dict[str, Any], path: str) -> None:
        optimizer = self.trainer.optimizer
        names = {id(p): name for name, p in bare(self.trainer.network).named_parameters()}
        history = history_by_name(checkpoint, path, optimizer, names)
        known = self.trainer.pretrained()
        taken, without = 0, []
        for group in optimizer.param_groups:
            for p in group["params"]:
                name, state = names[id(p)], history[names[id(p)]]
                of_shape = all(value.shape == p.shape for slot, value in state.items() if slot != "step")
                if not state or name not in known or not of_shape:
                    without.append(name)
                    continue
                optimizer.state[p] = {slot: state[slot].to(p, copy=True) for slot in slots(group) if slot != "step"}
                if "step" in state:
                    optimizer.state[p]["step"] = torch.tensor(float(self.from_step))
                taken += 1
        more = f" and {len(without) - NAMED_AT_MOST} more" if len(without) > NAMED_AT_MOST else ""
        which = f": {', '.join(without[:NAMED_AT_MOST])}{more}" if without else ""
        self.trainer.print_to_log_file(
            f"Optimiser history from {path} ({made_by(checkpoint)}): carried over for {taken} tensors, "
            f"not for {len(without)}{which}"
        )
