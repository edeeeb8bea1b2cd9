"""RetinaFace on MobileNetV1-0.25: network with the official state-dict names, priors, and the decoding of its output.

Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the Wild", CVPR 2020, in the form of
biubug6/Pytorch_Retinaface, whose weights ibug's detector uses.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
PRIOR_SIDES = ((16, 32), (64, 128), (256, 512))  # in pixels, for each stride
VARIANCES = (0.1, 0.2)
MEAN_BGR = (104.0, 117.0, 123.0)
WIDTH = 64
SLOPE = 0.1


def _conv(wide_in: int, wide_out: int, kernel: int = 3, stride: int = 1, active: bool = True) -> nn.Sequential:
    """Convolution, norm and, if `active`, leaky ReLU."""
    layers = [
        nn.Conv2d(wide_in, wide_out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(wide_out),
    ]
    return nn.Sequential(*layers, nn.LeakyReLU(SLOPE)) if active else nn.Sequential(*layers)


def _separable(wide_in: int, wide_out: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3×3, then 1×1."""
    return nn.Sequential(
        nn.Conv2d(wide_in, wide_in, 3, stride, padding=1, groups=wide_in, bias=False),
        nn.BatchNorm2d(wide_in),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(wide_in, wide_out, 1, bias=False),
        nn.BatchNorm2d(wide_out),
        nn.LeakyReLU(SLOPE),
    )


class MobileNet(nn.Module):
    """MobileNetV1 at a quarter of its width: images -> features at strides 8, 16, 32 of 64, 128, 256 channels."""

    def __init__(self):
        super().__init__()
        self.stage1 = nn.Sequential(
            _conv(3, 8, stride=2),
            _separable(8, 16),
            _separable(16, 32, stride=2),
            _separable(32, 32),
            _separable(32, 64, stride=2),
            _separable(64, 64),
        )
        self.stage2 = nn.Sequential(_separable(64, 128, stride=2), *(_separable(128, 128) for _ in range(5)))
        self.stage3 = nn.Sequential(_separable(128, 256, stride=2), _separable(256, 256))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        fine = self.stage1(x)
        middle = self.stage2(fine)
        return [fine, middle, self.stage3(middle)]


class FPN(nn.Module):
    """Feature pyramid: coarse maps are enlarged and added to finer ones; all come out with `WIDTH` channels."""

    def __init__(self):
        super().__init__()
        self.output1 = _conv(64, WIDTH, kernel=1)
        self.output2 = _conv(128, WIDTH, kernel=1)
        self.output3 = _conv(256, WIDTH, kernel=1)
        self.merge1 = _conv(WIDTH, WIDTH)
        self.merge2 = _conv(WIDTH, WIDTH)

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        coarse = self.output3(features[2])
        middle = self.output2(features[1])
        middle = self.merge2(middle + F.interpolate(coarse, middle.shape[2:], mode="nearest"))
        fine = self.output1(features[0])
        fine = self.merge1(fine + F.interpolate(middle, fine.shape[2:], mode="nearest"))
        return [fine, middle, coarse]


