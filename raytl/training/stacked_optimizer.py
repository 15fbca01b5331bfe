"""Several optimisers of one kind as one, over parameters stacked along a leading dimension.

Legend: N trials.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from raytl.rows import moved

Stacked = dict[str, Tensor]  # each parameter's values in all trials, (N, …)
MOMENTS = {SGD: ("momentum_buffer",), Adam: ("exp_avg", "exp_avg_sq")}


class StackedOptimizer:
    """Takes the steps that N optimisers of `torch.optim` would take: SGD with momentum, Adam or
    AdamW with their usual arguments and one group, each with its own learning rate and decay.

    The state is read from the optimisers when this is built and put back by `put_back`.
    """

    def __init__(
        self, optimizers: Sequence[Optimizer], parameters: Sequence[Mapping[str, Tensor]]
    ) -> None:
        """`parameters`: of each optimiser, by name. All have the same names and shapes."""
        self._optimizers, self._parameters = optimizers, parameters
        self._kind = SGD if isinstance(optimizers[0], SGD) else Adam
        self._decoupled = isinstance(optimizers[0], AdamW)
        # Behind a frozen backbone there is one group: mapper, head and what the recipe adds.
        self._groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        assert len(self._groups) == len(optimizers)
        self._device = next(iter(parameters[0].values())).device
        self._decay_N = self._hyper("weight_decay")
        self._steps = self._steps_done()
        self._moments = {
            moment: {name: self._stacked_state(name, moment) for name in parameters[0]}
            for moment in MOMENTS[self._kind]
        }

    def _state(self, name: str) -> list[dict[str, Tensor]]:
        pairs = zip(self._optimizers, self._parameters, strict=True)
        return [optimizer.state.get(of[name], {}) for optimizer, of in pairs]

    def _steps_done(self) -> int:
        states = self._state(next(iter(self._parameters[0])))
        return int(states[0].get("step", 0))

    def _stacked_state(self, name: str, moment: str) -> Tensor:
        pairs = zip(self._state(name), self._parameters, strict=True)
        found = [(state.get(moment), of[name]) for state, of in pairs]
        return torch.stack([torch.zeros_like(p) if m is None else m for m, p in found]).detach()

    def _hyper(self, key: str) -> Tensor:
        """Return a hyperparameter of all trials, (N,)."""
        values = [group[key] for group in self._groups]
        return moved(torch.tensor(values, dtype=torch.float64), self._device)

    @torch.no_grad()
    def step(self, params: Stacked, gradients: Stacked) -> None:
        """Update `params` in place, at the learning rates that the optimisers' groups have now."""
        self._steps += 1
        lr_N = self._hyper("lr")
        for name, p in params.items():
            lr, decay = _beside(lr_N, p), _beside(self._decay_N, p)
            if self._decoupled:
                p.mul_(1.0 - lr * decay)
                g = gradients[name]
            else:
                g = gradients[name] + decay * p
            if self._kind is SGD:
                self._sgd(name, p, g, lr)
            else:
                self._adam(name, p, g, lr)

    def _sgd(self, name: str, p: Tensor, g: Tensor, lr: Tensor) -> None:
        buffer = self._moments["momentum_buffer"][name]
        buffer.mul_(self._groups[0]["momentum"]).add_(g)
        p.sub_(lr * buffer)

    def _adam(self, name: str, p: Tensor, g: Tensor, lr: Tensor) -> None:
        group = self._groups[0]
        beta1, beta2 = group["betas"]
        first, second = self._moments["exp_avg"][name], self._moments["exp_avg_sq"][name]
        first.lerp_(g, 1.0 - beta1)
        second.mul_(beta2).addcmul_(g, g, value=1.0 - beta2)
        correction1, correction2 = (1.0 - beta**self._steps for beta in (beta1, beta2))
        denominator = (second.sqrt() / correction2**0.5).add_(group["eps"])
        p.sub_(lr / correction1 * first / denominator)

    @torch.no_grad()
    def put_back(self) -> None:
        """Give each optimiser its state."""
        for index, optimizer in enumerate(self._optimizers):
            for name, parameter in self._parameters[index].items():
                state = optimizer.state[parameter]
                for moment, stacked in self._moments.items():
                    state[moment] = stacked[name][index].clone()
                if self._kind is Adam:
                    # Fused optimisers count on their device, the others on the host.
                    place = self._device if self._groups[index]["fused"] else torch.device("cpu")
                    state["step"] = torch.tensor(float(self._steps), device=place)


def clip_stacked(gradients: Stacked, most: float) -> Tensor:
    """Shorten each trial's gradient to the length `most` where it is longer (0: let it be), in
    place, and return the lengths before, (N,): `optimization.clip_gradients` for each trial."""
    squares = [g.square().reshape(len(g), -1).sum(1) for g in gradients.values()]
    norms_N = torch.stack(squares).sum(0).sqrt()
    if most:
        scale_N = (most / (norms_N + 1e-6)).clamp(max=1.0)  # torch's own guard against zero
        for g in gradients.values():
            g.mul_(_beside(scale_N, g))
    return norms_N


def _beside(values_N: Tensor, stacked: Tensor) -> Tensor:
    """Return the trials' values shaped to multiply a stacked parameter."""
    return values_N.view(-1, *[1] * (stacked.dim() - 1)).to(stacked.dtype)
