# Everything here is one command; recipes/ holds the commands of the longer ones. `make help` lists the targets.
PYTHON ?= python3
SEED ?= 0
export SEED
unexport PYTHONOPTIMIZE PYTHONSAFEPATH # tests are asserts, and import what lies beside them
VENV = .venv
PY = $(VENV)/bin/python
PIP = $(PY) -m pip install --disable-pip-version-check --quiet

.PHONY: help setup demo train more dream doom pendulum snake drive compare check test test-all bench faults clean clean-demo clean-train
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'
setup: $(VENV)/.complete ## make .venv from the pinned requirements
$(VENV)/.complete: requirements.txt requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("needs Python 3.11 to 3.13: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt -c requirements.lock && $(PIP) --no-deps -e . && touch $@
demo: setup ## all five stages at a small scale, with video and report; demo/seed$SEED
	sh recipes/demo.sh
train: setup ## three rounds of the five stages; train/seed$SEED/roundN
	sh recipes/train.sh
more: setup ## after make train: a fourth round, or ROUND=5 and so on
	sh recipes/more.sh
dream: setup ## after make train: a controller trained in dreams; train/seed$SEED/dreamN
	sh recipes/dream.sh
doom: setup ## Doom Take Cover, learned in dreams; games/doom_take_cover/seed$SEED/roundN
	$(PIP) -e '.[doom]' && sh recipes/doom.sh
pendulum: setup ## Pendulum from pixels, learned in dreams; games/pendulum/seed$SEED
	sh recipes/pendulum.sh
snake: setup ## the five stages in Snake; games/snake/seed$SEED
	sh recipes/snake.sh
drive: setup ## watch the pretrained agent, in a window or, without a display, in a video
	$(PY) model.py --seed $(SEED) $(if $(DISPLAY),--render_mode,--record_video) --filename $(wildcard pretrained/controller/*.best.json)
compare: setup ## score all existing agents on the same 100 tracks
	$(PY) experiments/studies/compare.py --folder train/seed$(SEED) --seed $(SEED)
check: setup ## style, import rule, types and unit tests, without training: two minutes
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(VENV)/bin/tach check && $(PY) -m mypy && $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"
test: setup ## all tests but the longest
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 20 -m "not long"
test-all: setup ## all tests, the longest too
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 20
bench: setup ## measure speeds and compare them with other implementations: docs/speed.md
	$(PIP) -e '.[bench]' && $(PY) experiments/benchmarks/bench.py
faults: setup ## kill every stage a hundred times, resume it, and check that nothing is lost
	$(PY) tests/faults/harness.py --kills 100
clean: ## remove caches and reports; data, weights and controllers stay
	rm -rf .pytest_cache .ruff_cache .mypy_cache report build *.egg-info && find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
clean-demo: ## list what demo/ holds; with CONFIRM=1, remove it
	@sh recipes/clean.sh demo
clean-train: ## list what train/ holds; with CONFIRM=1, remove it
	@sh recipes/clean.sh train
