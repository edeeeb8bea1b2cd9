"""`python -m facecli` is `facecli`."""

from facecli.cli.main import main

main()
