"""Pure state machines of the runtime: events in, instructions out.

Nothing in this package does I/O, reads a clock, starts a thread or draws a random number.
Methods are events; they take the time as ``now`` (seconds on any monotonic clock) and return
a list of instructions, frozen values that the daemon carries out in order. Where carrying one
out gives the next event at once, the instructions that it leads to go to the end of the queue:
done right away, they would overtake older ones that they may contradict. Every machine has a
``check()`` that raises ``AssertionError`` when its state contradicts itself.
"""

from __future__ import annotations
