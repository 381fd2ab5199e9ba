"""Go's text/template as far as docker's `--format` uses it; `pycompose.cli.gotemplate.template` is the way in."""
