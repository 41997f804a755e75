"""Datasheets of accelerators, and the least time that a step can take on them."""

from typing import NamedTuple


class Accelerator(NamedTuple):
    """One chip, from its maker's datasheet.

    flops: dense bfloat16 operations per second. memory: bytes, a GB taken as 10**9. bandwidth:
    bytes per second between chip and memory. network: bytes per second that the chip can send to
    its neighbours, half of what datasheets give for both directions: TPUs within a pod, GPUs over
    NVLink, hence between the 8 of one machine; networks between machines are slower.
    """

    flops: float
    memory: float
    bandwidth: float
    network: float


# https://cloud.google.com/tpu/docs/system-architecture-tpu-vm; Nvidia's datasheets of the SXM parts
ACCELERATORS = {
    "TPU v4": Accelerator(275e12, 32e9, 1228e9, 300e9),
    "TPU v5e": Accelerator(197e12, 16e9, 819e9, 200e9),
    "TPU v5p": Accelerator(459e12, 95e9, 2765e9, 600e9),
    "TPU v6e": Accelerator(918e12, 32e9, 1638e9, 400e9),
    "A100 80GB": Accelerator(312e12, 80e9, 2039e9, 300e9),
    "H100 SXM": Accelerator(989e12, 80e9, 3350e9, 450e9),
    "H200 SXM": Accelerator(989e12, 141e9, 4800e9, 450e9),
}


class Estimate(NamedTuple):
    """Seconds that a step takes at least, for each of three reasons; and whether it fits.

    step: the largest of the three, as if all overlapped.
    """

    compute: float
    memory: float
    network: float
    step: float
    fits: bool


def estimate(
    accelerator: Accelerator, flops: float, moved: float, sent: float, held: float
) -> Estimate:
    """A roofline: a lower bound of the time of a step, each part at 100 % of its peak.

    Args:
        accelerator: the chip.
        flops: operations of a chip in a step.
        moved: bytes that it must at least read from its memory and write to it.
        sent: bytes that it sends to others.
        held: bytes that are in its memory at once.
    """
    compute, memory = flops / accelerator.flops, moved / accelerator.bandwidth
    network = sent / accelerator.network
    fits = held <= accelerator.memory
    return Estimate(compute, memory, network, max(compute, memory, network), fits)
