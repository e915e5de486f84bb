"""Sphinx's settings. What the site contains is decided in course_pages."""

from autograder.authoring.course import find_root, load_course

course = load_course(find_root())
project = html_title = course.title
html_short_title = "The course"
extensions = ["myst_parser", "sphinx_copybutton", "course_pages"]
root_doc = "index"
html_theme = "furo"
html_static_path = ["static"]
# Without one, browsers ask the server for /favicon.ico.
html_favicon = "static/favicon.svg"
html_css_files = ["course.css", "museum.css"]
html_js_files = ["course.js"]
html_show_sourcelink = html_copy_source = False
html_show_sphinx = False
html_math_renderer = "katex"
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"
# A page is opened from a file as well as from a server.
html_permalinks_icon = "#"
html_search_language = "en"
language = "en"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
# Transcripts and pseudocode have no language, and a prompt is no part of a command.
highlight_language = "text"
copybutton_exclude = ".linenos, .gp"
# These files start with a second-level heading or skip a level, and look right.
suppress_warnings = ["myst.header"]
