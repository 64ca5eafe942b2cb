from __future__ import annotations

from air.data.execution.cost import Meter


def test_a_light_meter_asks_the_system_for_nothing_but_the_time():
    cost = Meter(light=True).read()
    assert cost.cpu_seconds == cost.seconds > 0
    assert cost.peak_bytes == 0
    assert Meter().read().peak_bytes > 0
