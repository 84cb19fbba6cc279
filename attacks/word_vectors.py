"""Pretrained word vectors."""

import io

import numpy as np

from attacks.assault import assault
from grambench.data.word_vectors import read_word_vectors

NAME = "word-vectors"
WHAT = "GloVe's text file; a .npy matrix beside its words"
WORDS = ("the", "rain", "sun")


def attack(count: int, seed: int) -> list[str]:
    """Faults of the readers of word vectors."""
    listed = [*WORDS, *(f"w{n}" for n in range(12))]
    text = "".join(f"{word} 0.1 -2.5 {n}e-3\n" for n, word in enumerate(listed)).encode()
    matrix = io.BytesIO()
    np.save(matrix, np.ones((len(listed), 3), np.float32))
    pair = {"v.npy": matrix.getvalue(), "v.vocab": "".join(f"{word}\n" for word in listed).encode()}
    return [
        *assault(
            f"{NAME} txt", {"v.txt": text}, lambda at: read_word_vectors(at / "v.txt", WORDS), count, seed
        ),
        *assault(f"{NAME} npy", pair, lambda at: read_word_vectors(at / "v.npy", WORDS), count, seed),
    ]
