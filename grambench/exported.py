"""An exported model in use: new texts -> item vectors, a history and candidates -> scores.

Legend: N items, C candidates, D width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from grambench.config.exported import FILTER_FILE, POOLING_FILE, Exported, read_exported
from grambench.config.networks import Encoder
from grambench.data.prepared.tokens import join_fields
from grambench.data.tokenizer import FastTokenizer
from grambench.errors import ConfigError
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.encoders.load import load_encoder
from grambench.models.encoders.tokens import ItemTokens
from grambench.models.filters import FACTORIES
from grambench.models.filters.base import AnswerView, RankingFilter, RankingView

CALL_TOKENS = 3072
"""Token positions per encoder call."""
Item = str | Sequence[str]
"""The text of an item, or the texts of its fields, in order."""


class ExportedModel:
    """The text encoder and the filter of a folder that `grambench export --to huggingface` has written."""

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        """
        Raises:
            DataError: `folder` is not an exported model, or a file has changed.
        """
        from tokenizers import Tokenizer

        folder = Path(folder)
        self.exported: Exported = read_exported(folder)
        found, self._device = self.exported, torch.device(device)
        self._tokenizer = FastTokenizer(
            Tokenizer.from_file(str(folder / "tokenizer.json")), found.opening_id, found.closing_id
        )
        spec = Encoder(model=str(folder), pooling=found.pooling, pooling_query=found.pooling_query)
        self.encoder = load_encoder(spec, 0, autocast=False)
        if found.pooling == "attention":
            self.encoder.pool.load_state_dict(load_file(folder / POOLING_FILE))
        self.filter: Any
        self.filter = FACTORIES[found.filter_kind](found.filter, found.width)
        self.filter.load_state_dict(load_file(folder / FILTER_FILE))
        self.encoder.to(self._device).eval()
        self.filter.to(self._device).eval()

    @torch.no_grad()
    def encode(self, items: Sequence[Item]) -> Tensor:
        """Vectors [N, D] of items.

        Raises:
            ConfigError: an item has another number of fields than the model was trained on.
        """
        fields = self.exported.fields
        rows = [(item,) if isinstance(item, str) else tuple(item) for item in items]
        if any(len(row) != len(fields) for row in rows):
            names = ", ".join(field.name for field in fields)
            raise ConfigError(
                f"The model reads {len(fields)} texts of an item: {names}.", "Give each of them."
            )
        if not rows:
            return torch.empty(0, self.exported.width, device=self._device)
        encoded = [self._tokenizer.encode(texts) for texts in zip(*rows, strict=True)]
        limits = [field.limit for field in fields]
        flat, offsets = join_fields(encoded, limits, self.exported.opening_id, self.exported.closing_id)
        tokens = ItemTokens(flat, offsets, self._device)
        return ItemEncoder(self.encoder, tokens, CALL_TOKENS)(np.arange(len(rows)))

    @torch.no_grad()
    def score(
        self, history: Sequence[Item], candidates: Sequence[Item], correct: Sequence[int] = ()
    ) -> Tensor:
        """Scores [C] of candidates for one user; knowledge tracing: logits of a right answer to each.

        Args:
            history: the user's clicks or answered exercises, latest last.
            candidates: each is scored on its own.
            correct: knowledge tracing: 1 right, 0 wrong, for each of the history.

        Raises:
            ConfigError: `correct` does not belong to the history.
        """
        ranks, spec = isinstance(self.filter, RankingFilter), self.exported.filter
        if len(correct) != (0 if ranks else len(history)):
            words = "takes no answers" if ranks else f"needs {len(history)} answers, not {len(correct)}"
            raise ConfigError(f"The filter {self.exported.filter_kind} {words}.", "Change `correct`.")
        latest = min(len(history), spec.history if ranks else spec.sequence - 1)
        vectors = self.encode([*history[len(history) - latest :], *candidates])
        clicks, asked = torch.arange(len(vectors), device=self._device).split([latest, len(candidates)])
        if ranks:
            return self._ranked(vectors, clicks, asked)
        answers = torch.tensor([*correct[len(correct) - latest :], 0], device=self._device)
        rows = (len(candidates), latest + 1)
        asked_BL = torch.cat((clicks.expand(len(asked), -1), asked[:, None]), dim=1)
        real_BL = torch.ones(rows, dtype=torch.bool, device=self._device)
        view = AnswerView(np.arange(len(vectors)), asked_BL, real_BL, answers.expand(rows))
        logits_BL: Tensor = self.filter.scores(vectors, view)
        return logits_BL[:, -1]

    def _ranked(self, vectors: Tensor, clicks: Tensor, candidates: Tensor) -> Tensor:
        real = torch.ones_like(clicks, dtype=torch.bool)
        if not len(clicks):  # a padded history
            clicks, real = clicks.new_zeros(1), real.new_zeros(1)
        scores: Tensor = self.filter.scores(vectors, RankingView(clicks[None], real[None], candidates[None]))
        return scores[0]


def load_exported(folder: str | Path, device: str = "cpu") -> ExportedModel:
    """The model of a folder; see `ExportedModel`."""
    return ExportedModel(folder, device)
