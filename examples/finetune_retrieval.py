"""Fine-tune video-text retrieval on your own captioned videos, by the contrast of stage 1.

    python examples/finetune_retrieval.py --train videos/train --test videos/test \\
        --preset videoprism_lvt_b

A folder has a captions.csv with the columns `path` and `caption`; a CSV file may stand for its
folder. Without --train a small corpus is rendered. By default the video encoder is frozen while
pooler and text tower learn; --tune lora adds low-rank adapters to the encoder's attention, --tune
full trains all.
"""

import argparse
from pathlib import Path

import keras
import numpy as np

from keras_videoprism import Stage1Model, VideoPrismLvT, presets
from keras_videoprism.data import read_manifest, read_records, write_records
from keras_videoprism.data.demo_corpus import render_demo_corpus
from keras_videoprism.evaluation.retrieval import retrieval_recall


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--preset", default="videoprism_lvt_tiny")
    parser.add_argument("--tune", choices=("frozen", "lora", "full"), default="frozen")
    parser.add_argument("--rank", type=int, default=4, help="of the adapters of --tune lora")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--micro-batches", type=int, default=1, help="parts of a batch, for memory")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--output", type=Path, default=Path("finetuned"))
    options = parser.parse_args()
    if options.train is None:
        render_demo_corpus("corpus", num_clips=128, num_stills=1, num_test=32)
        options.train, options.test = Path("corpus/curated"), Path("corpus/test")

    model = VideoPrismLvT.from_preset(options.preset)
    model.video_encoder.trainable = options.tune != "frozen"
    if options.tune == "lora":
        model.video_encoder.enable_lora(options.rank)
    frames, size = model.video_encoder.position_shape[0], model.video_encoder.image_size

    def batches(folder: Path, name: str, training: bool):
        records = Path("records") / name
        if not records.exists():
            manifest = read_manifest(folder)
            report = write_records(manifest, records, short_side=max(size), require_caption=True)
            print(f"{name}: {report.written} clips; skipped {report.skipped}")
        return read_records(
            records,
            batch_size=options.batch_size,
            num_frames=frames,
            image_size=size,
            tokenizer=model.tokenizer,
            shuffle=training,
            drop_remainder=training,
            caption="random" if training else "first",
        )

    def recall(dataset) -> dict[str, float]:
        outputs, tokens = [], []
        for batch in dataset.as_numpy_iterator():
            keys = ("videos", "token_ids", "padding_mask")
            outputs.append(model.predict_on_batch({key: batch[key] for key in keys}))
            tokens += [str(ids.tolist()) for ids in batch["token_ids"]]  # equal texts: both right
        video, text = (
            np.concatenate([output[f"{side}_embeddings"] for output in outputs])
            for side in ("video", "text")
        )
        return retrieval_recall(video, text, texts=tokens)

    train = batches(options.train, "train", training=True)
    test = batches(options.test, "test", training=False)
    before = recall(test)
    stage1 = Stage1Model(model, dropping_ratio=0.0, num_micro_batches=options.micro_batches)
    stage1.compile(keras.optimizers.AdamW(options.learning_rate))
    stage1.fit(train, epochs=options.epochs)
    for name, after in recall(test).items():
        print(f"{name}: {before[name]:.3f} before, {after:.3f} after")
    presets.save(model, options.output)
    print(f"Saved: VideoPrismLvT.from_preset({str(options.output)!r})")


if __name__ == "__main__":
    main()
