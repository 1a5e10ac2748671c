"""The words of the pocket model: what it is taught, and what is kept from it to see whether it understands."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from pathlib import Path

import open_clip
import timm

TEMPLATE = "a photo of a {}."
TEMPLATES = (
    *["a photo of a {}."] * 4,
    *("{}", "a {}", "the {}", "a picture of a {}", "a photo of the {}.", "a photo of {}.", "an image of a {}"),
    *("a close-up photo of a {}.", "a cropped photo of a {}.", "a good photo of a {}.", "a photo of one {}."),
    *("a blurry photo of a {}.", "a bright photo of a {}.", "a photo of a small {}.", "there is a {} in the scene."),
)
CIFAR_WORDS = {"airplane": ("airplane", "aircraft"), "automobile": ("automobile", "motorcar")}

# Synonyms that never were a target of a picture; the text tower knows the words only from the sentence encoder.
KEPT_FROM_PICTURES = {
    "puma": "cougar", "pig": "hog", "chimp": "chimpanzee", "panda": "lesser panda", "lighthouse": "beacon",
    "rucksack": "backpack", "knapsack": "backpack", "pail": "bucket", "skillet": "frying pan", "cask": "barrel",
    "limo": "limousine", "rickshaw": "jinrikisha", "lollipop": "ice lolly", "popsicle": "ice lolly",
    "shades": "sunglasses", "seacoast": "seashore", "coast": "seashore", "roach": "cockroach", "dike": "dam",
    "crayfish": "spiny lobster", "handrail": "bannister", "flagstaff": "flagpole", "missile": "projectile",
    "mower": "lawn mower", "keypad": "computer keyboard", "atm": "cash machine", "tub": "bathtub",
    "alsatian": "German shepherd", "dromedary": "Arabian camel", "ladybird": "ladybug",
}  # fmt: skip
# Phrases that neither tower ever met; each of their words is an ordinary one.
KEPT_FROM_BOTH = {
    "mountain lion": "cougar", "red panda": "lesser panda", "station wagon": "beach wagon",
    "field glasses": "binoculars",
    "dark glasses": "sunglasses", "rock lobster": "spiny lobster", "soda bottle": "pop bottle", "tabby cat": "tabby",
    "candy store": "confectionery", "meat market": "butcher shop", "stick insect": "walking stick",
    "lady beetle": "ladybug", "pipe organ": "organ", "koala bear": "koala", "bath tub": "bathtub",
    "thatched roof": "thatch", "monarch butterfly": "monarch", "bathing trunks": "swimming trunks",
    "patrol wagon": "police van", "teddy bear": "teddy", "punching ball": "punching bag", "pizza pie": "pizza",
    "bighorn sheep": "bighorn", "spider's web": "spider web",
}  # fmt: skip
# Narrower words for CIFAR-10's names; the text tower knows them only from the sentence encoder.
NEAR_CIFAR = {
    "puppy": "dog", "hound": "dog", "kitten": "cat", "jet": "airplane", "plane": "airplane", "sedan": "automobile",
    "car": "automobile", "pony": "horse", "stallion": "horse", "sparrow": "bird", "owl": "bird", "robin": "bird",
    "toad": "frog", "boat": "ship", "yacht": "ship", "ferry": "ship", "lorry": "truck", "pickup": "truck",
    "elk": "deer", "fawn": "deer",
}  # fmt: skip
# Broader terms, no target of any picture, and classes of Tiny ImageNet that belong to each.
BROADER = {
    "insect": ("ladybug", "fly", "bee", "grasshopper", "cockroach", "mantis", "dragonfly", "monarch"),
    "reptile": ("American alligator", "boa constrictor"),
    "monkey": ("orangutan", "chimpanzee", "baboon"),
    "clothing": ("cardigan", "fur coat", "poncho", "kimono", "apron", "miniskirt", "academic gown", "military uniform"),
    "furniture": ("desk", "dining table", "rocking chair", "chest"),
    "vehicle": ("beach wagon", "convertible", "limousine", "school bus", "sports car", "police van", "moving van"),
    "fruit": ("orange", "lemon", "banana", "pomegranate"),
    "food": ("guacamole", "mashed potato", "meat loaf", "pizza", "potpie", "pretzel"),
    "kitchen": ("frying pan", "wok", "teapot", "wooden spoon", "plate"),
    "bridge": ("steel arch bridge", "suspension bridge", "viaduct"),
    "landscape": ("alp", "cliff", "lakeside", "seashore"),
}  # fmt: skip


def synonyms(name: str, listed: Sequence[str], most: int = 4) -> list[str]:
    """The name and the first synonyms that may be taught: none that is kept for the examination, no Latin names."""
    kept = {word.lower() for word in (*KEPT_FROM_PICTURES, *KEPT_FROM_BOTH)}
    latin = re.compile(r"[A-Z][a-z]+ [a-z]+")
    others = [w for w in listed if w.lower() not in kept and w != name and not latin.fullmatch(w)]
    return [name, *CIFAR_WORDS.get(name, ()), *others][:most]


def vocabulary(fewest_letters: int = 2) -> list[str]:
    """The whole lower-case words among open_clip's BPE tokens, most frequent first."""
    path = Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    merges = gzip.decompress(path.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    joined = ("".join(merge.split()) for merge in merges)
    whole = (word[:-4] for word in joined if word.endswith("</w>"))
    return list(dict.fromkeys(word for word in whole if re.fullmatch(f"[a-z]{{{fewest_letters},}}", word)))


def nouns(most_words: int = 3) -> list[str]:
    """Lower-case nouns, rare and compound ones too: lemmas of ImageNet's 21,844 WordNet synsets, as timm has them."""
    lines = (Path(timm.__file__).parent / "data/_info/imagenet_synset_to_lemma.txt").read_text().splitlines()
    lemmas = (lemma.strip() for line in lines for lemma in line.split("\t")[1].split(","))
    plain = (lemma for lemma in lemmas if re.fullmatch(r"[a-z][a-z' -]+", lemma))
    return list(dict.fromkeys(lemma for lemma in plain if len(lemma.split()) <= most_words))
