"""Names of classes that are called by their WordNet ids, as ImageNet's and its relatives' are."""

from __future__ import annotations

import re
from functools import cache


def is_wordnet_id(name: str) -> bool:
    """Whether it looks like n01440764."""
    return re.fullmatch(r"n\d{8}", name) is not None


@cache
def imagenet_names() -> dict[str, str]:
    """open_clip's names of ImageNet's thousand classes by WordNet id, in the order of the classes."""
    from open_clip import IMAGENET_CLASSNAMES  # imports torch for seconds
    from timm.data import ImageNetInfo

    return dict(zip(ImageNetInfo().label_names(), IMAGENET_CLASSNAMES))


@cache
def wordnet_names() -> dict[str, str]:
    """The first synonym of ImageNet-22k's classes by WordNet id, with `imagenet_names` where those have one."""
    from timm.data import ImageNetInfo

    wider = ImageNetInfo("imagenet-22k")
    first = {id: wider.label_name_to_description(id).split(",")[0] for id in wider.label_names()}
    return first | imagenet_names()
