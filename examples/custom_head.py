"""A head of your own: tokens (B, T, D) and valid (B, T) in, logits (B, K) out. Its keyword arguments become options.

    python examples/custom_head.py [DATA]

The model that is trained holds the head as a graph, which answers wherever gerund is installed, without this file. On the command line, in
the folder of this file: python -m gerund train DATA --head custom_head:ConvHead --head.width 32
"""

import sys

import torch
from torch import Tensor, nn

import gerund
from gerund.heads.learned.base import TorchHead, masked_max


class ConvHead(TorchHead):
    """One convolution over time, then the maximum over the valid steps."""

    def __init__(self, dim: int, num_classes: int, num_frames: int, *, width: int = 64, kernel: int = 3) -> None:
        super().__init__()
        self.convolve = nn.Conv1d(dim, width, kernel, padding=kernel // 2)
        self.classify = nn.Linear(width, num_classes)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        x = torch.where(valid.unsqueeze(-1), x, 0)  # what stands in the padding must never matter
        x = self.convolve(x.transpose(1, 2)).relu().transpose(1, 2)
        return self.classify(masked_max(x, valid))


if __name__ == "__main__":
    data = sys.argv[1] if len(sys.argv) > 1 else "toy"
    done = gerund.train(data, backbone="pixels", head="custom_head:ConvHead", head_options={"width": 32}, epochs=10)
    print(f"{done.metrics['test']['top1']:.1%} of {done.metrics['test']['num_clips']} test clips; the model is in {done.model}")
