"""VideoGLUE's summary of eight tasks and four adaptations in one number (paper, Appendix E)."""

import math
from collections.abc import Mapping

from keras_videoprism.evaluation.paper import BASE_MODEL, find_results

# Kinds of tasks (Table 13), each of which counts once.
GROUPS = {
    "VC (A)": ("k400", "mit"),
    "VC (M)": ("ssv2", "diving48"),
    "VC (ML)": ("charades",),
    "TAL": ("activitynet",),
    "STAL": ("ava", "ava_kinetics"),
}
METHODS = ("frozen", "mlap", "adapter", "finetune")
# Long videos do not allow to train the encoder (Appendix E.1).
WITHOUT_TAL = ("adapter", "finetune")


def groups_of(method: str) -> dict[str, tuple[str, ...]]:
    """The groups of tasks that an adaptation is measured on."""
    if method not in METHODS:
        raise ValueError(f"Methods are {METHODS}. Received: {method!r}.")
    return {k: tasks for k, tasks in GROUPS.items() if k != "TAL" or method not in WITHOUT_TAL}


def stratified_average(scores: Mapping[str, float], method: str) -> float:
    """Mean over the groups of the mean over the tasks of a group (Table 17).

    From Tables 13 to 16 it gives 28 of the 32 averages that the paper prints. The others are of
    CLIP, with MLAP 43.0 (printed 43.3) and end to end 50.9 (printed 52.8, for which its SSv2 in
    Table 16 would have to be 62); of VideoMAE with MLAP, 41.1 (printed 40.9); and of VideoPrism-B*
    frozen, 45.66 (printed 45.6).

    Args:
        scores: task -> score, in any unit; all tasks of the groups, and no others.
        method: of adaptation; "adapter" and "finetune" have no temporal localisation.

    Raises:
        ValueError: for missing or other tasks, and scores that are not finite.
    """
    groups = groups_of(method)
    tasks = {task for group in groups.values() for task in group}
    if scores.keys() != tasks:
        raise ValueError(
            f"{method} is averaged over {sorted(tasks)}. "
            f"Missing: {sorted(tasks - scores.keys())}; unknown: {sorted(scores.keys() - tasks)}."
        )
    broken = sorted(task for task, score in scores.items() if not math.isfinite(score))
    if broken:
        raise ValueError(f"Scores must be finite. Received NaN or infinite: {broken}.")
    means = [sum(scores[task] for task in group) / len(group) for group in groups.values()]
    return sum(means) / len(means)


def printed_averages(model: str = BASE_MODEL) -> dict[str, float]:
    """Method -> stratified average of what Tables 13 to 16 print, in percent and not rounded."""
    averages = {}
    for table, method in zip(("13", "14", "15", "16"), METHODS, strict=True):
        rows = find_results(table=table, model=model)
        scores = {row.task: row.value for row in rows if row.task != "videoglue"}
        averages[method] = stratified_average(scores, method)
    return averages


def trainable_costs(model: str = BASE_MODEL) -> dict[str, float]:
    """Method -> GFLOPs of what trains, as the last column of Tables 13 to 16 prints them."""
    rows = find_results(task="videoglue", metric="trainable_gflops", model=model)
    if not rows:
        known = sorted({r.model for r in find_results(metric="trainable_gflops")})
        raise ValueError(f"The paper prints no costs of {model!r}; it does of {known}.")
    return {row.method: row.value for row in rows}


def cost_weights(costs: Mapping[str, float]) -> dict[str, float]:
    """Weight of each method: 1 / log(cost), scaled to a sum of 1.

    Args:
        costs: method -> GFLOPs of what trains; the unit matters, the base of the logarithm does
            not.

    Raises:
        ValueError: for other methods, or a cost of at most 1 GFLOP, which has no logarithm to
            divide by.
    """
    if set(costs) != set(METHODS):
        raise ValueError(f"Costs of {METHODS} are needed. Received those of {tuple(costs)}.")
    small = {method: cost for method, cost in costs.items() if not 1 < cost < math.inf}
    if small:
        raise ValueError(f"Costs must be more than 1 GFLOP. Received: {small}.")
    inverse = {method: 1 / math.log10(costs[method]) for method in METHODS}
    return {method: share / sum(inverse.values()) for method, share in inverse.items()}


def videoglue_score(averages: Mapping[str, float], costs: Mapping[str, float]) -> float:
    """VGS: the stratified averages, weighted against their costs.

    The paper prints no formula. VideoGLUE's (equation 3 of its third version, where it is a mean
    over two kinds of cost) with the trainable FLOPs alone gives the VGS of Table 17, from averages
    that are not rounded, for all models but CLIP (41.3, printed 41.5: see `stratified_average`).

    Args:
        averages: method -> `stratified_average`, of all four methods.
        costs: method -> GFLOPs, such as `trainable_costs()`.
    """
    weights = cost_weights(costs)
    if set(averages) != set(METHODS):
        raise ValueError(f"Averages of {METHODS} are needed. Received: {tuple(averages)}.")
    return sum(weights[method] * averages[method] for method in METHODS)
