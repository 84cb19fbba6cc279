"""The LSTM tracer against its definition written with Python's loops."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from grambench.data.batches import counter
from grambench.models.filters.tracer import CORRECTNESS_WIDTH, POSITION_WIDTH, LSTMTracer

WIDTH, LAYERS, LENGTH = 8, 2, 7


def model(seed: int = 0, dropout: float = 0.0, masks: str = "counter") -> LSTMTracer:
    torch.manual_seed(seed)
    tracer = LSTMTracer(WIDTH, LAYERS, dropout, LENGTH, masks).double()
    with torch.no_grad():
        for parameter in tracer.parameters():
            parameter.normal_(std=0.3)
    return tracer


def view(items: list[list[int]], correct: list[list[int]]) -> SimpleNamespace:
    longest = max(map(len, items))
    index = torch.zeros(len(items), longest, dtype=torch.long)
    right, mask = torch.zeros_like(index), torch.zeros_like(index, dtype=torch.bool)
    for row, (ids, labels) in enumerate(zip(items, correct, strict=True)):
        index[row, : len(ids)] = torch.tensor(ids)
        right[row, : len(ids)] = torch.tensor(labels)
        mask[row, : len(ids)] = True
    keys = torch.arange(len(items)) * 7919

    def dropout_masks(*sizes: object) -> Tensor:
        return counter.dropout_masks(keys, longest, *sizes)

    tensors = {"asked_BL": index, "mask_BL": mask, "correct_BL": right, "answered_BL": None}
    return SimpleNamespace(**tensors, dropout_masks=dropout_masks)


def literal_lstm(lstm: nn.LSTM, inputs: list[Tensor], masks: Tensor | None = None) -> list[Tensor]:
    """The equations of torch.nn.LSTM, a cell at a time; masks [L, K, D] of the layers' states."""
    outputs = inputs
    for layer in range(lstm.num_layers):
        w_in, w_h = getattr(lstm, f"weight_ih_l{layer}"), getattr(lstm, f"weight_hh_l{layer}")
        b_in, b_h = getattr(lstm, f"bias_ih_l{layer}"), getattr(lstm, f"bias_hh_l{layer}")
        state = cell = torch.zeros(lstm.hidden_size, dtype=inputs[0].dtype)
        found = []
        for position, value in enumerate(outputs):
            gates = w_in @ value + b_in + w_h @ state + b_h
            enter, forget, change, leave = gates.chunk(4)
            cell = forget.sigmoid() * cell + enter.sigmoid() * change.tanh()
            state = leave.sigmoid() * cell.tanh()
            found.append(state if masks is None else state * masks[position, layer])
        outputs = found
    return outputs


def literal_logits(
    tracer: LSTMTracer,
    vectors: Tensor,
    items: list[int],
    correct: list[int],
    masks: Tensor | None = None,
) -> list[Tensor]:
    inputs = []
    for position in range(len(items)):
        if position == 0:
            known = tracer.start
        else:
            answered = tracer.correctness.weight[correct[position - 1]]
            known = torch.cat((vectors[items[position - 1]], answered))
        whole = torch.cat((known, tracer.position.weight[position]))
        inputs.append(tracer.mix.weight @ whole + tracer.mix.bias)
    states = literal_lstm(tracer.lstm, inputs, masks)
    return [state @ vectors[item] for state, item in zip(states, items, strict=True)]


ITEMS = [[0, 3, 3, 1, 4], [2], [5, 0, 5]]
CORRECT = [[1, 0, 1, 1, 0], [1], [0, 0, 1]]


