"""The item table: what moves, how far, and in which precision."""

import numpy as np
import pytest
import torch
from tiny_systems import CPU, Tiny, news_sampler, random_part, tiny_system

from grambench.config.spec import MultiStep as MultiStepSpec
from grambench.training.strategies.item_table import Window, spread
from grambench.training.strategies.multi_step import MultiStep
from grambench.training.strategies.table_optimizer import TableOptimizer
from grambench.training.strategies.windows import FixedWindow


def window(vectors: torch.Tensor, items: list[int], frozen: bool = False) -> Window:
    made = Window(100, vectors.shape[1], vectors.dtype, CPU, frozen)
    made.join(np.array(items), vectors)
    return made


def test_displacement_of_a_ten_thousandth_survives_in_fp32() -> None:
    torch.manual_seed(0)
    start = torch.randn(20, 768)
    table = window(start, list(range(20)))
    step = 1e-4 * start.norm(dim=1, keepdim=True) * torch.nn.functional.normalize(torch.randn(20, 768), dim=1)
    for _ in range(10):
        table.move(torch.arange(20), step)
    moved = table.table_UD - table.start_UD
    assert float(((moved - 10 * step).norm(dim=1) / (10 * step).norm(dim=1)).max()) < 1e-2
    assert float(table.drift()) == pytest.approx(1e-3, rel=1e-2)
    lost = (start.bfloat16() + step.bfloat16()).float() - start.bfloat16().float()
    assert float((lost - step).norm() / step.norm()) > 0.5  # why the table is not in bf16


def test_table_of_an_encoder_in_bf16_autocast_is_fp32() -> None:
    tiny: Tiny = tiny_system(dtype=torch.float32)
    tiny.encoder.autocast = True
    sampler = news_sampler(random_part())
    strategy = MultiStep(tiny.system, sampler, MultiStepSpec(), FixedWindow(5, 5), 0)
    strategy.step(sampler.batch(0))
    assert strategy.window.table_UD.dtype == strategy.window.start_UD.dtype == torch.float32
    moved = (strategy.window.table_UD - strategy.window.start_UD).abs().amax(dim=1)
    assert int((moved > 0).sum()) == len(sampler.batch(0).unique().items_N)


def test_frozen_window_reads_the_start_and_walking_reads_the_moved() -> None:
    for frozen in (True, False):
        table = window(torch.ones(2, 3), [7, 9], frozen)
        table.move(torch.tensor([1]), torch.full((1, 3), 0.5))
        assert table.read(torch.tensor([1, 0])).tolist() == [[1.0 if frozen else 1.5] * 3, [1.0] * 3]
        assert table.table_UD[1].tolist() == [1.5] * 3


def test_slots_lead_from_item_to_row() -> None:
    table = window(torch.ones(2, 3), [7, 9])
    assert table.slots_I[[7, 9]].tolist() == [0, 1]
    assert int((table.slots_I[:-1] >= 0).sum()) == 2


def test_padding_has_a_row_of_zeros_behind_the_items_wherever_they_move() -> None:
    table = window(torch.ones(2, 3), [7, 9])
    for _ in range(2):
        assert table.read(table.slots_I[[100]]).tolist() == [[0.0] * 3]
        assert int(table.slots_I[100]) == table.rows.room
        table.join(np.arange(len(table) + 20, len(table) + 30), torch.ones(10, 3))


def test_rows_are_taken_over_by_the_next_window_without_its_items() -> None:
    first = window(torch.ones(2, 3), [7, 9])
    moves = first.rows.moves
    second = Window(100, 3, torch.float32, CPU, False, first.rows)
    assert int((second.slots_I[:-1] >= 0).sum()) == len(second) == 0
    second.join(np.array([5, 7]), torch.full((2, 3), 2.0))
    assert second.read(second.slots_I[[7, 5]]).tolist() == [[2.0] * 3] * 2
    assert second.rows.moves == moves  # there was room


