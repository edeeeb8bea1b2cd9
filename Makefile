# Two commands for a fresh clone, with nothing but Python 3.11 or 3.12 and pip:
#   make demo   sets up .venv and turns the sample photograph into a textured 3D face in demo/
#   make test   sets up .venv and passes the tests
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test lint clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fan,dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/facecli reconstruct assets/astronaut.png -o demo --report

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n 2 --dist loadscope

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv demo
