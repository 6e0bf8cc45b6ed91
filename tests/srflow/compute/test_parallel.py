"""Work side by side: all of it done, in order, the thread count restored, faults passed on."""

import os
import threading
from functools import partial

import pytest
import torch

from srflow.compute import parallel

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def state(_):
    return torch.get_num_threads(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()


def results(pieces):
    return [parallel.result(started) for started in parallel.start(pieces, CPU)]


PIECES = [partial(state, number) for number in range(3)]


def test_every_piece_has_one_core_and_the_callers_mode():
    with torch.no_grad():
        assert results(PIECES) == [(1, False, False)] * 3
    with torch.inference_mode():
        assert results(PIECES) == [(1, False, True)] * 3
    assert torch.get_num_threads() == 2


def test_threads_to_come_have_the_cores_of_the_process():
    with torch.no_grad():
        results(PIECES)
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [2]


def test_with_gradients_or_on_a_gpu_everything_is_done_in_the_calling_thread():
    assert parallel.start(PIECES, CPU) == [(2, True, False)] * 3
    with torch.no_grad():
        assert parallel.start(PIECES, torch.device("cuda")) == [(2, False, False)] * 3


def test_results_are_waited_for_one_by_one_and_the_last_is_begun_first():
    gate, order = threading.Event(), []

    def piece(number):
        order.append(number)
        if number == 0:
            gate.wait(10)
        return number

    with torch.no_grad():
        first, *others = parallel.start([partial(piece, number) for number in range(5)], CPU)
    assert [parallel.result(other) for other in others] == [1, 2, 3, 4], "the first one is not waited for"
    assert order[0] == 4
    gate.set()
    assert parallel.result(first) == 0


def test_a_fault_reaches_who_takes_the_result():
    with torch.no_grad():
        good, bad = parallel.start([lambda: 1, lambda: 1 / 0], CPU)
    assert parallel.result(good) == 1
    with pytest.raises(ZeroDivisionError):
        parallel.result(bad)


def test_one_core_is_for_small_images():
    with torch.no_grad():
        with parallel.one_core(CPU, parallel.SMALL):
            assert torch.get_num_threads() == 1
        with parallel.one_core(CPU, parallel.SMALL + 1):
            assert torch.get_num_threads() == 2
    with parallel.one_core(CPU, 1):
        assert torch.get_num_threads() == 2, "with gradients all cores work on one operation"
    with pytest.raises(ZeroDivisionError), torch.no_grad(), parallel.one_core(CPU, 1):
        _ = 1 / 0
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("samples", [1, 2, 5])
@pytest.mark.parametrize("pixels", [1, parallel.SMALL + 1])
def test_samples_are_shared_out_and_come_back_in_order(samples, pixels):
    def decode(latents):
        first, second = latents
        return first + second.mean()

    latents = [torch.arange(float(samples)).view(-1, 1), torch.ones(samples, 3)]
    with torch.no_grad():
        assert torch.equal(parallel.over_samples(decode, latents, pixels), latents[0] + 1)


def test_as_many_samples_at_a_time_as_the_caches_hold(monkeypatch):
    monkeypatch.setattr(parallel, "CACHE_PIXELS", 50)
    sizes, x = [], torch.arange(5.0)[:, None, None, None].expand(5, 3, 4, 6)

    def function(samples):
        sizes.append(len(samples))
        return -samples

    assert torch.equal(parallel.in_cache(function, x), -x)
    assert sizes == [2, 2, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own():
    with torch.no_grad():
        results(PIECES)
        child = os.fork()
        if child == 0:
            os._exit(0 if results([int, int]) == [0, 0] else 1)
    assert os.waitpid(child, 0)[1] == 0