class SSH(nn.Module):
    """Context of 3×3, 5×5 and 7×7 cells, made of 3×3 convolutions. (The official names mix x and X.)"""

    def __init__(self):
        super().__init__()
        self.conv3X3 = _conv(WIDTH, WIDTH // 2, active=False)
        self.conv5X5_1 = _conv(WIDTH, WIDTH // 4)
        self.conv5X5_2 = _conv(WIDTH // 4, WIDTH // 4, active=False)
        self.conv7X7_2 = _conv(WIDTH // 4, WIDTH // 4)
        self.conv7x7_3 = _conv(WIDTH // 4, WIDTH // 4, active=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shared = self.conv5X5_1(x)
        wide = self.conv7x7_3(self.conv7X7_2(shared))
        return F.relu(torch.cat([self.conv3X3(x), self.conv5X5_2(shared), wide], 1))


class Head(nn.Module):
    """`values` numbers for every prior of a map: [B, WIDTH, H, W] -> [B, H·W·2, values]."""

    def __init__(self, values: int):
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(WIDTH, len(PRIOR_SIDES[0]) * values, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv1x1(x).permute(0, 2, 3, 1).reshape(len(x), -1, self.values)


class RetinaFace(nn.Module):
    """Pictures [B, 3, H, W] (BGR 0..255 less `MEAN_BGR`) -> boxes [B, P, 4], scores of background and face [B, P, 2]
    and five points [B, P, 10], relative to the P priors of :func:`make_priors`."""

    def __init__(self):
        super().__init__()
        self.body = MobileNet()
        self.fpn = FPN()
        self.ssh1, self.ssh2, self.ssh3 = SSH(), SSH(), SSH()
        self.ClassHead = nn.ModuleList(Head(2) for _ in STRIDES)
        self.BboxHead = nn.ModuleList(Head(4) for _ in STRIDES)
        self.LandmarkHead = nn.ModuleList(Head(10) for _ in STRIDES)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        pyramid = self.fpn(self.body(images))
        maps = [ssh(level) for ssh, level in zip((self.ssh1, self.ssh2, self.ssh3), pyramid, strict=True)]

        def run(heads: nn.ModuleList) -> torch.Tensor:
            return torch.cat([head(level) for head, level in zip(heads, maps, strict=True)], 1)

        return run(self.BboxHead), run(self.ClassHead).softmax(-1), run(self.LandmarkHead)


def make_priors(height: int, width: int) -> np.ndarray:
    """Priors [P, 4] (centre x, y, sides) in pixels of a picture: row by row, cell by cell, fine strides first."""
    blocks = []
    for stride, sides in zip(STRIDES, PRIOR_SIDES, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows), np.arange(columns), np.array(sides, np.float32), indexing="ij")
        blocks.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side, side], -1).reshape(-1, 4))
    return np.concatenate(blocks).astype(np.float32)


def decode(boxes: np.ndarray, points: np.ndarray, priors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the network gave, [N, 4] and [N, 10], to boxes [N, 4] (x0, y0, x1, y1) and points [N, 5, 2] in pixels."""
    centres = priors[:, :2] + boxes[:, :2] * VARIANCES[0] * priors[:, 2:]
    half_sides = priors[:, 2:] * np.exp(boxes[:, 2:] * VARIANCES[1]) / 2
    offsets = points.reshape(-1, 5, 2) * VARIANCES[0] * priors[:, None, 2:]
    return np.concatenate([centres - half_sides, centres + half_sides], 1), priors[:, None, :2] + offsets


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float = 0.4) -> np.ndarray:
    """Indices of the boxes [N, 4] that stay, best first: none overlaps a better one by more than `overlap` (IoU, with
    sides counted in whole pixels as the official code does)."""
    x0, y0, x1, y1 = boxes.T
    areas = (x1 - x0 + 1) * (y1 - y0 + 1)
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        width = np.minimum(x1[best], x1[rest]) - np.maximum(x0[best], x0[rest]) + 1
        height = np.minimum(y1[best], y1[rest]) - np.maximum(y0[best], y0[rest]) + 1
        common = np.maximum(width, 0) * np.maximum(height, 0)
        order = rest[common / (areas[best] + areas[rest] - common) <= overlap]
    return np.array(kept, np.int64)


@torch.no_grad()
def detect(
    net: RetinaFace, image: np.ndarray, threshold: float = 0.8, overlap: float = 0.4
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces of the picture `image` (RGB uint8 [H, W, 3]), best first.

    Returns boxes [N, 4], scores [N] and points [N, 5, 2] (image-left eye, image-right eye, nose tip, mouth corners),
    float32, in pixels.
    """
    device = next(net.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).to(device).permute(2, 0, 1).float()
    pixels -= torch.tensor(MEAN_BGR, device=device)[:, None, None]
    boxes, classes, points = (out[0].cpu().numpy() for out in net(pixels[None]))
    # A worse box never suppresses a better one, so those under the threshold may go first.
    good = np.flatnonzero(classes[:, 1] > threshold)
    boxes, points = decode(boxes[good], points[good], make_priors(*image.shape[:2])[good])
    scores = classes[good, 1]
    kept = suppress(boxes, scores, overlap)
    return boxes[kept], scores[kept], points[kept]
