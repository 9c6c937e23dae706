#!/usr/bin/env python3
"""Five steps of PyTorch's SGD in double precision, for tests/core/test_sgd.c.

    python3 tests/oracles/sgd.py > tests/core/data/sgd.txt

A case is a line "momentum nesterov weight_decay lr", then five pairs of lines: the gradients, and the parameters after the step.
"""
import torch

torch.manual_seed(1)
print(f"# torch {torch.__version__}")
for momentum, nesterov, decay, lr in [(0, 0, 0, 0.1), (0.9, 0, 0, 0.1), (0.9, 1, 5e-4, 0.05), (0.5, 0, 0.1, 0.3), (0, 0, 0.01, 1)]:
    parameter = torch.nn.Parameter(torch.linspace(-2, 2, 9, dtype=torch.float64))
    optimizer = torch.optim.SGD([parameter], lr=lr, momentum=momentum, nesterov=bool(nesterov), weight_decay=decay)
    print(momentum, nesterov, decay, lr)
    for _ in range(5):
        parameter.grad = torch.randn(9, dtype=torch.float64)
        print(*[repr(v) for v in parameter.grad.tolist()])
        optimizer.step()
        print(*[repr(v) for v in parameter.tolist()])
