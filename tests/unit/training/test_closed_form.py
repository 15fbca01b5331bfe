"""Closed-form mappers against their defining properties."""

import torch

from raytl.training.closed_form import (
    COVARIANCE_RIDGE,
    MEANS_RIDGE,
    class_means_matrix,
    coral_matrix,
)


def test_coral_gives_the_source_the_targets_covariance() -> None:
    torch.manual_seed(0)
    source = torch.randn(200, 4).double() @ torch.randn(4, 4).double()
    target = torch.randn(150, 4).double() @ torch.randn(4, 4).double()
    matrix = coral_matrix(source, target)
    ridge = COVARIANCE_RIDGE * torch.eye(4)
    carried = matrix @ (torch.cov(source.T) + ridge) @ matrix.T
    assert torch.allclose(carried, torch.cov(target.T) + ridge, atol=1e-8)


def test_class_means_matrix_is_the_ridge_minimum() -> None:
    torch.manual_seed(0)
    source, target = torch.randn(3, 4).double(), torch.randn(3, 4).double()
    ridge = MEANS_RIDGE * source.square().sum(1).mean()

    def objective(matrix: torch.Tensor) -> torch.Tensor:
        fit = (source @ matrix.T - target).square().sum()
        return fit + ridge * (matrix - torch.eye(4)).square().sum()

    matrix = class_means_matrix(source, target).requires_grad_()
    (gradient,) = torch.autograd.grad(objective(matrix), matrix)
    assert gradient.abs().max() < 1e-10
