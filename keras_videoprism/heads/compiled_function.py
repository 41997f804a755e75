"""A function of some layers, compiled by the active backend."""

from collections.abc import Callable
from typing import Any

import keras


class CompiledFunction(keras.Model):
    """`run(inputs)` computes `function(inputs)` as `predict` computes a model.

    Keras compiles the calls of models alone, each backend in its way; this is a model that does
    nothing but call the function.

    Args:
        function: dict of tensors -> tensor.
        layers: whose weights the function uses.
    """

    def __init__(self, function: Callable[[dict], Any], layers: list[keras.layers.Layer]) -> None:
        super().__init__()
        self.function = function
        self.used_layers = layers
        self.built = True

    def call(self, inputs: dict) -> Any:
        return self.function(inputs)

    def run(self, inputs: dict) -> Any:
        """Outputs as NumPy arrays; each shape of the inputs is compiled once."""
        return self.predict_on_batch(inputs)
