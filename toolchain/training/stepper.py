"""One update of a training: every pass of a step, the sums over the processes, the step of the optimizer."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from toolchain.parallel.collectives import sum_over_ranks
from toolchain.parallel.ranks import world
from toolchain.training.batch_mixing import Mixing
from toolchain.training.data import Preprocessing
from toolchain.training.optimizer import Update, moved
from toolchain.training.passes import Pass, PlanStep, Teacher, distillation_loss
from toolchain.training.precision import Precision


@dataclass(frozen=True)
class Stepper:
    """One update: forward, loss and backward of each pass, sums over the processes, step of the optimizer."""

    plan: PlanStep
    preprocessing: Preprocessing
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    precision: Precision
    label_smoothing: float
    mixing: Mixing | None = None

    def __call__(self, pixels: Tensor, labels: Tensor, step: int) -> Tensor:
        """Update on images uint8 (N, C, S, S); gives mean loss and correct images of all processes: (2,).

        Both are means over the passes. Gradients are sums over the passes, as in the papers of the strategies: a weight
        that one pass uses is updated as if it were the only one.
        """
        plan, inputs = self.plan(step), self.preprocessing(pixels)
        inputs, targets = (inputs, labels) if self.mixing is None else self.mixing(inputs, labels)
        self.optimizer.zero_grad(set_to_none=True)  # weights that no path used get neither decay nor momentum
        seen = torch.zeros(2, device=pixels.device)
        outputs: list[Tensor] = []
        for step_pass in plan.passes:
            loss, logits = self._forward(step_pass, inputs, targets, outputs)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            outputs.append(logits)
            seen += torch.stack((loss.detach().float(), (logits.argmax(1) == labels).sum()))
        seen /= len(plan.passes)
        sum_over_ranks([*moved(self.optimizer, plan.slices), seen])
        update = Update(self.optimizer, plan.slices)
        self.scaler.unscale_(update)  # type: ignore[arg-type]
        self.scaler.step(update)  # type: ignore[arg-type]
        self.scaler.update()
        return seen

    def _forward(
        self, step_pass: Pass, inputs: Tensor, targets: Tensor, outputs: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The loss of one pass for this process, and its logits without their graph."""
        with self.precision.autocast(inputs.device):
            logits = step_pass.forward(inputs)
            if isinstance(step_pass.teacher, int):
                loss = distillation_loss(logits, outputs[step_pass.teacher])
            else:
                loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
            if isinstance(step_pass.teacher, Teacher):
                loss = step_pass.teacher.loss(inputs, logits, loss)
            return loss / world(), logits.detach()
