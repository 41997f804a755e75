"""The training step of both stages on each backend: the only code that knows backends.

It adds to Keras' step: micro-batches, gradients that are not finite are skipped and counted, and
the gradient norm is logged. With one micro-batch and finite gradients it equals Keras' step.

A loss over a whole batch cannot be accumulated over parts of it. So the outputs of all parts come
first, without gradients; the loss of their concatenation gives the gradient of the outputs; then
each part runs again, and its outputs' gradient is propagated into it (GradCache, Gao et al.,
2021). Masks depend on (seed, step, clip_id) only, hence are the same in both passes.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_videoprism.layers.factorized_encoder import FactorizedEncoder, check_videos
from keras_videoprism.layers.typing import Tensor


class TrainStep(keras.Model):
    """A model whose step can split a batch, skips broken gradients and keeps count of the steps.

    A subclass gives `encoder`, `call`, `compute_loss` (pure in `y_pred`), `summaries` and
    `required_keys`.

    Args:
        num_micro_batches: number of parts of a batch.
    """

    required_keys: tuple[str, ...] = ("videos",)
    loss_spans_batch = False  # True where the loss of a batch is not the mean of its parts' losses

    def __init__(self, num_micro_batches: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_micro_batches < 1:
            raise ValueError(f"num_micro_batches must be at least 1; received {num_micro_batches}.")
        self.num_micro_batches = num_micro_batches
        self.step = self._counter("step")
        self.skipped_steps = self._counter("skipped_steps")
        self.summary_trackers: list[keras.metrics.Mean] = []
        self.built = True  # parts are built when they are made; a symbolic build would trace twice

    @property
    def encoder(self) -> FactorizedEncoder:
        """The encoder that learns."""
        raise NotImplementedError

    def _counter(self, name: str) -> keras.Variable:
        return self.add_weight(
            name=name, shape=(), dtype="int32", initializer="zeros", trainable=False
        )

    def add_summaries(self, *names: str) -> None:
        """Declare what `summaries` returns; each is averaged over an epoch and logged."""
        self.summary_trackers += [keras.metrics.Mean(name=name) for name in names]

    def summaries(self, y_pred: dict[str, Tensor]) -> dict[str, Tensor]:
        """Scalars to log, from the outputs of `call`."""
        raise NotImplementedError

    def compute_metrics(
        self, x: Any, y: Any, y_pred: dict[str, Tensor], sample_weight: Any = None
    ) -> dict[str, Tensor]:
        values = self.summaries(y_pred)
        for tracker in self.summary_trackers:
            tracker.update_state(values[tracker.name])
        return self.get_metrics_result()

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """`keras.Model.fit`; the first batch is checked before anything is compiled."""
        batch = x
        if hasattr(x, "element_spec"):  # tf.data
            batch = next(iter(x))
        elif hasattr(x, "to_iter_dataset"):  # grain
            batch = x[0]
        if isinstance(batch, dict):
            self.check_batch(batch)
        return super().fit(x, *args, **kwargs)

    def check_batch(self, batch: dict[str, Tensor]) -> None:
        """ValueError that tells what is wrong with a batch and what to do."""
        missing = [key for key in self.required_keys if key not in batch]
        if missing:
            raise ValueError(f"batches lack {missing}; received the keys {sorted(batch)}.")
        videos = batch["videos"]
        check_videos(videos, self.encoder.patch_size)
        values = ops.convert_to_numpy(videos)  # min and max of XLA on a CPU ignore NaN
        if values.dtype != np.uint8 and not ((values >= 0.0) & (values <= 1.0)).all():
            raise ValueError(
                f"videos must be in [0, 1]; received values from {values.min()} to {values.max()}."
            )
        if videos.shape[0] % self.num_micro_batches:
            raise ValueError(
                f"a batch of {videos.shape[0]} cannot be split into num_micro_batches="
                f"{self.num_micro_batches} equal parts."
            )

    def train_step(self, *args: Any) -> Any:
        if keras.backend.backend() == "jax":
            return _jax_step(self, *args)
        return _imperative_step(self, *args)

    def count_step(self, finite: Tensor) -> dict[str, Tensor]:
        """Count the step; returns what else to log of the model after it."""
        self.step.assign_add(1)
        self.skipped_steps.assign_add(1 - ops.cast(finite, "int32"))
        return {"skipped_steps": ops.convert_to_tensor(self.skipped_steps)}


# A part takes every n-th clip, so that each device keeps an equal share of every part.


def _split(batch: dict[str, Tensor], parts: int) -> dict[str, Tensor]:
    """[B, ...] -> [parts, B / parts, ...]."""
    return keras.tree.map_structure(
        lambda x: ops.swapaxes(ops.reshape(x, (-1, parts, *x.shape[1:])), 0, 1), batch
    )


def _join(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inverse of `_split`."""
    return keras.tree.map_structure(
        lambda x: ops.reshape(ops.swapaxes(x, 0, 1), (-1, *x.shape[2:])), parts
    )


