"""Annotation files of public data sets -> manifest rows.

Each function takes the data set's own files and the folder of its videos, and returns `Row`s that
`write_records` takes. Class ids follow the data set's own order, or the sorted names where it has
none. Nothing is downloaded; a missing video is for the writer to list.

| function | files | classes | metric of the paper (Table 12) |
|---|---|---|---|
| `kinetics` | `kinetics-400_val.csv` | 400, 600 | top-1 accuracy |
| `ssv2` | `train.json`, `labels.json` | 174 | top-1 accuracy |
| `moments` | `trainingSet.csv`, `moments_categories.txt` | 339 | top-1 accuracy |
| `diving48` | `Diving48_V2_train.json` | 48 | top-1 accuracy |
| `charades` | `Charades_v1_train.csv` | 157, multi-label | mAP |
| `activitynet_actions` | `activity_net.v1-3.min.json` | 200 | mAP |
| `msrvtt`, `msrvtt_1ka` | `train_val_videodatainfo.json`, `MSRVTT_JSFUSION_test.csv` | - | recall |
| `vatex` | `vatex_training_v1.0.json` | - | recall |
| `activitynet_captions` | `val_1.json` | - | recall |
| `charades_sta` | `charades_sta_test.txt` | - | accuracy |
| `youcook2` | `youcookii_annotations_trainval.json` | - | CIDEr |
"""

from keras_videoprism.data.annotations.captions import (
    activitynet_captions,
    charades_sta,
    msrvtt,
    msrvtt_1ka,
    vatex,
    youcook2,
)
from keras_videoprism.data.annotations.classes import (
    activitynet_actions,
    charades,
    diving48,
    kinetics,
    moments,
    ssv2,
)

__all__ = [
    "activitynet_actions",
    "activitynet_captions",
    "charades",
    "charades_sta",
    "diving48",
    "kinetics",
    "moments",
    "msrvtt",
    "msrvtt_1ka",
    "ssv2",
    "vatex",
    "youcook2",
]
