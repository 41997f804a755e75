"""Whether records are right: each by itself (`validate`), and the corpus as a whole.

The latter needs TensorFlow Data Validation: `statistics` of small `clip_features`, and `anomalies`
against a schema and other corpora. `report` shows both.
"""