def test_drift_is_the_mean_over_the_window_s_items() -> None:
    table = window(torch.tensor([[3.0, 4.0], [0.0, 2.0]]), [0, 1])
    table.move(torch.tensor([0]), torch.tensor([[0.0, 1.0]]))
    assert float(table.drift()) == pytest.approx((1 / 5 + 0) / 2)


def test_drift_of_the_spread_is_the_mean_move_over_the_mean_distance_to_the_mean() -> None:
    table = window(torch.tensor([[3.0, 4.0], [3.0, 2.0]]), [0, 1])  # each 1 from (3, 3)
    table.move(torch.tensor([0]), torch.tensor([[0.0, 0.5]]))
    assert float(spread(table.start_UD, table.group)) == pytest.approx(1.0)
    assert float(table.spread_drift()) == pytest.approx((0.5 + 0) / 2)


def test_items_that_no_step_has_read_do_not_thin_the_drift() -> None:
    start = torch.tensor([[3.0, 4.0], [3.0, 2.0], [0.0, 1.0], [6.0, 5.0]])
    table = window(start, [7, 9, 11, 13])
    table.touch(np.array([9, 13]))
    table.move(torch.tensor([1]), torch.tensor([[0.0, 1.0]]))
    assert table.touched_U.tolist() == [False, True, False, True]
    assert float(table.drift()) == pytest.approx((1 / 13**0.5 + 0) / 2)
    assert float(table.spread_drift()) == pytest.approx(0.5 / float(spread(start[[1, 3]], table.group)))


def test_a_window_is_restored_with_what_was_read_of_it() -> None:
    table = window(torch.ones(3, 2), [7, 9, 11])
    table.touch(np.array([9]))
    kept = table.state_dict()
    again = Window(100, 2, torch.float32, CPU, False)
    again.load_state_dict(kept)
    assert again.touched_U.tolist() == [False, True, False]
    before = Window(100, 2, torch.float32, CPU, False)  # version 0.1 read all that it encoded
    before.load_state_dict({name: value for name, value in kept.items() if name != "touched"})
    assert before.touched_U.all()


def test_drift_of_the_spread_has_neither_origin_nor_unit() -> None:
    torch.manual_seed(0)
    start, moved = torch.randn(20, 16).double(), 0.3 * torch.randn(20, 16).double()
    drifts, norms = [], []
    for factor, offset in ((1.0, 0.0), (0.1, 0.0), (1.0, 50.0), (1e3, -7.0)):
        table = window(factor * start + offset, list(range(20)))
        table.move(torch.arange(20), factor * moved)
        drifts.append(float(table.spread_drift()))
        norms.append(float(table.drift()))
    assert drifts == pytest.approx([drifts[0]] * 4, rel=1e-12)
    assert norms[2] < 0.1 * norms[0]  # the measure of version 0.1


def test_an_item_near_the_mean_does_not_decide_the_drift() -> None:
    torch.manual_seed(0)
    start = torch.randn(50, 16)
    start[0] = start[1:].mean(dim=0)
    table = window(start, list(range(50)))
    table.move(torch.arange(50), 0.1 * torch.randn(50, 16))
    assert 0.05 < float(table.spread_drift()) < 0.2


@pytest.mark.parametrize("items", [1, 3])
def test_spread_of_items_that_coincide_is_their_length(items: int) -> None:
    table = window(torch.tensor([[3.0, 4.0]]).repeat(items, 1), list(range(items)))
    assert float(spread(table.start_UD, table.group)) == pytest.approx(5.0)
    assert float(table.spread_drift()) == 0.0


def relative(scale: float, lr: float = 0.5) -> TableOptimizer:
    rule = TableOptimizer("relative", lr, 100, CPU)
    rule.spread.fill_(scale)
    return rule


