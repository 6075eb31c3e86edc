"""Older methods that need no training: OpenCV's DIS flow, and frames made from it or by averaging.

Source: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
"""(H, W, 3), RGB."""
Flow = NDArray[np.floating[Any]]
"""(H, W, 2), pixels, x then y: where what each pixel shows has gone in the other frame."""


def dis_flow(first: Frame, second: Frame) -> Flow:
    """Flow from `first` to `second` by DIS on grey levels, preset medium."""
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey0, grey1 = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second))
    start = np.zeros((*first.shape[:2], 2), np.float32)
    return method.calc(grey0, grey1, start).astype(np.float32, copy=False)


def fetch(frame: Frame, flow: Flow) -> NDArray[np.floating[Any]]:
    """Fetches each pixel from where `flow` points in `frame`: bilinear, the border repeated.

    Returns:
        float32 (H, W, 3), in levels.
    """
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    map_x, map_y = (x + flow[..., 0]).astype(np.float32), (y + flow[..., 1]).astype(np.float32)
    return cv2.remap(
        frame.astype(np.float32), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def lands_inside(flow: Flow) -> NDArray[np.bool_]:
    """Which pixels (H, W) a flow leads to a place inside the frame."""
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    to_x, to_y = x + flow[..., 0], y + flow[..., 1]
    inside: NDArray[np.bool_] = (
        (to_x >= 0) & (to_x <= width - 1) & (to_y >= 0) & (to_y <= height - 1)
    )
    return inside


def dis_middle(first: Frame, second: Frame) -> Frame:
    """The frame half-way between two, by DIS flow.

    Flow from the middle to either side is taken as half the mean of what both directions say, as in
    Super SloMo (Jiang et al. 2018, equation 4 at t = ½), and the two fetched frames are averaged.
    """
    there, back = dis_flow(first, second), dis_flow(second, first)
    to_second = (there - back) / 4
    middle = (fetch(first, -to_second) + fetch(second, to_second)) / 2
    return np.rint(middle).clip(0, 255).astype(np.uint8)


def average(first: Frame, second: Frame) -> Frame:
    """The mean of two frames, pixel by pixel."""
    mean = (first.astype(np.float32) + second) / 2
    return np.rint(mean).astype(np.uint8)
