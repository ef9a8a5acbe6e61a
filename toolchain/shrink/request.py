"""What the user asks of `nastool shrink`: a latency, absolute or relative, or a maximum loss of accuracy."""

from dataclasses import dataclass

from toolchain.config import Config
from toolchain.errors import BadConfig
from toolchain.units import parse_latency_ms, parse_percent


@dataclass(frozen=True)
class Request:
    """At least one of both limits.

    Args:
        latency_ms: the maximum latency of a batch.
        share: the maximum latency as a share of the original's.
        max_drop: the maximum loss of hold-out accuracy, 0 to 1.
    """

    latency_ms: float | None = None
    share: float | None = None
    max_drop: float | None = None

    def limit_ms(self, original_ms: float) -> float | None:
        """The latency limit in whole microseconds; None if only the loss of accuracy is limited."""
        if self.share is not None:
            return round(self.share * original_ms, 3)
        return self.latency_ms


def request_of(config: Config) -> Request:
    """The limits of the configuration.

    Raises:
        BadUnit: a limit cannot be read.
        BadConfig: there is no limit, more than one latency, a limit of another cost, a share that is no reduction, no
            file of weights, or a target that is not measured in fp32.
    """
    _require_measurable(config)
    limits = config.search
    if limits.macs or limits.params or limits.bitops or limits.weight_bits:
        raise BadConfig("nastool shrink has limits of latency only. Leave out the other limits in [search]")
    if len(limits.latency) > 1:
        raise BadConfig(f"nastool shrink takes one latency (given: {', '.join(limits.latency)}). Use a run for each")
    if config.train.start_from is None:
        raise BadConfig("nastool shrink needs the trained weights of the model. Give --weights FILE")
    max_drop = None if config.shrink.max_drop is None else parse_percent(config.shrink.max_drop, "--max-drop 1%")
    if not limits.latency and max_drop is None:
        raise BadConfig("nastool shrink needs a limit. Give --latency 8ms, --latency 50% or --max-drop 1%")
    if max_drop is not None and max_drop >= 1:
        raise BadConfig(f"--max-drop {config.shrink.max_drop} allows any network. Give points of accuracy, such as 1%")
    if not limits.latency:
        return Request(max_drop=max_drop)
    (text,) = limits.latency
    if not text.strip().endswith("%"):
        return Request(latency_ms=parse_latency_ms(text), max_drop=max_drop)
    share = parse_percent(text, "--latency 50%")
    if share >= 1:
        raise BadConfig(f"--latency {text} is not faster than the original. Give less than 100%")
    return Request(share=share, max_drop=max_drop)


def _require_measurable(config: Config) -> None:
    profile = config.profile
    if profile.estimate or profile.target:
        raise BadConfig("nastool shrink measures the original and the result. Leave out estimate and target")
    if profile.precision != "fp32":
        raise BadConfig(
            f"nastool shrink measures in fp32 (given: {profile.precision}). Write other precisions afterwards with "
            f"nastool export --run {config.run} --precision {profile.precision}"
        )