def test_relative_is_what_its_formula_says() -> None:
    torch.manual_seed(0)
    rule, items = relative(3.0), [[5, 6, 7], [6, 9]]
    squares, total, count = dict.fromkeys(range(100), 0.0), 0.0, 0
    for ids in items:
        gradient = torch.randn(len(ids), 4, dtype=torch.float64) * torch.rand(len(ids), 1).double()
        found = rule.displacement(torch.tensor(ids), gradient)
        lengths = [sum(g * g for g in row) for row in gradient.tolist()]
        total, count = total + sum(lengths), count + len(ids)
        for item, length, row, moved in zip(ids, lengths, gradient.tolist(), found.tolist(), strict=True):
            squares[item] += length
            wanted = [-0.5 * 3.0 * g / (squares[item] + total / count) ** 0.5 for g in row]
            assert moved == pytest.approx(wanted, abs=1e-12)


def test_relative_s_first_step_follows_the_gradient_and_is_at_most_lr_of_the_spread() -> None:
    gradient = torch.zeros(4, 8, dtype=torch.float64)
    gradient[:, 0] = torch.tensor([1e-6, 0.1, 1.0, 30.0])
    moved = relative(2.0).displacement(torch.tensor([1, 2, 3, 4]), gradient).norm(dim=1).tolist()
    assert moved == sorted(moved)
    assert moved[0] < 1e-6
    assert 0.8 < moved[3] < 0.5 * 2.0


def test_relative_does_not_count_padding() -> None:
    gradient = torch.randn(2, 4, dtype=torch.float64)
    alone = relative(1.0).displacement(torch.tensor([1, 2]), gradient)
    padded = relative(1.0).displacement(
        torch.tensor([1, 2, 100, 100]), torch.cat((gradient, torch.zeros(2, 4).double()))
    )
    assert torch.equal(padded[:2], alone)
    assert padded[2:].abs().max() == 0


def test_relative_without_gradients_stays() -> None:
    rule = relative(1.0)
    assert rule.displacement(torch.tensor([5]), torch.zeros(1, 4)).tolist() == [[0.0] * 4]


def test_sgd_moves_against_the_gradient_of_the_sum() -> None:
    rule = TableOptimizer("sgd", 1.0, 100, CPU)
    gradient = torch.randn(3, 4, dtype=torch.float64)
    assert torch.equal(rule.displacement(torch.tensor([1, 2, 3]), gradient), -gradient)


def test_adagrad_s_first_step_has_length_lr_in_rms_whatever_the_gradient_s_scale() -> None:
    torch.manual_seed(0)
    gradient = torch.randn(3, 4, dtype=torch.float64) * torch.tensor([[1e-3], [1.0], [1e3]])
    rule = TableOptimizer("adagrad", 0.1, 100, CPU)
    moved = rule.displacement(torch.tensor([5, 6, 7]), gradient)
    assert moved.square().mean(dim=1).sqrt().tolist() == pytest.approx([0.1] * 3, rel=1e-5)


def test_adagrad_keeps_a_square_an_item_until_the_epoch_begins() -> None:
    rule = TableOptimizer("adagrad", 0.1, 100, CPU)
    gradient = torch.ones(1, 4, dtype=torch.float64)
    steps = [float(rule.displacement(torch.tensor([5]), gradient)[0, 0]) for _ in range(3)]
    assert steps == pytest.approx([-0.1, -0.1 / 2**0.5, -0.1 / 3**0.5], abs=1e-10)
    assert float(rule.displacement(torch.tensor([6]), gradient)[0, 0]) == pytest.approx(-0.1, abs=1e-10)
    rule.begin_epoch()
    assert float(rule.displacement(torch.tensor([5]), gradient)[0, 0]) == pytest.approx(-0.1, abs=1e-10)


def test_row_without_gradient_stays() -> None:
    rule = TableOptimizer("adagrad", 0.1, 100, CPU)
    assert rule.displacement(torch.tensor([5]), torch.zeros(1, 4)).tolist() == [[0.0] * 4]