def _global_norm(gradients: list[Tensor]) -> Tensor:
    rows = [ops.ravel(ops.cast(g, "float32")) for g in gradients if g is not None]
    return ops.sqrt(sum(ops.dot(row, row) for row in rows))


def _guards_itself(optimizer: keras.Optimizer) -> bool:
    """Loss scaling must see infinite gradients, to lower its scale; it skips the step itself."""
    return isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


# JAX: state in, state out.


def _jax_step(model: TrainStep, state: tuple, data: Tensor) -> tuple:
    import jax

    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    trainable, non_trainable, optimizer_variables, metrics = state
    if model.num_micro_batches == 1:
        gradients_of = _jax_whole
    elif model.loss_spans_batch:
        gradients_of = _jax_cached
    else:
        gradients_of = _jax_accumulated
    gradients, metrics, logs = gradients_of(model, state, (x, y, sample_weight))
    norm = _global_norm(gradients)
    finite = ops.isfinite(norm)

    def apply() -> tuple:
        return model.optimizer.stateless_apply(optimizer_variables, gradients, trainable)

    if _guards_itself(model.optimizer):
        trainable, optimizer_variables = apply()
    else:
        trainable, optimizer_variables = jax.lax.cond(
            finite, apply, lambda: (trainable, optimizer_variables)
        )
    more, non_trainable = _jax_scope(
        (model.trainable_variables, trainable),
        (model.non_trainable_variables, non_trainable),
        lambda: model.count_step(finite),
    )
    logs = {**logs, "gradient_norm": norm, **more}
    return logs, (trainable, non_trainable, optimizer_variables, metrics)


def _jax_whole(model: TrainStep, state: tuple, data: tuple) -> tuple:
    import jax

    trainable, non_trainable, optimizer_variables, metrics = state
    step = jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)
    (_, (loss, y_pred, _, metrics)), gradients = step(
        trainable,
        non_trainable,
        metrics,
        *data,
        training=True,
        optimizer_variables=optimizer_variables,
    )
    logs, metrics = model._update_metrics_variables(metrics, loss, *data[:2], y_pred, data[2])
    return gradients, metrics, logs


def _jax_accumulated(model: TrainStep, state: tuple, data: tuple) -> tuple:
    import jax

    def add(carry: tuple, part: dict) -> tuple:
        gradients, metrics = carry
        more, metrics, logs = _jax_whole(model, (*state[:3], metrics), (part, None, None))
        return (jax.tree.map(ops.add, gradients, more), metrics), logs

    parts = model.num_micro_batches
    zeros = jax.tree.map(ops.zeros_like, state[0])
    (gradients, metrics), logs = jax.lax.scan(add, (zeros, state[3]), _split(data[0], parts))
    last = jax.tree.map(lambda log: log[-1], logs)
    return jax.tree.map(lambda g: g / parts, gradients), metrics, last


