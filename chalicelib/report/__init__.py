"""Reports of runs: Markdown, HTML and plots."""
