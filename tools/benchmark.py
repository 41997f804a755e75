"""Time a training step of both stages against the same work without masking and in KerasHub.

    python tools/benchmark.py stage1
    python tools/benchmark.py stage2 --width 64 --spatial-layers 2 --temporal-layers 1 --steps 2

Every side runs in a process of its own, one after the other, without a compilation cache.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table


class Ratio(NamedTuple):
    """Quotient of one measured quantity of two sides, and how far it must reach."""

    meaning: str
    quantity: str
    numerator: str
    denominator: str
    reach: str


RATIOS = {
    "stage1": (
        Ratio(
            "gain by dropping half of the tokens (ideal 2.0)",
            "step_seconds",
            "stage 1, all tokens",
            "stage 1, half dropped",
            ">= 1.7",
        ),
        Ratio(
            "gain over KerasHub",
            "step_seconds",
            "KerasHub, all tokens",
            "stage 1, half dropped",
            ">= 2.0",
        ),
        Ratio(
            "gain over KerasHub for the same work",
            "step_seconds",
            "KerasHub, all tokens",
            "stage 1, all tokens",
            "",
        ),
        Ratio(
            "compilation relative to KerasHub's",
            "compile_seconds",
            "stage 1, half dropped",
            "KerasHub, all tokens",
            "<= 0.5",
        ),
    ),
    "stage2": tuple(
        Ratio(
            f"gain by masking, layout {layout}",
            "step_seconds",
            "stage 2, unmasked",
            f"stage 2, BEVT, {layout}",
            ">= 1.5",
        )
        for layout in ("flat", "blocks")
    ),
}
