"""HTML pages that need nothing but themselves."""

import base64
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup


def render(package: str, template: str, content: Mapping[str, Any], **filters: Callable[..., Any]) -> str:
    """The page that a template makes of its content.

    Args:
        package: that the template lies in.
        template: name of a file there; `data_uri` is among its filters.
        content: what the template names; `gallery_style` is there, the style sheet of our galleries.
        **filters: of the template.

    Raises:
        jinja2.UndefinedError: the template names something that the content lacks.
    """
    # Names come from files: everything is escaped, and what is missing is an error instead of an empty place.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"data_uri": _data_uri} | filters
    environment.globals["gallery_style"] = Markup(files(__package__).joinpath("gallery.css").read_text("utf-8"))
    return environment.from_string(files(package).joinpath(template).read_text("utf-8")).render(content)


def _data_uri(png: bytes) -> str:
    """A PNG file as an address that holds the file itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
