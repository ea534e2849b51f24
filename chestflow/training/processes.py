"""Several processes that train one network together, on several devices or machines (torchrun).

Every process holds all images and the same weights, and computes its share of each batch. Whatever
depends on the whole batch (batch norm, dropout, the loss) sees the whole batch, so the result is
that of one process, up to the order of summation.
"""

from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F


class Group:
    """The processes that share a training; one process alone by default, which shares nothing."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.n, self.mine = 0, slice(0)  # of the present batch: its size, and this process's part

    def synchronise(self, model: nn.Module) -> None:
        """Make batch norm and dropout of a model work on the whole batch, and all processes draw
        the same numbers from here on."""
        if self.size == 1:
            return
        torch.set_rng_state(self.agree(torch.get_rng_state()))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.forward = partial(batch_norm, module, self)  # type: ignore[method-assign]
            elif isinstance(module, nn.Dropout):
                module.forward = partial(dropout, module, self)  # type: ignore[method-assign]

    def share(self, n: int) -> slice:
        """Begin a batch of n images: the places in it that are this process's. Where there are more
        processes than images, some have none."""
        self.n = n
        self.mine = slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)
        return self.mine

    def gather(self, outputs: Tensor) -> Tensor:
        """This process's outputs, (own, ...) -> those of all, (n, ...). Gradients flow into its own
        only: every process computes the same loss."""
        if self.size == 1:
            return outputs
        whole = outputs.new_zeros(self.n, *outputs.shape[1:])
        whole[self.mine] = outputs.detach()
        dist.all_reduce(whole)
        whole[self.mine] = outputs
        return whole

    def sum_gradients(self, model: nn.Module) -> None:
        """Put the sum over all processes in the place of each gradient."""
        if self.size == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        whole = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(whole)
        for gradient, total in zip(gradients, whole.split([g.numel() for g in gradients])):
            gradient.copy_(total.view(gradient.shape))

    def agree(self, value):
        """The value that the first process holds, for decisions that all must share."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]


def batch_norm(module: nn.BatchNorm2d, group: Group, maps: Tensor) -> Tensor:
    """Batch norm with the mean and variance of the group's whole batch; torch's own SyncBatchNorm
    refuses tensors on the processor.

    maps: (own, C, H, W), `own` may be 0. The running averages become the same on all processes.
    """
    if not module.training:
        return nn.BatchNorm2d.forward(module, maps)
    n = group.n * maps.shape[2] * maps.shape[3]
    over = (0, 2, 3)
    # In doubles: the difference of the two below may be small beside either.
    sums = torch.stack([maps.sum(over), maps.square().sum(over)]).double()
    mean, square = _AllSum.apply(sums) / n
    variance = square - mean.square()
    with torch.no_grad():
        module.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        for kept, new in (
            (module.running_mean, mean),
            (module.running_var, variance * n / (n - 1)),
        ):
            kept.lerp_(new.to(kept.dtype), module.momentum)  # type: ignore
    scale = module.weight * (variance + module.eps).rsqrt()
    shift = module.bias - mean * scale
    shift, scale = (v.to(maps.dtype).view(1, -1, 1, 1) for v in (shift, scale))
    return torch.addcmul(shift, maps, scale)


class _AllSum(torch.autograd.Function):
    """Sum over the processes, whose gradient is the sum over the processes, too."""

    @staticmethod
    def forward(_, values: Tensor) -> Tensor:
        return _AllSum.backward(_, values)

    @staticmethod
    def backward(_, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def dropout(module: nn.Dropout, group: Group, values: Tensor) -> Tensor:
    """Dropout that draws for the whole batch and applies its own part: (own, ...) in and out."""
    if not module.training:
        return values
    return values * F.dropout(values.new_ones(group.n, *values.shape[1:]), module.p)[group.mine]


def group() -> Group:
    """The group that this process belongs to."""
    return Group(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Group()
