"""Work side by side: all of it done, the thread count restored, faults passed on."""

import pytest
import torch

from srflow.cores import side_by_side

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def state(_):
    return torch.get_num_threads(), torch.is_grad_enabled()


def test_every_piece_has_one_core_and_no_gradients():
    with torch.no_grad(), side_by_side(CPU) as cores:
        assert cores.number == 2
        assert list(cores.executor.map(state, range(3))) == [(1, False)] * 3
    assert torch.get_num_threads() == 2


def test_with_gradients_or_on_a_gpu_everything_is_done_in_the_calling_thread():
    with side_by_side(CPU) as cores:
        assert list(cores.executor.map(state, range(3))) == [(2, True)] * 3
    with torch.no_grad(), side_by_side(torch.device("cuda")) as cores:
        assert cores.number == 1


def test_a_fault_reaches_the_caller_and_the_cores_come_back():
    with pytest.raises(ZeroDivisionError), torch.no_grad(), side_by_side(CPU) as cores:
        cores.executor.submit(lambda: 1 / 0).result()
    assert torch.get_num_threads() == 2
