"""Does the model understand words that no picture taught it? Three tables for the model card."""

from __future__ import annotations

import torch
from data import Pictures
from torch import Tensor
from words import BROADER, KEPT_FROM_BOTH, KEPT_FROM_PICTURES, NEAR_CIFAR

from tta_service.clip.model import FrozenCLIP
from tta_service.core.labels import LabelSet


def nearest(clip: FrozenCLIP, names: tuple[str, ...], words: dict[str, str]) -> list[tuple[str, str, int, str]]:
    """(word, its class, rank of that class by cosine among names, nearest name) for each word; rank 1 is right."""
    known = set(words) - set(clip.text_space(LabelSet(tuple(words))).unseen)
    classes = clip.text_space(LabelSet(names)).features
    rows = []
    for word, right in words.items():
        if word in known:
            order = (classes @ clip.text_space(LabelSet((word,))).features[0]).argsort(descending=True).tolist()
            rows.append((word, right, order.index(names.index(right)) + 1, names[order[0]]))
    return rows


def by_picture(
    clip: FrozenCLIP, pictures: Pictures, features: Tensor, words: dict[str, str]
) -> tuple[int, float, float]:
    """Pictures of the classes, and top-1 in percent among all names: under the class's own name, and under the word."""
    hits, own, count = 0.0, 0.0, 0
    for word, right in words.items():
        place = pictures.names.index(right)
        rows = features[pictures.labels == place]
        names = tuple(word if name == right else name for name in pictures.names)
        hits += (rows @ clip.text_space(LabelSet(names)).features.T).argmax(1).eq(place).sum().item()
        own += (rows @ clip.text_space(LabelSet(pictures.names)).features.T).argmax(1).eq(place).sum().item()
        count += len(rows)
    return count, 100 * own / count, 100 * hits / count


def broader(clip: FrozenCLIP, pictures: Pictures, features: Tensor) -> list[tuple[str, int, float, str]]:
    """(broader term, pictures, top-1 in percent among all broader terms, most frequent answer) by member classes."""
    terms = tuple(BROADER)
    text = clip.text_space(LabelSet(terms)).features
    rows = []
    for place, (term, members) in enumerate(BROADER.items()):
        member = torch.isin(pictures.labels, torch.tensor([pictures.names.index(name) for name in members]))
        answers = (features[member] @ text.T).argmax(1)
        rows.append(
            (
                term,
                int(member.sum()),
                100 * (answers == place).double().mean().item(),
                terms[int(answers.mode().values)],
            )
        )
    return rows


def word_tables(clip: FrozenCLIP, sets: dict[str, Pictures], features: dict[str, Tensor]) -> None:
    tiny, cifar = sets["tiny_imagenet"], sets["cifar10"]
    questions = (
        ("synonyms no picture was taught, among 200 names", tiny.names, KEPT_FROM_PICTURES),
        ("phrases met by neither tower, among 200 names", tiny.names, KEPT_FROM_BOTH),
        ("narrower words, among CIFAR-10's names", cifar.names, NEAR_CIFAR),
    )
    print("\n| words by text alone | known of asked | nearest is right | among five nearest |\n|---|---|---|---|")
    missed = []
    for title, names, words in questions:
        rows = nearest(clip, names, words)
        first, five = sum(rank == 1 for _, _, rank, _ in rows), sum(rank <= 5 for _, _, rank, _ in rows)
        print(f"| {title} | {len(rows)} of {len(words)} | {first} | {five} |")
        missed += [f"{word} ({found}, not {right})" for word, right, rank, found in rows if rank > 1]
    print(f"\nMissed: {'; '.join(missed)}.")
    print("\n| words by picture, Tiny ImageNet val | pictures | under its name | under the word |\n|---|---|---|---|")
    for title, names, words in questions[:2]:
        known = {word: right for word, right, _, _ in nearest(clip, names, words)}
        count, own, under = by_picture(clip, tiny, features["tiny_imagenet"], known)
        print(f"| {title} | {count} | {own:.1f} | {under:.1f} |")
    print("\n| broader term | pictures | top-1 among the terms | most frequent answer |\n|---|---|---|---|")
    rows = broader(clip, tiny, features["tiny_imagenet"])
    for term, count, right, answers in rows:
        print(f"| {term} | {count} | {right:.1f} | {answers} |")
    total = sum(count for _, count, _, _ in rows)
    print(f"| all {len(rows)} | {total} | {sum(count * right for _, count, right, _ in rows) / total:.1f} | |")
