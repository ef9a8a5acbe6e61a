"""Conditions of the machine at the start of a run. They help to explain a latency and are not part of the target."""

import os

import psutil


def conditions() -> dict[str, object]:
    """The load, and if known the CPU's temperature in degrees Celsius and its clock in MHz."""
    values: dict[str, object] = {"load_1min": round(os.getloadavg()[0], 2)} if hasattr(os, "getloadavg") else {}
    sensors = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}  # not on every system
    temperatures = [entry.current for name in ("coretemp", "k10temp", "cpu_thermal") for entry in sensors.get(name, [])]
    if temperatures:
        values["temperature_c"] = max(temperatures)
    clock = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    if clock and clock.current:
        values["clock_mhz"] = round(clock.current)
    return values
