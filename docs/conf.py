"""How the documents become a site: `make docs`. What is wrong in them, dead links included, ends the build."""

project = "probo-bitbucket"
extensions = ["myst_parser"]
exclude_patterns = ["reference", "man"]
html_theme = "furo"
html_title = project
html_copy_source = False
html_show_copyright = False
myst_heading_anchors = 3
nitpicky = True
