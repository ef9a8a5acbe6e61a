"""The state that a machine is in when a run begins. It explains a figure later; it is no part of the target."""

import os
from typing import Any

import psutil


def conditions() -> dict[str, Any]:
    """The load, and what is known of the CPU's temperature in degrees Celsius and clock in MHz."""
    found: dict[str, Any] = {"load_1min": round(os.getloadavg()[0], 2)} if hasattr(os, "getloadavg") else {}
    sensors: dict[str, Any] = getattr(psutil, "sensors_temperatures", dict)()  # not on every system
    heats = [entry.current for name in ("coretemp", "k10temp", "cpu_thermal") for entry in sensors.get(name, [])]
    if heats:
        found["temperature_c"] = max(heats)
    clock = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    if clock and clock.current:
        found["clock_mhz"] = round(clock.current)
    return found
