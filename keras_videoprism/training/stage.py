"""What both stages share: the first batch is checked, steps are counted, metrics are logged."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_videoprism.layers.factorized_encoder import FactorizedEncoder, check_videos
from keras_videoprism.layers.transformer import Transformer
from keras_videoprism.layers.typing import Tensor
from keras_videoprism.training.train_step import gather, num_replicas, num_shares, train_step


class Stage(keras.Model):
    """A model whose step can split a batch, skips broken gradients and keeps count of the steps.

    A subclass gives `encoder`, `call`, `loss_of`, `summaries` and `required_keys`.

    Args:
        num_micro_batches: number of parts of a batch.
        remat: keep only the input of each Transformer block for the backward pass, which computes
            the rest again: less memory, a third more time.
    """

    required_keys: tuple[str, ...] = ("videos",)
    loss_spans_batch = False  # True where the loss of a batch is not the mean of its parts' losses

    def __init__(self, num_micro_batches: int = 1, remat: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_micro_batches < 1:
            raise ValueError(f"num_micro_batches must be at least 1; received {num_micro_batches}.")
        self.num_micro_batches = num_micro_batches
        self.remat = remat
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
            name=name,
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",  # every replica counts the same steps
        )

    def add_summaries(self, *names: str) -> None:
        """Declare what `summaries` returns; each is averaged over an epoch and logged."""
        self.summary_trackers += [keras.metrics.Mean(name=name) for name in names]

    def loss_of(self, y_pred: dict[str, Tensor]) -> Tensor:
        """The loss, a pure function of the outputs of `call`."""
        raise NotImplementedError

    def summaries(self, y_pred: dict[str, Tensor]) -> dict[str, Tensor]:
        """Scalars to log, from the outputs of `call`."""
        raise NotImplementedError

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """`loss_of`; as Keras' losses, divided by the number of replicas of tf.distribute."""
        return self.loss_of(self._gathered(y_pred)) / num_replicas()

    def compute_metrics(
        self, x: Any, y: Any, y_pred: dict[str, Tensor], sample_weight: Any = None
    ) -> dict[str, Tensor]:
        values = self.summaries(self._gathered(y_pred))
        for tracker in self.summary_trackers:
            tracker.update_state(values[tracker.name])
        return self.get_metrics_result()

    def _gathered(self, y_pred: dict[str, Tensor]) -> dict[str, Tensor]:
        return gather(y_pred) if self.loss_spans_batch else y_pred

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """`keras.Model.fit`; the first batch is checked before anything is compiled."""
        batch = x
        if isinstance(x, dict):
            size = kwargs.get("batch_size") or 32  # Keras' own default
            batch = {key: value[:size] for key, value in x.items()}
        elif hasattr(x, "element_spec"):  # tf.data
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
        divisor = self.num_micro_batches * num_shares(self)
        if videos.shape[0] % divisor:
            raise ValueError(
                f"a batch of {videos.shape[0]} cannot be split into num_micro_batches="
                f"{self.num_micro_batches} equal parts on each of {num_shares(self)} "
                f"data-parallel devices; choose a multiple of {divisor} and drop the remainder."
            )

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """`keras.Model.compile`."""
        for layer in self._flatten_layers():
            if isinstance(layer, Transformer) and layer.trainable:
                layer.remat = self.remat
        super().compile(*args, **kwargs)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Keras takes the mean of a batch over the replicas of tf.distribute, which bool lacks, to
        build a model. Here all is built but the optimizer, which needs no batch."""
        super()._maybe_symbolic_build(data_batch=())

    def train_step(self, *args: Any) -> Any:
        return train_step(self, *args)

    def count_step(self, finite: Tensor) -> dict[str, Tensor]:
        """Count the step; returns what else to log of the model after it."""
        self.step.assign_add(1)
        self.skipped_steps.assign_add(1 - ops.cast(finite, "int32"))
        return {"skipped_steps": ops.convert_to_tensor(self.skipped_steps)}
