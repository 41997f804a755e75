"""Both stages on TPUs, or on any devices of JAX: one chip, a slice, or several hosts.

    python examples/pretrain_tpu.py records/curated records/web --tokenizer tokenizer.spm \\
        --output my_models --preset base --batch-size 4096 --steps 200000 300000 --model 1 --shard

Run the same command on every host of a pod, where JAX finds the others; elsewhere set
KERAS_DISTRIBUTION_JOB_ADDRESSES, _NUM_PROCESSES and _PROCESS_ID (see
`keras.distribution.initialize`), and give --hosts. Record folders may be remote, such as
gs://bucket/records; the output must be a folder that all hosts see. A run that was killed goes on
when it is called again.
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras  # noqa: E402

from keras_videoprism.commands.pretrain import pretrain  # noqa: E402
from keras_videoprism.training.layouts import device_mesh, layout_map  # noqa: E402

# Size -> presets of stage 1 and stage 2.
PRESETS = {
    "tiny": ("videoprism_lvt_tiny", "videoprism_tiny"),
    "base": ("videoprism_lvt_b", "videoprism_b"),
    "large": ("videoprism_lvt_l", "videoprism_l"),
    "giant": ("videoprism_lvt_g", "videoprism_g"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("records", nargs="+", help="record folders, alternating")
    parser.add_argument("--tokenizer", required=True, help="SentencePiece model")
    parser.add_argument("--output", required=True, help="folder for both presets")
    parser.add_argument("--preset", choices=PRESETS, default="base")
    parser.add_argument("--batch-size", type=int, default=4096, help="clips of all hosts")
    parser.add_argument("--steps", type=int, nargs=2, default=[200_000, 300_000])
    parser.add_argument("--micro-batches", type=int, default=1, help="parts of a batch")
    parser.add_argument("--frames", type=int, default=16, help="of a clip; giant: 8")
    parser.add_argument("--model", type=int, default=1, help="devices that share the variables")
    parser.add_argument("--shard", action="store_true", help="split variables over the batch too")
    parser.add_argument("--remat", action="store_true", help="less memory, a third more time")
    parser.add_argument("--dtype", default="mixed_bfloat16")
    parser.add_argument("--save-every", type=int, default=1000, help="steps")
    parser.add_argument("--hosts", action="store_true", help="this is one of several hosts")
    options = parser.parse_args()

    if options.hosts:
        keras.distribution.initialize()
    layouts = layout_map(device_mesh(model=options.model), shard_over_data=options.shard)
    keras.distribution.set_distribution(
        # Each host reads its own clips.
        keras.distribution.ModelParallel(layout_map=layouts, auto_shard_dataset=False)
    )
    train(options)


def train(options: argparse.Namespace) -> None:
    """Stage 1, then stage 2 from it; what is finished is not done again."""
    towers, encoder = PRESETS[options.preset]
    stage1, stage2 = (f"{options.output}/{name}" for name in ("stage1", "stage2"))
    common = {
        "batch_size": options.batch_size,
        "frames": [options.frames],
        "micro_batches": options.micro_batches,
        "dtype": options.dtype,
        "remat": options.remat,
        "save_every": options.save_every,
    }
    if not os.path.exists(stage1):
        steps = options.steps[0]
        tokenizer = options.tokenizer
        pretrain(1, options.records, towers, stage1, steps, tokenizer=tokenizer, **common)
    if not os.path.exists(stage2):
        steps = options.steps[1]
        pretrain(2, options.records, encoder, stage2, steps, teacher=stage1, **common)


if __name__ == "__main__":
    main()
