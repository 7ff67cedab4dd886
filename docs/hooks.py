"""Hooks of `mkdocs.yml`: files of the repository as pages, and no page that needs the network."""

import re
from pathlib import Path
from posixpath import dirname, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).resolve().parent
REPOSITORY = DOCS.parent

PAGES = {"index.md": "README.md", "report.md": "benchmarks/REPORT.md", "changes.md": "CHANGELOG.md"}
"""Page of the site to file of the repository."""

LINK = re.compile(r"\]\((?!https?:|#)(?P<path>[^)#]+)(?P<anchor>(?:#[^)]*)?)\)")
ASSET = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=["']?(?:https?:)?//[^>]*""")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that lie outside `docs/`."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=(REPOSITORY / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links hold in the repository; this makes them hold in the site."""
    here = page.file.src_uri
    source = REPOSITORY / PAGES[here] if here in PAGES else DOCS / here
    page_of = {REPOSITORY / path: uri for uri, path in PAGES.items()}

    def in_site(match: re.Match[str]) -> str:
        target = source.parent.joinpath(match["path"]).resolve()
        if target in page_of:
            uri = page_of[target]
        elif target.is_relative_to(DOCS):
            uri = target.relative_to(DOCS).as_posix()
        else:
            return match[0]  # which mkdocs will not find
        return f"]({relpath(uri, dirname(here) or '.')}{match['anchor']})"

    return LINK.sub(in_site, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuses what a browser would fetch from elsewhere."""
    if found := ASSET.search(output):
        raise PluginError(f"{page.file.src_path} loads something from the network: {found[0]}>")
    return output
