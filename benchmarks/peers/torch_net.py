"""The shipped CNN in PyTorch: training/architectures.py `cnn` with its weights; captum explains the same net."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchmarks.case import Array

EPSILON = 1e-3  # of batch normalisation, Keras's default


class Net(nn.Module):
    """Convolutions with batch normalisation and SiLU, each stage of two halving the picture; attention pooling by
    learned queries; a dense layer. Takes images (n, H, W), gives logits (n, K)."""

    def __init__(self, state: Mapping[str, Array]) -> None:
        super().__init__()
        kernels = [state[f"convs.{i}.weight"].shape for i in range(sum(key.startswith("convs.") for key in state))]
        self.convs = nn.ModuleList(nn.Conv2d(c, f, k, 2 - i % 2, bias=False) for i, (f, c, k, _) in enumerate(kernels))
        self.norms = nn.ModuleList(nn.BatchNorm2d(f, EPSILON) for f, *_ in kernels)
        self.feature_map = nn.Identity()  # a name for what Grad-CAM asks
        heads, channels = state["queries.weight"].shape
        self.queries = nn.Linear(channels, heads, bias=False)
        self.dense = nn.Linear(heads * channels, len(state["dense.bias"]))
        tensors = {name: torch.from_numpy(array) for name, array in state.items()}
        missing, unexpected = self.load_state_dict(tensors, strict=False)
        lost = [name for name in missing if not name.endswith("num_batches_tracked")]
        if lost or unexpected:
            raise ValueError(f"the weights lack {lost} and have {unexpected} too many")
        self.eval()
        # folded: it is faster, and torch 2.13 gets the gradient of batch normalisation wrong for a single image whose
        # incoming gradient lies in memory channels last, as after attention pooling
        pairs = zip(self.convs, self.norms, strict=True)
        self.convs = nn.ModuleList(fuse_conv_bn_eval(conv, norm) for conv, norm in pairs)
        del self.norms

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images.unsqueeze(1)
        for conv in self.convs:
            x = functional.silu(conv(_same(x, conv.kernel_size[0], conv.stride[0])))
        positions = self.feature_map(x).flatten(2).transpose(1, 2)  # (n, h w, c)
        share = torch.softmax(self.queries(positions), dim=1)  # (n, h w, heads)
        return self.dense((share.transpose(1, 2) @ positions).flatten(1))


def _same(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Padded as TensorFlow's "same": what can not be halved goes to the right and to the bottom."""
    pads = []
    for side in (x.shape[3], x.shape[2]):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)
