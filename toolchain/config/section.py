"""What all sections of nastool.toml have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Keys that are not declared are refused; values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)
