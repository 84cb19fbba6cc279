"""The column `split`, which assigns rows to the parts of the data."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from grambench.data.tables.files import Chunk, texts

Int8s = npt.NDArray[np.int8]

TRAIN, VALIDATION, TEST = 0, 1, 2
_CODES = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


def read_split(chunk: Chunk) -> Int8s | None:
    """Codes [R] of a chunk's rows; None if the table has no column `split`.

    Raises:
        DataError: a value is not train, validation or test.
    """
    if "split" not in chunk.columns:
        return None
    places = pc.index_in(texts(chunk, "split"), value_set=pa.array(list(_CODES), pa.large_string()))
    codes = pc.fill_null(places, -1).to_numpy(zero_copy_only=False)
    chunk.check("split", codes >= 0, "train, validation or test")
    parts: Int8s = np.array(list(_CODES.values()), np.int8)[codes]
    return parts
