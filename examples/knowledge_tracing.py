"""Knowledge tracing: will this student answer the next exercise, known by its text alone, correctly?

An LSTM reads the answers before each position; the encoder follows at the end of every epoch.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from grambench import ItemTable, MultiStep, Optimizers

torch.manual_seed(0)
ITEMS, WORDS, WIDTH, USERS, LENGTH, STEPS_PER_EPOCH = 200, 60, 16, 32, 20, 10
texts_IT = torch.arange(ITEMS)[:, None] % 20 * 3 + torch.randint(3, (ITEMS, 5))


def batch_of_answers() -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Exercises [B, L]; which were answered correctly, and which are real: the rest is padding."""
    items_BL = torch.randint(ITEMS, (USERS, LENGTH))
    chance_BL = 0.2 + 0.6 * (items_BL % 20 < 10)  # half of the exercises are easy
    real_BL = torch.arange(LENGTH) < torch.randint(5, LENGTH + 1, (USERS, 1))
    return items_BL, (torch.bernoulli(chance_BL), real_BL.float())


def train(epochs: int = 15) -> list[float]:
    """Mean loss of an answer for every epoch; log(2) = .69 is chance, .50 the best possible."""
    encoder, lstm = nn.EmbeddingBag(WORDS, WIDTH), nn.LSTM(WIDTH + 1, WIDTH, batch_first=True)

    def encode(items_N: Tensor) -> Tensor:
        return encoder(texts_IT[items_N])

    def loss(vectors_BLD: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        correct_BL, real_BL = batch
        answered = torch.cat((vectors_BLD, correct_BL[..., None]), dim=2)
        state_BLD, _ = lstm(pad(answered[:, :-1], (0, 0, 1, 0)))  # position t knows those before t
        logits_BL = (state_BLD * vectors_BLD).sum(dim=2)
        return binary_cross_entropy_with_logits(logits_BL, correct_BL, real_BL, reduction="sum")

    optimizers = Optimizers(*(torch.optim.Adam(m.parameters(), lr=2e-2) for m in (encoder, lstm)))
    table, means = ItemTable(ITEMS, WIDTH), []
    method = MultiStep(encode, loss, optimizers, table, steps=STEPS_PER_EPOCH)
    for _ in range(epochs):
        table.begin_epoch()
        epoch = [(*batch_of_answers(), USERS) for _ in range(STEPS_PER_EPOCH)]
        answers = sum(int(real_BL.sum()) for _, (_, real_BL), _ in epoch)
        means.append(sum(float(method.step(*each)) for each in epoch) / answers)
    return means


if __name__ == "__main__":
    means = train()
    print(f"{means[0]:.3f} -> {means[-1]:.3f}")
