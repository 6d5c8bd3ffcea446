"""Lanes: one job at a time, in order, and one clear refusal when too many wait."""

import asyncio
import threading
import time

import pytest

from stylex.app.work import BusyError, Lane
from stylex.errors import ImageError


def test_one_at_a_time_in_order_and_no_more_than_may_wait():
    begun, order, gate = [0], [], threading.Event()

    def job(number: int) -> int:
        begun[0] += 1
        assert begun[0] == 1
        gate.wait(10)
        order.append(number)
        begun[0] -= 1
        return number

    async def run() -> list[int]:
        lane = Lane("images", waiting=3)
        jobs = [asyncio.ensure_future(lane.run(lambda number=number: job(number))) for number in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="3 images wait already; try again in a minute"):
            await lane.run(lambda: 9)
        gate.set()
        results = await asyncio.gather(*jobs)
        assert await lane.run(lambda: 5) == 5
        lane.close()
        return results

    assert asyncio.run(run()) == [0, 1, 2, 3] == order


def test_what_a_job_raises_is_raised_and_the_next_one_runs():
    def broken() -> None:
        raise ImageError("no image")

    async def run() -> int:
        lane = Lane("images", waiting=1)
        for _ in range(5):
            with pytest.raises(ImageError, match="no image"):
                await lane.run(broken)
        return await lane.run(lambda: 1)

    assert asyncio.run(run()) == 1


def test_whoever_leaves_the_queue_gives_the_place_away():
    gate = threading.Event()

    async def run() -> int:
        lane = Lane("images", waiting=1)
        first = asyncio.ensure_future(lane.run(lambda: gate.wait(10)))
        second = asyncio.ensure_future(lane.run(lambda: 2))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.sleep(0.05)
        third = asyncio.ensure_future(lane.run(lambda: 3))
        await asyncio.sleep(0.05)
        gate.set()
        await first
        return await third

    begin = time.monotonic()
    assert asyncio.run(run()) == 3 and time.monotonic() - begin < 5
