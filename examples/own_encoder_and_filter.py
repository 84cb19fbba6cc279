"""Your own encoder and filter in plain PyTorch, trained with single-step and with multi-step GRAM.

Items are titles of 8 words; a user clicks on items of one topic, and of 5 candidates the first is clicked.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from grambench import ItemTable, MultiStep, Optimizers, SingleStep

torch.manual_seed(0)
ITEMS, TOPICS, WORDS, WIDTH, USERS, CLICKS, CANDIDATES = 500, 10, 300, 32, 64, 10, 5
titles_IT = torch.arange(ITEMS)[:, None] % TOPICS * 30 + torch.randint(30, (ITEMS, 8))


def batch_of_clicks() -> Tensor:
    """Item ids [B, CLICKS + CANDIDATES]; item i is about topic i % TOPICS."""
    topic_B1 = torch.randint(TOPICS, (USERS, 1))
    clicked = topic_B1 + TOPICS * torch.randint(ITEMS // TOPICS, (USERS, CLICKS + 1))
    return torch.cat((clicked, torch.randint(ITEMS, (USERS, CANDIDATES - 1))), dim=1)


def train(multi_step: bool, steps: int = 200) -> list[float]:
    """Mean loss of every step; log(5) = 1.61 is chance."""
    encoder = nn.Sequential(nn.EmbeddingBag(WORDS, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Tanh())
    user_model = nn.Linear(WIDTH, WIDTH)

    def encode(items_N: Tensor) -> Tensor:
        return encoder(titles_IT[items_N])

    def loss(vectors_BKD: Tensor, _batch: None) -> Tensor:
        clicks_BHD, candidates_BCD = vectors_BKD.split([CLICKS, CANDIDATES], dim=1)
        scores_BC = torch.einsum("bd,bcd->bc", user_model(clicks_BHD).mean(dim=1), candidates_BCD)
        return functional.cross_entropy(scores_BC, torch.zeros(USERS, dtype=torch.long), reduction="sum")

    optimizers = Optimizers(
        encoder=torch.optim.Adam(encoder.parameters(), lr=1e-2),
        filter=torch.optim.AdamW(user_model.parameters(), lr=1e-2),
    )
    method: SingleStep | MultiStep = SingleStep(encode, loss, optimizers)
    if multi_step:
        method = MultiStep(encode, loss, optimizers, table=ItemTable(ITEMS, WIDTH), steps=10)
    return [float(method.step(batch_of_clicks(), None, users=USERS)) / USERS for _ in range(steps)]


if __name__ == "__main__":
    for multi_step in (False, True):
        losses = train(multi_step)
        print(f"{'multi' if multi_step else 'single'}-step: {losses[0]:.3f} -> {losses[-1]:.3f}")
