"""Published sets of sentence templates by name, as open_clip has them."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.errors import BadLabels
from ...core.labels import check_texts

SETS = ("openai", "simple")  # 80 templates, and the seven best of them for ImageNet


def expand_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """The templates, each once, with the sentences of a set in the place of its name.

    The sets are OpenAI's for ImageNet (Radford et al., 2021, arXiv:2103.00020). Raises `BadLabels` for what is neither
    a template nor a name.
    """
    found: list[str] = []
    for place, template in enumerate(check_texts(templates, "templates")):
        if template in SETS:
            found += _load_set(template)
        elif "{" not in template:
            wrong = f"template {place} ({template!r}) must hold {{}} exactly once and no other brace"
            raise BadLabels(f"{wrong}, or be the name of a set: {', '.join(SETS)}", f"templates[{place}]")
        else:
            found.append(template)
    return tuple(dict.fromkeys(found)) if len(found) > len(templates) else tuple(found)


def _load_set(name: str) -> list[str]:
    from open_clip import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES  # imports torch for seconds

    return [fill("{}") for fill in (OPENAI_IMAGENET_TEMPLATES if name == "openai" else SIMPLE_IMAGENET_TEMPLATES)]
