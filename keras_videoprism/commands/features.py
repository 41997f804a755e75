"""What a frozen model sees in all clips of record folders, computed once and kept in files."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_videoprism.commands.embed import compile_forward
from keras_videoprism.data import open_records, read_records
from keras_videoprism.data.features import (
    begin_features,
    digest_of_records,
    plan_features,
    write_shard,
)

Records = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def cache_features(
    model: keras.Model,
    records: Records,
    output: str | Path,
    *,
    num_frames: int,
    image_size: tuple[int, int],
    batch_size: int = 32,
    dtype: str = "float32",
    max_bad_records: int = 0,
    progress: Callable[[int, int], None] | None = None,
    **clips: Any,
) -> None:
    """Run a frozen model over all clips; `read_records(..., features=output)` gives the result.

    Frames are spread uniformly and cropped centrally, as `read_records` does by default; with views
    the features of a clip are [V, ...]. A call that was interrupted goes on after its last whole
    shard when it is called again. Tokens of a clip take T*N x D values: 12.6 MB of float32 for 16
    frames of 288 pixels of the base model.

    Args:
        model: such as a `VideoPrism`: videos [B, T, H, W, 3] -> features [B, ...].
        records: one or several record folders.
        output: folder to make.
        num_frames, image_size: T and (H, W) of the clips.
        batch_size: clips in a forward pass.
        dtype: of the files: "float32", or "float16" for half of their size.
        max_bad_records: see `read_records`.
        progress: called with (clips done, clips in all).
        **clips: `sampling`, `views` and `whole` of `read_records`.

    Raises:
        ValueError: the folder holds features of another model, size or records.
    """
    index = open_records(records)
    made_by = describe_features(model, digest_of_records(index), num_frames, image_size, **clips)
    shape = model.compute_output_shape((batch_size, num_frames, *image_size, 3))[1:]
    if clips.get("views"):
        shape = (math.prod(clips["views"]), *shape)
    plan = plan_features(made_by, len(index.offsets), batch_size, shape, dtype)
    plan, done = begin_features(output, plan)
    if done == plan.num_shards:
        return
    if plan.shard_clips % batch_size:
        raise ValueError(
            f"{output} was begun in shards of {plan.shard_clips} clips; batch_size must divide it, "
            f"received {batch_size}"
        )
    per_shard = plan.shard_clips // batch_size
    batches = read_records(
        records,
        batch_size=batch_size,
        num_frames=num_frames,
        image_size=image_size,
        drop_remainder=False,
        start=done * per_shard,
        max_bad_records=max_bad_records,
        **clips,
    ).as_numpy_iterator()
    compile_forward(model)
    for shard in range(done, plan.num_shards):
        ids, features = [], []
        for batch in islice(batches, per_shard):
            features.append(predict(model, batch["videos"], bool(clips.get("views"))))
            ids.append(batch["clip_id"])
            if progress is not None:
                known = shard * plan.shard_clips + sum(map(len, ids))
                progress(known, plan.num_clips)
        write_shard(output, plan, shard, np.concatenate(ids), np.concatenate(features))


def predict(model: keras.Model, inputs: Any, has_views: bool) -> np.ndarray:
    """float32 [B, ...] of a batch; [B, V, ...] of inputs [B, V, ...], whose views pass together.

    Args:
        model: compiled or not.
        inputs: array, or dict of arrays.
        has_views: whether inputs have the axis V.
    """
    if not has_views:
        return np.asarray(model.predict_on_batch(inputs), "float32")
    shape = keras.tree.flatten(inputs)[0].shape[:2]
    flat = keras.tree.map_structure(lambda x: x.reshape(-1, *x.shape[2:]), inputs)
    outputs = np.asarray(model.predict_on_batch(flat), "float32")
    return outputs.reshape(*shape, *outputs.shape[1:])


def describe_features(
    model: keras.Model,
    records: str,
    num_frames: int,
    image_size: tuple[int, int],
    sampling: str = "uniform",
    views: tuple[int, int] | None = None,
    whole: bool = False,
) -> dict[str, Any]:
    """`FeaturePlan.made_by` of a model and of records, given by their digest."""
    return {
        "model": digest_of_model(model),
        "records": records,
        "num_frames": num_frames,
        "image_size": list(image_size),
        "sampling": sampling,
        "views": views,
        "whole": whole,
    }


def digest_of_model(model: keras.Model) -> str:
    """SHA-256 of configuration, dtype and weights; names of models do not count."""
    config = {k: v for k, v in model.get_config().items() if k not in ("name", "trainable")}
    config["dtype"] = model.compute_dtype
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for variable in model.weights:
        array = keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32"))
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
