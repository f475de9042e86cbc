"""How the documentation is built: `nox -s docs`, or `sphinx-build -W -n docs docs/_build/html`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from telemt_trio._version import __version__

project = "telemt_trio"
author = "telemt_trio contributors"
copyright = f"2026, {author}"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# CONFIG_PARAMS.en.md is a page of its own on a git host; here configuration.md includes it.
exclude_patterns = ["_build", "CONFIG_PARAMS.en.md"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "furo"
html_title = f"telemt_trio {release}"
