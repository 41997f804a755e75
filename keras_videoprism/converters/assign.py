"""Strict assignment of arrays to the variables of a model."""

from collections.abc import Callable

import keras
import numpy as np

Rule = tuple[str, Callable[[np.ndarray], np.ndarray]]


def assign(
    variables: dict[str, keras.Variable], arrays: dict[str, np.ndarray], rules: dict[str, Rule]
) -> None:
    """Set every variable once from one array, and use every array.

    Args:
        variables: path -> variable.
        arrays: key -> array of the checkpoint.
        rules: path of a variable -> (key, function of the array).

    Raises:
        ValueError: lists all variables without array, arrays without variable, and shapes that
            differ; nothing is assigned then.
    """
    problems = [f"no rule for variable {path}" for path in variables.keys() - rules.keys()]
    used = {key for key, _ in rules.values()}
    problems += [f"unused array {key}" for key in arrays.keys() - used]
    values = {}
    for path, (key, transform) in rules.items():
        if key not in arrays:
            problems.append(f"missing array {key} for {path}")
            continue
        values[path] = transform(np.asarray(arrays[key]))
        if path not in variables:
            problems.append(f"no variable {path} for array {key}")
        elif values[path].shape != tuple(variables[path].shape):
            problems.append(
                f"{path} has shape {tuple(variables[path].shape)}, but {key} gives "
                f"{values[path].shape}"
            )
    if problems:
        raise ValueError("the checkpoint does not fit the model:\n" + "\n".join(sorted(problems)))
    for path, value in values.items():
        variables[path].assign(value)