def test_logits_and_loss_are_those_of_a_literal_loop() -> None:
    tracer, vectors = model(), torch.randn(6, WIDTH, dtype=torch.double)
    found = tracer.scores(vectors, view(ITEMS, CORRECT))
    loss = torch.zeros((), dtype=torch.double)
    for row, (items, correct) in enumerate(zip(ITEMS, CORRECT, strict=True)):
        wanted = literal_logits(tracer, vectors, items, correct)
        for position, (logit, label) in enumerate(zip(wanted, correct, strict=True)):
            assert float((found[row, position] - logit).detach().abs()) < 1e-10
            chance = torch.sigmoid(logit)
            loss = loss - torch.log(chance if label else 1 - chance)
    assert float((tracer.loss(vectors, view(ITEMS, CORRECT)) - loss).detach().abs()) < 1e-10


def test_an_answer_is_never_read_before_it_is_asked_for() -> None:
    tracer, vectors = model(), torch.randn(6, WIDTH, dtype=torch.double)
    whole = tracer.scores(vectors, view(ITEMS, CORRECT))[0]
    changed = [[*CORRECT[0][:3], 1 - CORRECT[0][3], 1 - CORRECT[0][4]], *CORRECT[1:]]
    other = tracer.scores(vectors, view(ITEMS, changed))[0]
    assert torch.equal(whole[:4], other[:4])
    assert not torch.equal(whole[4], other[4])


def test_padding_changes_no_logit_and_no_gradient() -> None:
    tracer, vectors = model(), torch.randn(6, WIDTH, dtype=torch.double, requires_grad=True)
    tracer.loss(vectors, view(ITEMS, CORRECT)).backward()
    padded, vectors.grad = vectors.grad, None
    for items, correct in zip(ITEMS, CORRECT, strict=True):
        tracer.loss(vectors, view([items], [correct])).backward()
    assert torch.allclose(padded, vectors.grad, atol=1e-12)


def test_parameters_are_those_worked_out_by_hand() -> None:
    layer = 4 * WIDTH * (WIDTH + WIDTH + 2)  # four gates: input, state, two biases
    known = WIDTH + CORRECTNESS_WIDTH
    mix = WIDTH * (known + POSITION_WIDTH) + WIDTH
    wanted = LAYERS * layer + mix + known + 2 * CORRECTNESS_WIDTH + LENGTH * POSITION_WIDTH
    assert sum(p.numel() for p in model().parameters()) == wanted == 1648


def test_masks_by_counter_are_applied_behind_every_layer() -> None:
    tracer, vectors = model(dropout=0.5), torch.randn(6, WIDTH, dtype=torch.double)
    asked = view(ITEMS, CORRECT)
    masks = asked.dropout_masks(LAYERS, WIDTH, 0.5, torch.double)
    found = tracer.scores(vectors, asked)
    for row, (items, correct) in enumerate(zip(ITEMS, CORRECT, strict=True)):
        wanted = literal_logits(tracer, vectors, items, correct, masks[row])
        assert torch.allclose(found[row, : len(items)], torch.stack(wanted), rtol=0, atol=1e-12)


@pytest.mark.parametrize("masks", ["counter", "torch"])
def test_dropout_works_in_training_only(masks: str) -> None:
    tracer, vectors = model(dropout=0.5, masks=masks), torch.randn(6, WIDTH, dtype=torch.double)
    first, again = (tracer.scores(vectors, view(ITEMS, CORRECT)) for _ in range(2))
    assert torch.equal(first, again) == (masks == "counter")
    tracer.eval()
    scored = tracer.scores(vectors, view(ITEMS, CORRECT))
    assert not torch.equal(scored, first)
    assert torch.allclose(scored, model().eval().scores(vectors, view(ITEMS, CORRECT)), rtol=0, atol=1e-12)


def test_first_values_and_names_of_weights_do_not_depend_on_where_masks_come_from() -> None:
    states = []
    for masks in ("counter", "torch"):
        torch.manual_seed(1)
        states.append(LSTMTracer(WIDTH, LAYERS, 0.5, LENGTH, masks).state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("layers", [1, 3])
def test_any_number_of_layers(layers: int) -> None:
    tracer = LSTMTracer(WIDTH, layers, 0.2, LENGTH)
    assert tracer.scores(torch.randn(6, WIDTH), view(ITEMS, CORRECT)).shape == (3, 5)
