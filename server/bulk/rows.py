"""What a row of the result says, and how rows become a table: the schema of the Parquet files.

A row is there for each picture: one that could not be read has its `error` and `code`, and nothing else but its name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from server.errors import ServiceError
from server.render import alt_text
from server.types import Array, Digit, Explanation, ImageSpec, Prediction

Row = dict[str, Any]


def schema(spec: ImageSpec, classes: int, float16: bool) -> pa.Schema:
    """The columns for pictures of this size; with `half`, maps and pixels in 16 bits."""
    pixel = pa.float16() if float16 else pa.float32()
    image = pa.list_(pixel, spec.height * spec.width)
    return pa.schema(
        [
            ("row", pa.int64()),  # in the source, from 0
            ("name", pa.string()),
            ("class", pa.int32()),
            ("label", pa.string()),
            ("probability", pa.float32()),
            ("probabilities", pa.list_(pa.float32(), classes)),
            ("prediction_set", pa.list_(pa.string())),
            ("in_distribution", pa.bool_()),
            ("energy", pa.float32()),
            ("pixels", image),  # what the model got, (H, W) row by row
            ("width", pa.int32()),  # of the picture that was read, in pixels
            ("height", pa.int32()),
            ("transform", pa.list_(pa.float64(), 6)),  # from the model's image to that picture
            ("explained", pa.bool_()),
            ("target", pa.string()),
            ("values", image),  # how much each pixel speaks for the target, (H, W) row by row
            ("unit", pa.string()),
            ("score", pa.float64()),
            ("base_value", pa.float64()),
            ("stderr_max", pa.float32()),  # largest standard error of what is ranked
            ("state", pa.string()),
            ("alt", pa.string()),  # the explanation in a sentence
            ("id", pa.string()),  # as POST /v1/explain gives it
            ("warnings", pa.list_(pa.string())),
            ("code", pa.string()),
            ("error", pa.string()),
        ]
    )


def error_row(row: int, name: str, error: ServiceError) -> Row:
    """A picture that could not be read, or not be explained."""
    return {"row": row, "name": name, "code": error.code, "error": str(error)}


def prediction_row(row: int, name: str, digit: Digit, prediction: Prediction) -> Row:
    """A picture that was read and not explained."""
    found, classes = prediction.prediction_set, prediction.card.classes
    return {
        "row": row,
        "name": name,
        "class": prediction.index,
        "label": prediction.label,
        "probability": prediction.probability,
        "probabilities": prediction.probabilities,
        "prediction_set": None if found is None else [classes[index] for index in found.classes],
        "in_distribution": bool(prediction.in_distribution.ok),
        "energy": prediction.in_distribution.score,
        "pixels": digit.pixels,
        "width": digit.placement.width,
        "height": digit.placement.height,
        "transform": np.array(digit.placement.transform, float),
        "explained": False,
        "warnings": list(digit.placement.warnings),
    }


def explanation_row(row: int, name: str, found: Explanation) -> Row:
    """A picture that was read and explained."""
    attribution = found.attribution
    _, stderr = attribution.ranked
    return {
        **prediction_row(row, name, found.digit, found.prediction),
        "explained": True,
        "target": found.target.label,
        "values": attribution.values,
        "unit": attribution.unit,
        "score": attribution.score,
        "base_value": attribution.base_value,
        "stderr_max": None if stderr is None else float(np.max(stderr)),
        "state": attribution.state,
        "alt": alt_text(found),
        "id": found.id,
        "warnings": [*found.digit.placement.warnings, *attribution.warnings],
    }


def table(rows: Sequence[Row], of: pa.Schema) -> pa.Table:
    """Rows as a table of this schema; what a row does not say is null."""
    columns = [
        _fixed([row.get(field.name) for row in rows], field.type)
        if pa.types.is_fixed_size_list(field.type)
        else pa.array([_encodable(row.get(field.name)) for row in rows], field.type)
        for field in of
    ]
    return pa.table(columns, schema=of)


def _encodable(value: object) -> object:
    """Names of files need not be text: what is none of UTF-8 is replaced."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _fixed(values: Sequence[Array | None], kind: pa.DataType) -> pa.Array:
    """Arrays of one size, some of which are missing, without a detour over lists."""
    numbers = np.zeros((len(values), kind.list_size), kind.value_type.to_pandas_dtype())
    for at, value in enumerate(values):
        if value is not None:
            numbers[at] = np.ravel(value)
    missing = pa.array([value is None for value in values], pa.bool_())
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), type=kind, mask=missing)


def counted(found: pa.Table) -> Mapping[str, int]:
    """How many rows a table has, how many of them are explained, and how many are errors."""
    return {
        "rows": found.num_rows,
        "explained": sum(one is True for one in found["explained"].to_pylist()),
        "errors": found.num_rows - found["code"].null_count,
    }
