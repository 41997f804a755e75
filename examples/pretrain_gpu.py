"""Both stages on the GPUs of one machine, or of several, through TensorFlow.

    python examples/pretrain_gpu.py records/curated records/web --tokenizer tokenizer.spm \\
        --output my_models --preset videoprism_lvt_b videoprism_b --batch-size 256

Each GPU takes its share of every batch; stage 1 contrasts the clips of all. For several machines
set TF_CONFIG on each, as TensorFlow's MultiWorkerMirroredStrategy wants it. On GPUs, JAX works
too: examples/pretrain_tpu.py runs there as it stands. A run that was killed goes on when it is
called again.
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import tensorflow as tf  # noqa: E402

from keras_videoprism.commands.pretrain import pretrain  # noqa: E402


def strategy(virtual_devices: int = 0) -> tf.distribute.Strategy:
    """Of all GPUs here, or of all machines that TF_CONFIG names; or of a CPU in parts, to try."""
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if not virtual_devices:
        return tf.distribute.MirroredStrategy()
    (cpu, *_) = tf.config.list_physical_devices("CPU")
    parts = [tf.config.LogicalDeviceConfiguration()] * virtual_devices
    tf.config.set_logical_device_configuration(cpu, parts)
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(virtual_devices)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("records", nargs="+", help="record folders, alternating")
    parser.add_argument("--tokenizer", required=True, help="SentencePiece model")
    parser.add_argument("--output", required=True, help="folder for both presets")
    parser.add_argument(
        "--preset", nargs=2, default=["videoprism_lvt_b", "videoprism_b"], help="of each stage"
    )
    parser.add_argument("--batch-size", type=int, default=256, help="clips of all GPUs")
    parser.add_argument("--steps", type=int, nargs=2, default=[200_000, 300_000])
    parser.add_argument("--micro-batches", type=int, default=1, help="parts of a batch")
    parser.add_argument("--frames", type=int, default=16, help="of a clip")
    parser.add_argument("--remat", action="store_true", help="less memory, a third more time")
    parser.add_argument("--dtype", default="mixed_bfloat16")
    parser.add_argument("--virtual-devices", type=int, default=0, help="parts of a CPU, to try it")
    options = parser.parse_args()

    stage1, stage2 = (f"{options.output}/{name}" for name in ("stage1", "stage2"))
    common = {
        "batch_size": options.batch_size,
        "frames": [options.frames],
        "micro_batches": options.micro_batches,
        "dtype": options.dtype,
        "remat": options.remat,
    }
    with strategy(options.virtual_devices).scope():
        if not os.path.exists(stage1):
            steps, tokenizer = options.steps[0], options.tokenizer
            towers = options.preset[0]
            pretrain(1, options.records, towers, stage1, steps, tokenizer=tokenizer, **common)
        if not os.path.exists(stage2):
            steps, encoder = options.steps[1], options.preset[1]
            pretrain(2, options.records, encoder, stage2, steps, teacher=stage1, **common)


if __name__ == "__main__":
    main()
