"""Train the last layer of a transformer on stored states of the frozen layers, with single-step GRAM.

The frozen layers run once per item, before training. The model is small and random, so that nothing is
downloaded, and all texts have the same length: where they differ, store the mask too, and give it to the
layer as a bias [N, 1, 1, L], 0 at tokens and -inf at padding. Other architectures want other arguments.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertModel

from grambench import Optimizers, SingleStep

torch.manual_seed(0)
ITEMS, TOPICS, WORDS, WIDTH, USERS, CLICKS, CANDIDATES = 80, 4, 100, 32, 8, 5, 4
ids_IL = torch.arange(ITEMS)[:, None] % TOPICS * 25 + torch.randint(25, (ITEMS, 6))
shape = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
model = BertModel(BertConfig(vocab_size=WORDS, hidden_size=WIDTH, **shape), add_pooling_layer=False)
model.eval().requires_grad_(False)  # frozen layers have no dropout
with torch.no_grad():
    states_ILD = model(ids_IL, output_hidden_states=True).hidden_states[-2]  # what the last layer reads


def batch_of_clicks() -> Tensor:
    """Item ids [B, CLICKS + CANDIDATES]; a user clicks on one topic, and on the first candidate."""
    topic_B1 = torch.randint(TOPICS, (USERS, 1))
    clicked = topic_B1 + TOPICS * torch.randint(ITEMS // TOPICS, (USERS, CLICKS + 1))
    return torch.cat((clicked, torch.randint(ITEMS, (USERS, CANDIDATES - 1))), dim=1)


def train(steps: int = 80) -> list[float]:
    """Mean loss of every step; log(4) = 1.39 is chance."""
    last = model.encoder.layer[-1].requires_grad_(True)
    user_model = nn.Linear(WIDTH, WIDTH)

    def encode(items_N: Tensor) -> Tensor:
        return last(states_ILD[items_N]).mean(dim=1)

    def loss(vectors_BKD: Tensor, _batch: None) -> Tensor:
        clicks_BHD, candidates_BCD = vectors_BKD.split([CLICKS, CANDIDATES], dim=1)
        scores_BC = torch.einsum("bd,bcd->bc", user_model(clicks_BHD).mean(dim=1), candidates_BCD)
        return functional.cross_entropy(scores_BC, torch.zeros(USERS, dtype=torch.long), reduction="sum")

    optimizers = Optimizers(
        encoder=torch.optim.AdamW(last.parameters(), lr=3e-3),
        filter=torch.optim.Adam(user_model.parameters(), lr=3e-3),
    )
    method = SingleStep(encode, loss, optimizers)
    return [float(method.step(batch_of_clicks(), None, users=USERS)) / USERS for _ in range(steps)]


if __name__ == "__main__":
    losses = train()
    print(f"{losses[0]:.3f} -> {losses[-1]:.3f}")
