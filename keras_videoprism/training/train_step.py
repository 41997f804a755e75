"""The training step of both stages on each backend; with devices.py all code that knows backends.

It adds to Keras' step: micro-batches, gradients that are not finite are skipped and counted, and
the gradient norm and the loss of this step alone (`batch_loss`) are logged. With one micro-batch
and finite gradients it equals Keras' step.

A loss over a whole batch cannot be accumulated over parts of it. So the outputs of all parts come
first, without gradients; the loss of their concatenation gives the gradient of the outputs; then
each part runs again, and its outputs' gradient is propagated into it (GradCache, Gao et al.,
2021). Masks depend on (seed, step, clip_id) only, hence are the same in both passes.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_videoprism.layers.typing import Tensor
from keras_videoprism.training import micro_batches
from keras_videoprism.training.devices import num_replicas


def train_step(model: keras.Model, *args: Any) -> Any:
    """One step of a `Stage`, with the arguments and results of Keras' own step."""
    if keras.backend.backend() == "jax":
        return _jax_step(model, *args)
    return _imperative_step(model, *args)


def _global_norm(gradients: list[Tensor]) -> Tensor:
    # A product of flat gradients would gather each that is split over devices.
    squares = [ops.square(ops.cast(g, "float32")) for g in gradients if g is not None]
    return ops.sqrt(sum(ops.sum(square) for square in squares))


def _guards_itself(optimizer: keras.Optimizer) -> bool:
    """Loss scaling must see infinite gradients, to lower its scale; it skips the step itself."""
    return isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


# JAX: state in, state out.


def _jax_step(model: keras.Model, state: tuple, data: Tensor) -> tuple:
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


def _jax_whole(model: keras.Model, state: tuple, data: tuple) -> tuple:
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
    return gradients, metrics, {**logs, "batch_loss": loss}


def _jax_accumulated(model: keras.Model, state: tuple, data: tuple) -> tuple:
    import jax

    def add(carry: tuple, part: dict) -> tuple:
        gradients, metrics = carry
        more, metrics, logs = _jax_whole(model, (*state[:3], metrics), (part, None, None))
        return (jax.tree.map(ops.add, gradients, more), metrics), logs

    parts = model.num_micro_batches
    zeros = jax.tree.map(ops.zeros_like, state[0])
    (gradients, metrics), logs = jax.lax.scan(
        add, (zeros, state[3]), micro_batches.split(data[0], parts)
    )
    last = {name: log[-1] for name, log in logs.items()}
    last["batch_loss"] = ops.mean(logs["batch_loss"])
    return jax.tree.map(lambda g: g / parts, gradients), metrics, last


def _jax_cached(model: keras.Model, state: tuple, data: tuple) -> tuple:
    import jax

    trainable, non_trainable, optimizer_variables, metrics = state
    x = data[0]
    parts = micro_batches.split(x, model.num_micro_batches)

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

    y_pred = micro_batches.join(jax.lax.map(lambda part: outputs_of(trainable, part), parts))
    step = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)
    (_, loss), (gradients, output_gradients) = step(trainable, y_pred)
    output_gradients = micro_batches.split(output_gradients, model.num_micro_batches)
    gradients, _ = jax.lax.scan(add, gradients, (parts, output_gradients))
    logs, metrics = model._update_metrics_variables(metrics, loss, x, None, y_pred, None)
    return gradients, metrics, {**logs, "batch_loss": loss}


def _jax_scope(constant: tuple, state: tuple, function: Callable) -> tuple:
    """Result of `function`, which reads both pairs of (variables, values) and changes the second;
    and the new values of the second."""
    mapping = [pair for pairs in (constant, state) for pair in zip(*pairs, strict=True)]
    with keras.StatelessScope(state_mapping=mapping) as scope:
        result = function()
    return result, [scope.get_current_value(variable) for variable in state[0]]


# TensorFlow and torch: variables change in place; they differ in how a gradient is asked for.


def _imperative_step(model: keras.Model, data: Tensor) -> dict[str, Tensor]:
    x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    if model.num_micro_batches == 1:
        gradients, loss = _whole(model, x)
    elif model.loss_spans_batch:
        gradients, loss = _cached(model, x)
    else:
        gradients, loss = _accumulated(model, x)
    gradients = _sum_over_replicas(gradients)
    norm = _global_norm([_dense(gradient) for gradient in gradients if gradient is not None])
    finite = ops.isfinite(norm)
    _apply(model, gradients, finite)
    more = {"gradient_norm": norm, **model.count_step(finite)}
    return {**model.get_metrics_result(), "batch_loss": _over_replicas(loss), **more}


def _values(model: keras.Model) -> list[Tensor]:
    return [variable.value for variable in model.trainable_variables]


