"""Phases of training by the number of steps."""
import pytest
import torch

from mmvis.models.layers.step_counter import StepCounter, poly_anneal


def test_the_count_goes_through_a_checkpoint():
    counter = StepCounter()
    for _ in range(3):
        counter.advance()
    again = StepCounter()
    again.load_state_dict(counter.state_dict())
    assert again.value == counter.value == 3 and again.steps.dtype == torch.int64
    again.advance()
    assert again.value == int(again.steps) == 4


def test_annealing():
    assert [poly_anneal(step, 10, 20) for step in (0, 9, 10, 20, 99)] == [1, 1, 1, 0, 0]
    assert poly_anneal(15, 10, 20) == pytest.approx(0.5 ** 0.9)
