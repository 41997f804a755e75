"""What devices send to each other, read from the text of a compiled program (HLO).

XLA writes one program for all devices: shapes are those of one device, and an operation such as
`all-reduce` is where they exchange arrays. What stands in the body of a loop is counted as often
as the loop runs.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
ITEM_BYTES = {"pred": 1, "bf16": 2, "c64": 8, "c128": 16}  # all others end in their bits

_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.-]+) \(.*\{$")
_COLLECTIVE = re.compile(rf" = (\([^()]*\)|\S+) ({'|'.join(KINDS)})\(")
_CALLED = re.compile(r"(?:body|to_apply|calls|true_computation|false_computation)=%?([\w.-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,]*)\]")
_GROUP_LIST = re.compile(r"replica_groups=\{\{([\d,]+)\}")
_GROUP_SHAPE = re.compile(r"replica_groups=\[\d+,(\d+)\]")
_GROUP_MESH = re.compile(r"replica_groups=mesh\[([^\]]*)\].*?\{('[^}]*)\}")
_AXIS_SIZE = re.compile(r"'(\w+)'=(\d+)")
_AXIS_USED = re.compile(r"'(\w+)'(?::\(\d+\)(\d+))?")


class Traffic(NamedTuple):
    """Collective operations of one kind in a step, on one device.

    times: how many are run. bytes: the arrays that they make or sum, whole. sent: bytes that the
    device sends, where they go around a ring: of n devices, (n - 1) / n of an array, for a sum
    twice as many.
    """

    times: int
    bytes: int
    sent: int


class _Computation(NamedTuple):
    """Collectives (kind, bytes, sent) of a part of a program, and how often it calls others."""

    collectives: list[tuple[str, int, int]]
    calls: Counter[str]


def collectives(hlo: str, devices: int) -> dict[str, Traffic]:
    """Kind -> what a device exchanges in one run of a program; only the kinds that are there.

    Args:
        hlo: text of an optimised program, as `jax.stages.Compiled.as_text` gives it on a CPU.
        devices: number of devices that run it.

    Returns:
        Sums in bfloat16 count as such, though XLA does them in float32 on a CPU. A condition
        counts with all its branches, a loop of unknown length once.
    """
    entry, parts = _computations(hlo, devices)
    totals: dict[str, Traffic] = {}
    for name, times in _times_run(entry, parts).items():
        for kind, size, sent in parts[name].collectives:
            old = totals.get(kind, Traffic(0, 0, 0))
            totals[kind] = Traffic(
                old.times + times, old.bytes + times * size, old.sent + times * sent
            )
    return {kind: totals[kind] for kind in KINDS if kind in totals}


def _computations(hlo: str, devices: int) -> tuple[str, dict[str, _Computation]]:
    """The name of the main part, and all parts."""
    entry, current = "", _Computation([], Counter())
    parts: dict[str, _Computation] = {}
    for line in hlo.splitlines():
        if line[:1] not in ("", " ", "}") and (header := _COMPUTATION.match(line)):
            current = parts[header[2]] = _Computation([], Counter())
            entry = header[2] if header[1] else entry
        elif found := _COLLECTIVE.search(line):
            current.collectives.append((found[2], *_sizes(found[2], found[1], line, devices)))
        else:
            current.calls.update(_calls(line))
    return entry, parts


def _calls(line: str) -> Counter[str]:
    """Which parts an operation runs, and how often."""
    trips = _TRIPS.search(line)
    names = _CALLED.findall(line)
    for branches in _BRANCHES.findall(line):
        names += [name.strip(" %") for name in branches.split(",")]
    return Counter({name: int(trips[1]) if trips else 1 for name in names})


def _times_run(entry: str, parts: dict[str, _Computation]) -> Counter[str]:
    """How often each part runs. XLA writes a part before those that call it."""
    times = Counter({entry: 1})
    for name in reversed(parts):
        for called, count in parts[name].calls.items():
            if called in parts:
                times[called] += times[name] * count
    return times


def _sizes(kind: str, shape: str, line: str, devices: int) -> tuple[int, int]:
    """Bytes of the whole array, and those that a device sends."""
    size, group = sum(_array_bytes(shape)), _group_size(line, devices)
    if "_promoted" in line:  # XLA sums 16 bits in 32 on a CPU
        size //= 2
    if kind == "collective-permute":
        return size, size
    if kind == "reduce-scatter":
        size *= group
    rounds = 2 if kind == "all-reduce" else 1
    return size, rounds * size * (group - 1) // group


def _array_bytes(shape: str) -> Iterator[int]:
    """`(f32[2,3]{1,0}, bf16[4]{0})` -> 24, 8."""
    for dtype, dimensions in _ARRAY.findall(shape):
        item = ITEM_BYTES.get(dtype) or int(re.sub(r"\D", "", dtype)) / 8
        yield math.ceil(item * math.prod(int(size) for size in dimensions.split(",") if size))


def _group_size(line: str, devices: int) -> int:
    """How many devices exchange with each other."""
    if found := _GROUP_LIST.search(line):
        return found[1].count(",") + 1
    if found := _GROUP_SHAPE.search(line):
        return int(found[1])
    if found := _GROUP_MESH.search(line):
        sizes = dict(_AXIS_SIZE.findall(found[1]))
        used = _AXIS_USED.findall(found[2])
        return math.prod(int(part or sizes[axis]) for axis, part in used)
    return devices
