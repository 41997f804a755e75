"""Video files -> records -> batches.

`read_manifest` lists clips, `write_records` decodes them to record folders, `read_records` makes
batches of these and `alternate` mixes several sources. Names are loaded when first used: decoding
a video and tokenizing a text need no TensorFlow.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "validation.anomalies": ("find_anomalies", "infer_schema"),
    "augment": ("central_box", "random_box", "random_flip", "resize"),
    "curation.duplicates": ("find_duplicates",),
    "index": ("RecordIndex", "open_records"),
    "manifest": ("Row", "list_videos", "read_manifest", "read_table", "write_table"),
    "mix": ("alternate", "mixed", "num_draws", "sequential"),
    "random_access": ("RecordSource", "grain_dataset"),
    "read": ("read_records",),
    "sample": ("random_segment", "uniform"),
    "schema": ("SCHEMA_VERSION", "encode_clip", "parse_clip", "parse_record", "stable_clip_id"),
    "validation.statistics": ("generate_statistics", "load_schema", "save_schema", "summarize"),
    "tokenize": ("Tokenizer", "canonicalize", "train_tokenizer"),
    "validation.validate": ("validate_records",),
    "video": (
        *("Header", "Video", "VideoError", "frame_times", "iter_video", "read_header"),
        "read_video",
    ),
    "write": ("WriteReport", "write_records"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
