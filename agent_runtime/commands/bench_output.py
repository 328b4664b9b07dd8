"""What a bench found, for people: every case beside its floor, and below it whatever else it found."""

from collections.abc import Mapping
from typing import Any

from agent_runtime.commands.options import printable

_TIMES = ("median_ms", "p99_ms", "floor_ms", "ratio_to_floor")


def print_heading(report: Mapping[str, Any]) -> None:
    """Print what was measured on what, what the device can do at best, and that scores are right."""
    floors, checked = report["floors"], report["checked"]
    lines = [
        f"{report['geometry']}, {report['weights']} weights, {report['dtype']}, attention by {report['way']}, "
        f"torch {report['torch']} on {report['device']}",
        f"The device copies {floors['bandwidth_B_s'] / 1e9:.1f} GB/s and multiplies "
        f"{floors['matmul_FLOP_s'] / 1e12:.3f} TFLOP/s: a floor is what a case takes at the least at those rates.",
        f"Scores differ from those by {checked['against']} by {checked['distance']:.1e} of their "
        f"length; up to {checked['limit']:.1e} is rounding.",
    ]
    print(printable("\n".join(lines)), flush=True)


def print_case(case: Mapping[str, Any]) -> None:
    """Print a case: its times, and then its other figures, those of a part of it further in."""
    print(f"\n{case['case']}\n{_said(case, '  ')}", flush=True)


def _said(found: Mapping[str, Any], margin: str) -> str:
    lines = [f"{margin}{_times(found)}"] if _TIMES[0] in found else []
    rest = {name: value for name, value in found.items() if name not in (*_TIMES, "device_ms", "case")}
    plain = [f"{_words(name)} {_value(value)}" for name, value in rest.items() if not isinstance(value, dict | list)]
    if plain:
        lines.append(f"{margin}{', '.join(plain)}")
    for name, value in rest.items():
        parts = value if isinstance(value, list) else [value]
        for part in (part for part in parts if isinstance(part, dict)):
            inner = _said(part, "")
            lines.append(f"{margin}{_words(name)}: " + inner.replace("\n", f"\n{margin}  "))
    return "\n".join(lines)


def _times(found: Mapping[str, Any]) -> str:
    median, p99, floor, ratio = (found[name] for name in _TIMES)
    device = found.get("device_ms")
    alone = "" if device is None else f" ({device:.3f} of it the device)"
    return f"median {median:.3f} ms{alone}, p99 {p99:.3f} ms; floor {floor:.3f} ms, {ratio:.2f} times that"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:.6g}"
    return "unknown" if value is None else str(value)
