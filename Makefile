# `make test` makes an environment where there is none, installs what the tests need and runs the fast ones.
SHELL := /bin/bash
PYTEST_ARGS ?=
PYTEST_WORKERS ?= 2
# a file stays together: what its tests share is made once
pytest = "$$PYTHON" -m pytest -n $(PYTEST_WORKERS) --dist loadfile

.PHONY: test test-browser test-slow test-all lint bench dist release docs clean distclean

define in_environment
ERNIE_EXTRAS=test; . scripts/environment.sh; ernie_tune_cpu
endef

test: ## fast tests, about nine minutes on two cores
	@$(in_environment); $(pytest) -m "not slow and not peer and not browser" $(PYTEST_ARGS)

test-slow: ## tests that take longer than a minute
	@$(in_environment); $(pytest) -m "slow and not peer and not browser" $(PYTEST_ARGS)

test-browser: ## the report page and the site in a headless Chromium; apt-get install chromium first
	@ERNIE_EXTRAS=test,browser,docs; . scripts/environment.sh; "$$PYTHON" -m pytest -m browser $(PYTEST_ARGS)

test-all: test test-slow

lint: ## style, common mistakes, types
	@$(in_environment) >/dev/null; set -e; "$$PYTHON" -m ruff check .; "$$PYTHON" -m mypy

bench: ## speed, beside peers where they are installed; prints tables (docs/benchmarks.md)
	@$(in_environment); set -e; corpus=output/bench/corpus; \
	"$$PYTHON" -m ernie demo-data --language en --output $$corpus; \
	"$$PYTHON" benchmarks/build_corpus.py --cores 1; \
	"$$PYTHON" benchmarks/make_batches.py --corpus $$corpus/train; \
	"$$PYTHON" benchmarks/step.py; \
	"$$PYTHON" benchmarks/trainer_overhead.py --config configs/curriculum/demo_en.yaml --corpus $$corpus; \
	for what in pretraining finetuning inference pipeline; do "$$PYTHON" benchmarks/peers/$$what.py; done

dist: ## wheel and sdist in dist/, checked
	@ERNIE_EXTRAS=release; . scripts/environment.sh; set -e; rm -rf dist; \
	"$$PYTHON" -m build --outdir dist . >/dev/null; rm -rf build *.egg-info; "$$PYTHON" -m twine check --strict dist/*

release: ## dist, and the tag v<version>; see CONTRIBUTING.md
	@set -e; version=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' ernie/__init__.py); \
	test -z "$$(git status --porcelain)" || { echo "the tree has changes" >&2; exit 1; }; \
	grep -q "^## \[$$version\] - 20" CHANGELOG.md || { echo "CHANGELOG.md has no dated section [$$version]" >&2; exit 1; }; \
	grep -q "^version: $$version$$" CITATION.cff || { echo "CITATION.cff has another version than $$version" >&2; exit 1; }; \
	$(MAKE) --no-print-directory dist; git tag -a "v$$version" -m "ernie-pretrain $$version"; \
	echo "tagged v$$version; next: git push --follow-tags, twine upload dist/*"

docs: ## the site in site/; a broken link is an error
	@ERNIE_EXTRAS=docs; . scripts/environment.sh; "$$PYTHON" -m mkdocs build --strict --quiet

clean: ## what builds, tests and lint left behind
	rm -rf build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage profiler_log
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## also the environments that the launchers and CI made; output/ holds your runs and stays
	rm -rf .venv .venv-* .venv.lock
