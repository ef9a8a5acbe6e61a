"""What the scores of candidates depend on: the first line of their journal."""

from pydantic import JsonValue

from exporters.manifest import sha256
from toolchain.config import Config
from toolchain.runs import Run
from toolchain.training.data import Data
from toolchain.training.stored_fingerprint import Fingerprint


class ScoresFingerprint(Fingerprint):
    """The inputs of a score; `race_error` only of searches with a race."""

    supernet_sha256: str
    data_digest: str
    holdout_per_class: int | str
    bn_images: int
    batch: int
    seed: int
    race_error: float | None = None

    def stored(self) -> dict[str, JsonValue]:
        return self.model_dump(mode="json", exclude_none=True)


def scores_fingerprint(config: Config, data: Data, run: Run) -> ScoresFingerprint:
    """The fingerprint of scores by the supernet of `run`.

    Raises:
        OSError: the checkpoint of the supernet cannot be read.
    """
    settings = config.search
    return ScoresFingerprint(
        supernet_sha256=sha256(run.supernet),
        data_digest=data.digest,
        holdout_per_class=config.holdout_per_class,
        bn_images=settings.bn_images,
        batch=settings.batch,
        seed=config.seed,
        race_error=settings.race_error if settings.race else None,
    )
