"""What MkDocs does with the documentation: pages made of the code, links that leave docs/, diagrams, notebooks."""

from __future__ import annotations

import json
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
for folder in (HERE, ROOT):
    sys.path.insert(0, str(folder))

import diagram  # noqa: E402 # beside this file, which MkDocs loads by its path
import reference  # noqa: E402

OUTSIDE = "repository"  # the folder of the site for files that do not lie in docs/
LINK = re.compile(r"(\]\()([^)\s:#]+)(#[^)\s]*)?(\))")
PLAIN_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s:#]+)\)")
MERMAID = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of code, the notebooks, and whatever the pages link to outside of docs/."""
    pages = dict(reference.pages()) | dict(_notebooks())
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    written = [ROOT / "docs" / file.src_uri for file in files.documentation_pages() if file.src_uri not in pages]
    outside = [ROOT / nav[len(OUTSIDE) + 1 :] for nav in _names(config.nav) if nav.startswith(f"{OUTSIDE}/")]
    for path in _reach(written, outside):
        name = f"{OUTSIDE}/{path.relative_to(ROOT)}"
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the page of each strategy and reducer into the navigation, and at its end pages that no chapter names."""
    rest = {path.name for path in (ROOT / "docs").glob("*.md")} - set(_names(config.nav))
    config.nav = [*(config.nav or []), *([{"More": sorted(rest)}] if rest else [])]
    for part in config.nav:
        for chapter in part.get("Strategies and reducers", []) if isinstance(part, dict) else []:
            ((title, page),) = chapter.items()
            names = reference.names(title.lower())
            chapter[title] = [page, *({name: f"{title.lower()}/{name}.md"} for name in names)]
    return config


def on_page_markdown(markdown: str, page: Page, files: Files, **_: Any) -> str:
    """Draw diagrams, and turn links between files of the repository into links between pages of the site."""
    here = _path(page.file.src_uri)
    markdown = MERMAID.sub(lambda found: diagram.draw(found[1]), markdown)
    if here is None:
        return markdown

    def keep(found: re.Match[str]) -> str:
        target = _target(here, found[2])
        return found[0] if target and files.get_file_from_path(_uri(target)) else found[1]

    def move(found: re.Match[str]) -> str:
        target = _target(here, found[2])
        uri = posixpath.relpath(_uri(target), posixpath.dirname(page.file.src_uri) or ".") if target else found[2]
        return f"{found[1]}{uri}{found[3] or ''}{found[4]}"

    return LINK.sub(move, PLAIN_LINK.sub(keep, markdown))


def _reach(written: list[Path], outside: list[Path]) -> set[Path]:
    """The files outside of docs/ that pages link to, and those to which these link."""
    waiting, found = [*written, *outside], set(outside)
    while waiting:
        page = waiting.pop()
        for _, link, _, _ in LINK.findall(page.read_text(encoding="utf-8")):
            target = _target(page, link)
            if target and ROOT / "docs" not in target.parents and target not in found:
                found.add(target)
                waiting += [target] if target.suffix == ".md" else []
    return found


def _target(page: Path, link: str) -> Path | None:
    """The file that a link of a page leads to: of a folder its README. None where there is none."""
    target = (page.parent / link).resolve()
    target = target / "README.md" if target.is_dir() else target
    return target if target.is_file() and ROOT in target.parents else None


def _uri(target: Path) -> str:
    """Where a file of the repository is on the site."""
    name = target.relative_to(ROOT).as_posix()
    uri = name.removeprefix("docs/") if name.startswith("docs/") else f"{OUTSIDE}/{name}"
    return re.sub(r"\.ipynb$", ".md", uri)


def _path(uri: str) -> Path | None:
    """Which file of the repository a page shows; None for one that is made of code."""
    path = ROOT / (uri[len(OUTSIDE) + 1 :] if uri.startswith(f"{OUTSIDE}/") else f"docs/{uri}")
    notebook = path.with_suffix(".ipynb")
    return path if path.is_file() else notebook if notebook.is_file() else None


def _names(nav: Any) -> Iterator[str]:
    """The pages of a navigation."""
    if isinstance(nav, str):
        yield nav
    for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _names(part)


def _notebooks() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
        body = [text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in texts]
        note = f"*This is `docs/notebooks/{path.name}` without its outputs: open it in Jupyter and run it.*"
        yield f"notebooks/{path.stem}.md", "\n\n".join([body[0], note, *body[1:]])
