"""The gate: so many places, two queues, and nothing lost when somebody gives up."""

from __future__ import annotations

import asyncio

from fingan.service.gate import BEGIN, GO_ON, IN_A_ROW, Gate


async def enter(gate: Gate, queue: int, name: str, order: list[str]) -> None:
    await gate.enter(queue)
    order.append(name)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_those_who_go_on_come_first_but_only_a_few_in_a_row() -> None:
    async def run() -> list[str]:
        gate, order = Gate(2), list[str]()
        await gate.enter(BEGIN)
        await gate.enter(GO_ON)
        assert gate.is_full
        names = [(BEGIN, "b1"), (BEGIN, "b2"), *((GO_ON, f"g{n}") for n in range(IN_A_ROW + 2))]
        tasks = [asyncio.create_task(enter(gate, queue, name, order)) for queue, name in names]
        await settle()
        assert gate.waiting == IN_A_ROW + 4
        for _ in names:
            gate.leave()
            await settle()
        await asyncio.gather(*tasks)
        assert gate.is_full
        gate.leave()
        assert not gate.is_full
        return order

    assert asyncio.run(run()) == ["g0", "g1", "g2", "g3", "b1", "g4", "g5", "b2"]


def test_who_gives_up_takes_no_place() -> None:
    async def run() -> None:
        gate, order = Gate(1), list[str]()
        await gate.enter(BEGIN)
        tasks = [asyncio.create_task(enter(gate, BEGIN, str(number), order)) for number in range(3)]
        await settle()
        tasks[0].cancel()
        # The place comes and the one who waits for it leaves, in the same turn of the loop.
        gate.leave()
        tasks[1].cancel()
        await settle()
        assert order == ["2"]
        gate.leave()
        assert not gate.is_full
        assert gate.waiting == 0
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())
