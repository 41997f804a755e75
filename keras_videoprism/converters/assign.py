"""Strict assignment of arrays to the variables of a model."""

from collections.abc import Callable

import keras
import numpy as np

Arrays = dict[str, np.ndarray]
Change = Callable[[np.ndarray], np.ndarray]
Rule = tuple[str, Change]

Leaves = dict[str, Rule]  # our variable -> (array in the checkpoint, its change)
Table = dict[str, tuple[str, Leaves]]  # our layer -> (layer in the checkpoint, its variables)


def same(array: np.ndarray) -> np.ndarray:
    return array


def layer_rules(
    table: Table, path: str = "", key: str = "", separator: str = "/"
) -> dict[str, Rule]:
    """Path of a variable below `path` -> (key of the array below `key`, its change)."""
    return {
        f"{path}{layer}/{variable}": (f"{key}{source}{separator}{array}", change)
        for layer, (source, variables) in table.items()
        for variable, (array, change) in variables.items()
    }


def check_factorized(encoder: keras.Model, library: str) -> None:
    """ValueError where another library cannot hold the encoder: all know one attention only."""
    if encoder.attention != "factorized":
        raise ValueError(
            f"{library} has only factorized attention; received a model of {encoder.attention} "
            "attention. Save it as a preset of this package instead."
        )


def variables_by_path(model: keras.Model) -> dict[str, keras.Variable]:
    """Path below the model -> variable, without the metric and seed variables."""
    return {variable.path: variable for variable in model.weights}


def assign(
    variables: dict[str, keras.Variable], arrays: dict[str, np.ndarray], rules: dict[str, Rule]
) -> None:
    """Set every variable once from one array, and use every array.

    Args:
        variables: path -> variable.
        arrays: key -> array of the checkpoint.
        rules: path of a variable -> (key, function of the array).

    Raises:
        ValueError: lists all variables without array, arrays without variable, shapes that differ
            and arrays with NaN or infinity; nothing is assigned then.
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
        if not np.isfinite(values[path]).all():
            problems.append(f"array {key} has values that are not finite")
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
