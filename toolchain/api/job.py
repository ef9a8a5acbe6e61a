"""The whole job as one function."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from toolchain.api.runs import LoadedRun, load_run
from toolchain.config import parse_config, preset_text
from toolchain.errors import BudgetInfeasible
from toolchain.progress import Progress, Quiet


def run(
    name: str,
    data: str,
    limits: Mapping[str, str | Sequence[str]],
    preset: str | None = None,
    settings: Mapping[str, object] | None = None,
    progress: Progress | None = None,
) -> LoadedRun:
    """Profile, train, search, retrain, export and check, as `nastool run`. Called again, it resumes.

    Args:
        name: of the run.
        data: `digits`, `fashion-mnist`, `folder:PATH` or `wds:SHARDS`. Images of a folder set classes, channels and
            size of the space, where it leaves them out.
        limits: amounts with units by cost, `{"latency": "6ms"}`; a list of amounts ships a network for each.
        preset: settings to start from, as `nastool init --preset`. Default: one that suits the data.
        settings: other keys of nastool.toml, dotted: `{"space": "shufflenet_v2", "runs": "out", "profile.batch": 8}`.

    Raises:
        BadConfig: an unknown key or a wrong value.
        BudgetInfeasible: a budget has no winner; those of the other budgets are shipped.
        CheckFailed: an exported file does not fit its budget.
    """
    from toolchain.pipeline.whole_job import run_job
    from toolchain.training.fitted_space import with_fitted_space
    from toolchain.training.image_survey import SurveyedFolders
    from toolchain.training.preset_choice import fitted_preset_text, preset_for

    amounts = {f"search.{cost}": [text] if isinstance(text, str) else list(text) for cost, text in limits.items()}
    given = {"run": name, "data": data, **amounts, **(settings or {})}
    folders = SurveyedFolders()
    text = preset_text(preset) if preset else fitted_preset_text(preset_for(data, folders), data, folders)
    config = with_fitted_space(parse_config(text, given, "settings"), folders)
    result = run_job(config, progress or Quiet())
    if result.unmet:
        raise BudgetInfeasible("; ".join(result.unmet))
    return load_run(name, Path(config.runs))
