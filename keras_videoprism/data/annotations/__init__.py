"""Annotation files of public data sets -> manifest rows.

Each function takes the data set's own files and the folder of its videos, and returns `Row`s that
`write_records` takes; those for questions and boxes return `Question`s and `KeyFrame`s, which have
a row each (`question_rows` makes rows with prompts). Class ids follow the data set's own order, or
the sorted names where it has none. Nothing is downloaded; a missing video is for the writer to
list.

| function | files, for example | train / val / test | classes | metric |
|---|---|---|---|---|
| `kinetics` | `kinetics-400_val.csv` | 235,693 / ? / ? | 400, 600 | top-1, top-5 |
| `moments` | `trainingSet.csv`, `moments_categories.txt` | 791,297 / ? / - | 339 | top-1 |
| `ssv2` | `train.json`, `labels.json` | 168,913 / ? / ? | 174 | top-1 |
| `ssv2_subset` | `eval_ssv2_temporal.csv`, `.._events.csv` | - / - / 216, 588 | 18, 49 | top-1 |
| `diving48` | `Diving48_V2_train.json` | 15,027 / - / 1,970 | 48 | top-1 |
| `charades` | `Charades_v1_train.csv` | 7,811 / - / 1,814 | 157 m | mAP |
| `activitynet_actions` | `activity_net.v1-3.min.json` | 10,002 / 4,926 / ? | 200 | mAP |
| `activitynet_segments` | the same, a row a video | 10,002 / 4,926 / ? | 200 | mAP |
| `ava` | `ava_train_v2.2.csv` | 210,634 b / ? / ? | 80 m (60) | mAP |
| `ava_kinetics` | `kinetics_train_v1.0.csv`, and AVA's | 353,201 b / ? / ? | 80 m (60) | mAP |
| `msrvtt` | `train_val_videodatainfo.json` | 6,513 / 497 / 2,990 | - | recall, CIDEr |
| `msrvtt_1ka` | `MSRVTT_JSFUSION_test.csv` | - / - / 1,000 | - | recall |
| `vatex` | `vatex_training_v1.0.json` | ? / ? / ? | - | recall, CIDEr |
| `activitynet_captions` | `val_1.json` | ? / 4,917 / - | - | recall |
| `charades_sta` | `charades_sta_test.txt` | ? / - / ? | - | accuracy |
| `youcook2` | `youcookii_annotations_trainval.json` | ? / ? / ? | - | CIDEr |
| `nextqa` | `val.csv`, `atp-hard-ct4.txt` | ? / 4,996, 2,269 / 8,564 | 5 choices | accuracy |
| `nextqa_open` | `test.csv` of NExT-OE | 37,523 / 5,343 / 9,178 | - | WUPS |
| `msrvtt_qa` | `test_qa.json` | ? / ? / ? | - | top-1 |
| `msvd_qa` | `test_qa.json`, `youtube_mapping.txt` | ? / ? / ? | - | top-1 |
| `vqav2` | `v2_OpenEnded_.._questions.json`, annotations | ? / ? / - | - | accuracy |
| `fly_vs_fly` | `movie1_actions.mat`, `movie1_track.mat` | ? / ? / ? | 6 m | mAP |
| `treba_flies` | `fly_train_keypoints.npz` | ? / ? / ? | 6 m | mAP |
| `calms21` | `calms21_task1_train.json` | 70 / - / ? | 4 (3) | mAP |
| `crim13` | a text file for each video | ? / - / ? | 13 m (12) | mAP |
| `kabr` | `train.csv`, `val.csv` | ? / ? / - | 8 | macro accuracy |
| `chimpact` | `labels/*.json` | 127 / 17 / 19 | 23 m | mAP |
| `internvid` | `InternVid-10M-flt.jsonl` | 7.0M / - / - | - | - |
| `yt_temporal_180m` | JSON lines, one a video | 87.8M / - / - | - | - |
| `videocc` | `video_cc_public.csv` | 191.1M / - / - | - | - |
| `wts70m` | CSV made by hand | 55.1M / - / - | - | - |
| `read_manifest` | Video Storytelling, by hand | 3K / - / - | - | - |
| `tacos` | `train.json` | 4K / - / - | - | - |
| `youdescribe` | CSV | 19K / - / - | - | - |
| `charades`, `charades_sta` | above | 20K / - / - | - | - |
| `coin` | `COIN.json` | 24K / - / - | - | - |
| `vitt` | `ViTT-annotations.json` | 35K / - / - | - | - |
| `localized_narratives` | `OVIS_train.jsonl` | 37K / - / - | - | - |
| `epic_kitchens` | `EPIC_100_train.csv` | 67K / - / - | - | - |
| `read_manifest` | Spoken Moments in Time, by hand | 481K / - / - | - | - |
| `ego4d` | `narration.json` | 3.8M / - / - | - | - |

Sizes count videos, clips or questions, b: boxes in key frames; "?" is a number that neither the
paper nor our other sources give, "-" none. K400, MiT, SSv2, Charades, ActivityNet and both AVAs
have those of VideoGLUE, the four from `internvid` on those of Table 1, the ten behind them (the
Academic-Corpus) those of Table 20. In `classes`, m is multi-label, and in brackets stand those that
the metric counts. Metrics are those of Table 12; ATP-Hard has 2,269 questions of the validation
part of NExT-QA.
"""

from keras_videoprism.data.annotations.academic import (
    coin,
    ego4d,
    epic_kitchens,
    localized_narratives,
    tacos,
    vitt,
    youdescribe,
)
from keras_videoprism.data.annotations.behaviour import calms21, crim13, kabr
from keras_videoprism.data.annotations.boxes import Box, KeyFrame, ava, ava_kinetics, chimpact
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
    ssv2_subset,
)
from keras_videoprism.data.annotations.flies import FLY_BEHAVIOURS, fly_vs_fly, treba_flies
from keras_videoprism.data.annotations.pretraining import (
    internvid,
    videocc,
    wts70m,
    yt_temporal_180m,
)
from keras_videoprism.data.annotations.questions import (
    Question,
    msrvtt_qa,
    msvd_qa,
    nextqa,
    nextqa_open,
    question_rows,
    vqav2,
)
from keras_videoprism.data.annotations.segments import (
    SegmentedVideo,
    activitynet_segments,
    window_clips,
)
from keras_videoprism.data.annotations.transcripts import Sentence, Word, sentence_clips

__all__ = [
    "Box",
    "FLY_BEHAVIOURS",
    "KeyFrame",
    "Question",
    "SegmentedVideo",
    "Sentence",
    "Word",
    "activitynet_actions",
    "activitynet_captions",
    "activitynet_segments",
    "ava",
    "ava_kinetics",
    "calms21",
    "charades",
    "charades_sta",
    "chimpact",
    "coin",
    "crim13",
    "diving48",
    "ego4d",
    "epic_kitchens",
    "fly_vs_fly",
    "internvid",
    "kabr",
    "kinetics",
    "localized_narratives",
    "moments",
    "msrvtt",
    "msrvtt_1ka",
    "msrvtt_qa",
    "msvd_qa",
    "nextqa",
    "nextqa_open",
    "question_rows",
    "sentence_clips",
    "ssv2",
    "ssv2_subset",
    "tacos",
    "treba_flies",
    "vatex",
    "videocc",
    "vitt",
    "vqav2",
    "window_clips",
    "wts70m",
    "youcook2",
    "youdescribe",
    "yt_temporal_180m",
]