def _whole(model: keras.Model, x: dict[str, Tensor]) -> tuple[list[Tensor], Tensor]:
    def forward() -> tuple:
        y_pred = model(x, training=True)
        loss = model.compute_loss(x=x, y_pred=y_pred, training=True)
        return model.optimizer.scale_loss(loss), (loss, y_pred)

    (_, (loss, y_pred)), gradients = _value_and_grad(forward, _values(model))
    _log(model, x, loss, y_pred)
    return gradients, loss


def _accumulated(model: keras.Model, x: dict[str, Tensor]) -> tuple[list[Tensor], Tensor]:
    parts = model.num_micro_batches
    total: list[Tensor] = []
    losses = []
    for part in micro_batches.split_list(x, parts):
        gradients, loss = _whole(model, part)
        total = _add(total, gradients)
        losses.append(loss)
    gradients = [None if gradient is None else gradient / parts for gradient in total]
    return gradients, sum(losses) / parts


def _cached(model: keras.Model, x: dict[str, Tensor]) -> tuple[list[Tensor], Tensor]:
    parts = micro_batches.split_list(x, model.num_micro_batches)
    outputs = [_detach(model(part, training=True)) for part in parts]
    y_pred = {
        name: micro_batches.join(ops.stack([out[name] for out in outputs])) for name in outputs[0]
    }
    names = sorted(y_pred)

    def loss_of() -> tuple:
        loss = model.compute_loss(x=x, y_pred=y_pred, training=True)
        return model.optimizer.scale_loss(loss), loss

    values = _values(model)
    sources = values + [y_pred[name] for name in names]
    (_, loss), gradients = _value_and_grad(loss_of, sources)
    total, output_gradients = gradients[: len(values)], gradients[len(values) :]
    output_gradients = [micro_batches.split(g, model.num_micro_batches) for g in output_gradients]
    for index, part in enumerate(parts):

        def outputs_of(part: dict[str, Tensor] = part) -> tuple:
            out = model(part, training=True)
            return [out[name] for name in names], None

        _, more = _value_and_grad(outputs_of, values, [g[index] for g in output_gradients])
        total = _add(total, more)
    _log(model, x, loss, y_pred)
    return total, loss


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


def _log(model: keras.Model, x: dict, loss: Tensor, y_pred: dict) -> None:
    clips = ops.shape(x["clip_id"])[0]
    model._loss_tracker.update_state(loss * num_replicas(), sample_weight=clips)
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


def _apply(model: keras.Model, gradients: list[Tensor], finite: Tensor) -> None:
    guarded = not _guards_itself(model.optimizer)
    if keras.backend.backend() == "tensorflow":
        _apply_on_replicas(model, gradients, finite if guarded else ops.ones_like(finite))
        return
    import torch

    if bool(finite) or not guarded:
        with torch.no_grad():
            model.optimizer.apply(gradients, model.trainable_variables)


# tf.distribute runs a step once for each replica, on its share of the batch, and optimizers sum
# the gradients over replicas. On all other devices a step sees the whole batch.


def _sum_over_replicas(gradients: list[Tensor]) -> list[Tensor]:
    """The gradients of the whole batch on every replica; dense where there are several."""
    if num_replicas() == 1:
        return gradients
    import tensorflow as tf

    known = [_dense(gradient) for gradient in gradients if gradient is not None]
    summed = iter(tf.distribute.get_replica_context().all_reduce("SUM", known))
    return [None if gradient is None else next(summed) for gradient in gradients]


def _over_replicas(loss: Tensor) -> Tensor:
    """The loss of the whole batch; each replica divided its own by their number."""
    if num_replicas() == 1:
        return ops.stop_gradient(loss)  # torch: without its graph
    import tensorflow as tf

    return tf.distribute.get_replica_context().all_reduce("SUM", loss)


def _apply_on_replicas(model: keras.Model, gradients: list[Tensor], finite: Tensor) -> None:
    """Update where finite. A condition must not stand inside one replica: all have to meet."""
    import tensorflow as tf

    # They are summed already, so that all replicas see one norm; the optimizer sums them again.
    if (count := num_replicas()) > 1:
        gradients = [None if gradient is None else gradient / count for gradient in gradients]

    def update(gradients: list[Tensor]) -> None:
        model.optimizer.apply(gradients, model.trainable_variables)

    def update_if(strategy: Any, finite: Tensor, gradients: list[Tensor]) -> None:
        def update_all() -> Tensor:
            strategy.extended.call_for_each_replica(update, args=(gradients,))
            return tf.constant(0)

        finite = strategy.experimental_local_results(finite)[0]
        tf.cond(finite, update_all, lambda: tf.constant(0))

    tf.distribute.get_replica_context().merge_call(update_if, args=(finite, gradients))
