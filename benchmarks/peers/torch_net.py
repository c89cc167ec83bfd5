"""The shipped CNN in PyTorch: training/architectures.py `cnn` with its weights; captum explains the same net."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from benchmarks.case import Array


class Net(nn.Module):
    """Convolutions with SiLU, each stage of two halving the picture; attention pooling by learned queries; a dense
    layer. Takes images (n, H, W), gives logits (n, K)."""

    def __init__(self, state: Mapping[str, Array]) -> None:
        super().__init__()
        kernels = [array.shape for name, array in state.items() if name.startswith("convs.") and array.ndim == 4]
        self.convs = nn.ModuleList(nn.Conv2d(c, f, k, 2 - i % 2) for i, (f, c, k, _) in enumerate(kernels))
        self.feature_map = nn.Identity()  # a name for what Grad-CAM asks
        heads, channels = state["queries.weight"].shape
        self.queries = nn.Linear(channels, heads, bias=False)
        self.dense = nn.Linear(heads * channels, len(state["dense.bias"]))
        tensors = {name: torch.from_numpy(array) for name, array in state.items()}
        self.load_state_dict(tensors)
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images.unsqueeze(1)
        for conv in self.convs:
            x = functional.silu(conv(_same(x, conv.kernel_size[0], conv.stride[0])))
        positions = self.feature_map(x).flatten(2).transpose(1, 2)  # (n, h w, c)
        share = torch.softmax(self.queries(positions), dim=1)  # (n, h w, heads)
        return self.dense((share.transpose(1, 2) @ positions).flatten(1))


def _same(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Padded as TensorFlow's "same": what cannot be halved goes to the right and to the bottom."""
    pads = []
    for side in (x.shape[3], x.shape[2]):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)
