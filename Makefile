# make demo: see it work. make test: see that it works. make chaos: see that nothing is lost. make docs: read about it.
# PYTHON=python3.12 chooses another Python (3.11 or later). JOBS is how many tests run side by side.
PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

# Where it is set, each of the hundreds of daemons that the tests start would compile all of its modules.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: venv demo test chaos chaos-of-one chaos-of-two fuzz memory bench bench-quick docs reference man format dist rpm clean

venv: $(READY)

# An editable installation shows every change at once, but hides the plugin: Twisted looks for plugins on the path only.
$(READY): pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install -qq --editable . --group dev
	pwd > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/checkout.pth"
	touch $@

# ONCE=1 ends after the first whole build; without it the sandbox stays until Ctrl-C. FROM_NOTHING=1 leaves the set-up to you.
demo: $(READY)
	$(BIN)/probo-bitbucket sandbox $(if $(ONCE),--once) $(if $(FROM_NOTHING),--from-nothing)

test: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

# The daemon is killed CHAOS_KILLS times (100), alone and as two nodes. CHAOS_SEED repeats what was done to it.
# Both side by side (make --jobs=2 chaos) take a core each.
chaos: chaos-of-one chaos-of-two

chaos-of-one: $(READY)
	$(BIN)/python -m tests.chaos.run --nodes 1

chaos-of-two: $(READY)
	$(BIN)/python -m tests.chaos.run --nodes 2

# The documents as a site, in build/docs. A link that leads nowhere, or anything else that is wrong, ends it.
docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -n -q docs build/docs

# What the documents and the man pages say of settings, commands, routes, events and metrics, made from the code.
reference man: $(READY)
	$(BIN)/python -m docs.reference

# 20,000 requests to all routes (FUZZ), with whatever fits their description or nearly does.
fuzz: $(READY)
	FUZZ=$(or $(FUZZ),20000) $(BIN)/python -m pytest tests/web/test_openapi.py

# What the daemon takes of it while 200 clients are slow and 1,000 bodies of 20 MB come in; fails above 150 MiB.
memory: $(READY)
	$(BIN)/python -m benchmarks.memory

# What it costs, beside a handler that works as Node's do; an hour on a machine that does nothing else.
bench: $(READY)
	$(BIN)/python -m benchmarks --json benchmarks/results.json

# Less than a minute; fails where we are 30 % worse, compared with the baseline, than benchmarks/quick.json says.
bench-quick: $(READY)
	$(BIN)/python -m benchmarks --quick

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

dist: $(READY)
	$(BIN)/python -m build

# Of the sdist, with the libraries that pip downloads; WHEELS=directory takes them from there. PYTHON as on the server.
rpm: dist
	rpmbuild -bb $(if $(RPM_PYTHON),--nodeps --define "python $(RPM_PYTHON)") --define "_topdir $(CURDIR)/build/rpm" --define "_sourcedir $(CURDIR)/dist" \
	    --define "_rpmdir $(CURDIR)/dist" $(if $(WHEELS),--define "wheels $(WHEELS)") packaging/probo-bitbucket.spec

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