def _jax_cached(model: TrainStep, state: tuple, data: tuple) -> tuple:
    import jax

    trainable, non_trainable, optimizer_variables, metrics = state
    x = data[0]
    parts = _split(x, model.num_micro_batches)

    def outputs_of(trainable: list, part: dict) -> dict:
        return model.stateless_call(trainable, non_trainable, part, training=True)[0]

    def loss_of(trainable: list, y_pred: dict) -> tuple:
        loss, _ = model.stateless_compute_loss(
            trainable, non_trainable, metrics, x=x, y_pred=y_pred, training=True
        )
        mapping = list(zip(model.optimizer.variables, optimizer_variables, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return model.optimizer.scale_loss(loss), loss

    def add(gradients: list, part: tuple) -> tuple:
        _, pull_back = jax.vjp(lambda variables: outputs_of(variables, part[0]), trainable)
        return jax.tree.map(ops.add, gradients, pull_back(part[1])[0]), None

    y_pred = _join(jax.lax.map(lambda part: outputs_of(trainable, part), parts))
    step = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)
    (_, loss), (gradients, output_gradients) = step(trainable, y_pred)
    output_gradients = _split(output_gradients, model.num_micro_batches)
    gradients, _ = jax.lax.scan(add, gradients, (parts, output_gradients))
    logs, metrics = model._update_metrics_variables(metrics, loss, x, None, y_pred, None)
    return gradients, metrics, logs


def _jax_scope(constant: tuple, state: tuple, function: Callable) -> tuple:
    """Result of `function`, which reads both pairs of (variables, values) and changes the second;
    and the new values of the second."""
    mapping = [pair for pairs in (constant, state) for pair in zip(*pairs, strict=True)]
    with keras.StatelessScope(state_mapping=mapping) as scope:
        result = function()
    return result, [scope.get_current_value(variable) for variable in state[0]]


# TensorFlow and torch: variables change in place; they differ in how a gradient is asked for.


def _imperative_step(model: TrainStep, data: Tensor) -> dict[str, Tensor]:
    x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    if model.num_micro_batches == 1:
        gradients = _whole(model, x)
    elif model.loss_spans_batch:
        gradients = _cached(model, x)
    else:
        gradients = _accumulated(model, x)
    norm = _global_norm([_dense(gradient) for gradient in gradients if gradient is not None])
    finite = ops.isfinite(norm)
    _apply(model, gradients, finite)
    more = model.count_step(finite)
    return {**model.get_metrics_result(), "gradient_norm": norm, **more}


def _values(model: TrainStep) -> list[Tensor]:
    return [variable.value for variable in model.trainable_variables]


def _whole(model: TrainStep, x: dict[str, Tensor]) -> list[Tensor]:
    def forward() -> tuple:
        y_pred = model(x, training=True)
        loss = model.compute_loss(x=x, y_pred=y_pred, training=True)
        return model.optimizer.scale_loss(loss), (loss, y_pred)

    (_, (loss, y_pred)), gradients = _value_and_grad(forward, _values(model))
    _log(model, x, loss, y_pred)
    return gradients


def _accumulated(model: TrainStep, x: dict[str, Tensor]) -> list[Tensor]:
    parts = model.num_micro_batches
    total: list[Tensor] = []
    for index in range(parts):
        part = keras.tree.map_structure(lambda t, i=index: t[i], _split(x, parts))
        total = _add(total, _whole(model, part))
    return [None if gradient is None else gradient / parts for gradient in total]


def _cached(model: TrainStep, x: dict[str, Tensor]) -> list[Tensor]:
    split = _split(x, model.num_micro_batches)
    parts = [
        keras.tree.map_structure(lambda t, i=index: t[i], split)
        for index in range(model.num_micro_batches)
    ]
    outputs = [_detach(model(part, training=True)) for part in parts]
    y_pred = {name: _join(ops.stack([out[name] for out in outputs])) for name in outputs[0]}
    names = sorted(y_pred)

    def loss_of() -> tuple:
        loss = model.compute_loss(x=x, y_pred=y_pred, training=True)
        return model.optimizer.scale_loss(loss), loss

    values = _values(model)
    sources = values + [y_pred[name] for name in names]
    (_, loss), gradients = _value_and_grad(loss_of, sources)
    total, output_gradients = gradients[: len(values)], gradients[len(values) :]
    output_gradients = [_split(g, model.num_micro_batches) for g in output_gradients]
    for index, part in enumerate(parts):

        def outputs_of(part: dict[str, Tensor] = part) -> tuple:
            out = model(part, training=True)
            return [out[name] for name in names], None

        _, more = _value_and_grad(outputs_of, values, [g[index] for g in output_gradients])
        total = _add(total, more)
    _log(model, x, loss, y_pred)
    return total


def _add(total: list[Tensor], more: list[Tensor]) -> list[Tensor]:
    if not total:
        return more
    return [
        a if b is None else b if a is None else _dense(a) + _dense(b)
        for a, b in zip(total, more, strict=True)
    ]


def _dense(gradient: Tensor) -> Tensor:
    """TensorFlow gives the gradient of an embedding by rows, a repeated token has several."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.convert_to_tensor(gradient)
    return gradient


def _log(model: TrainStep, x: dict, loss: Tensor, y_pred: dict) -> None:
    model._loss_tracker.update_state(loss, sample_weight=ops.shape(x["videos"])[0])
    model.compute_metrics(x, None, y_pred)


def _detach(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Outputs as new leaves, whose gradient can be asked for."""
    if keras.backend.backend() == "torch":
        return {name: output.detach().requires_grad_() for name, output in outputs.items()}
    return outputs


def _value_and_grad(
    function: Callable, sources: list[Tensor], output_gradients: list[Tensor] | None = None
) -> tuple:
    """`function()` returns (target, other); its result, and the gradients of target."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(sources)
            target, other = function()
        return (target, other), tape.gradient(target, sources, output_gradients)
    import torch

    target, other = function()
    gradients = torch.autograd.grad(
        target, sources, grad_outputs=output_gradients, allow_unused=True
    )
    return (target, other), list(gradients)


def _apply(model: TrainStep, gradients: list[Tensor], finite: Tensor) -> None:
    variables = model.trainable_variables
    guarded = not _guards_itself(model.optimizer)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def apply() -> Tensor:
            model.optimizer.apply(gradients, variables)
            return tf.constant(0)

        if guarded:
            tf.cond(finite, apply, lambda: tf.constant(0))
        else:
            apply()
        return
    import torch

    if bool(finite) or not guarded:
        with torch.no_grad():
            model.optimizer.apply(gradients, variables)


def peak_device_bytes() -> int | None:
    """Most memory in use at once on this process' first device; None where nobody counts it."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
