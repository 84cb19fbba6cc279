"""Read rows of a matrix, such as item vectors."""

from torch import Tensor
from torch.nn import functional


def rows_at(matrix_ND: Tensor, index: Tensor) -> Tensor:
    """Rows of a matrix at indices of any shape: [*index, D].

    The backward pass of an embedding accumulates rows in parallel; on a CPU that of `matrix_ND[index]` adds
    them one by one, which took a quarter of an NRMS step.
    """
    return functional.embedding(index, matrix_ND)
