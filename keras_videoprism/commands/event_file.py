"""The table of a run as TensorBoard reads it."""

from pathlib import Path
from typing import Any

import tensorflow as tf

# As `tf.summary.scalar` marks its values; that function needs the package tensorboard.
SCALAR = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})


class EventFile:
    """Writes rows of numbers as TensorBoard's scalars; made for `StepLog(on_row=...)`.

    Args:
        folder: of the event files; each run that goes on adds one. `tensorboard --logdir FOLDER`
            shows them.
    """

    def __init__(self, folder: str | Path) -> None:
        self._writer: Any = None
        self.folder = str(folder)

    def __call__(self, row: dict[str, Any]) -> None:
        if self._writer is None:  # a run that fails before its first row leaves no file
            self._writer = tf.summary.create_file_writer(self.folder)
        with self._writer.as_default(step=row["step"]):
            for name, value in row.items():
                if name != "step" and value != "":
                    tf.summary.write(name, float(value), metadata=SCALAR)
        self._writer.flush()
