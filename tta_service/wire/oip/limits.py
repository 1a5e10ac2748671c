"""What the Open Inference Protocol allows on this server."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class OipLimits(BaseModel):
    """The rules of its requests; also the section `oip` of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strict: bool = True  # a sequence begins with a frame that says so; else any frame of an unknown one begins it
    batch: Annotated[int, Field(ge=1, le=4096)] = 64  # pictures of one request
