"""Delivery in the background: in order, again after a failure, and never longer than it may take."""

import time
from threading import Event

from toolchain.tracking.delivery import Delivery


class Refused(Exception):
    """A server's answer that no other attempt changes."""


def is_final(problem: Exception) -> bool:
    return isinstance(problem, Refused)


def test_what_failed_is_delivered_later_in_order() -> None:
    received: list[int] = []
    failures = iter([ConnectionError("no answer. Details"), ConnectionError("still none")])

    def first() -> None:
        problem = next(failures, None)
        if problem:
            raise problem
        received.append(0)

    delivery = Delivery(is_final, pause_s=0.01)
    delivery.put(first)
    for number in range(1, 4):
        delivery.put(lambda number=number: received.append(number))
    while len(received) < 4:
        time.sleep(0.01)
    assert delivery.close() == 0
    assert received == [0, 1, 2, 3]
    assert delivery.problem == "no answer"


def test_what_is_refused_is_left_out() -> None:
    received: list[str] = []

    def refused() -> None:
        raise Refused("the name is invalid")

    delivery = Delivery(is_final)
    delivery.put(refused)
    delivery.put(lambda: received.append("the next one"))
    assert delivery.close() == 1
    assert received == ["the next one"]
    assert delivery.problem == "the name is invalid"


def test_a_dead_server_is_tried_once_more_at_the_end() -> None:
    attempts: list[float] = []

    def fails() -> None:
        attempts.append(time.monotonic())
        raise ConnectionError("no answer")

    delivery = Delivery(is_final, pause_s=600.0)
    delivery.put(fails)
    delivery.put(lambda: attempts.append(0.0))
    while not attempts:
        time.sleep(0.01)
    assert delivery.close() == 2
    assert len(attempts) == 2


def test_a_server_that_hangs_does_not_hold_up_the_end() -> None:
    answers = Event()
    delivery = Delivery(is_final)
    delivery.put(lambda: answers.wait(60.0) or None)
    before = time.monotonic()
    assert delivery.close(wait_s=0.2) == 1
    assert time.monotonic() - before < 30.0
    answers.set()
