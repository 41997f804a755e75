"""The one type name of the package."""

from typing import Any

Tensor = Any  # a tensor of the active backend; shapes stand in the docstrings
