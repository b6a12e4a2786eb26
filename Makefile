# make demo    everything at a small scale, in minutes; leaves its files in demo/
# make train   everything at the tutorial's scale, resumable; leaves its files here; make -n train shows the commands
# make test    all tests
# make bench   every speed beside somebody else's, in one table: benchmarks/RESULTS.md; ten minutes on two idle cores
# make faults  kills every stage a hundred times, starts it again, and looks for what was lost; more than an hour
# make setup   .venv from the pinned requirements (the other targets call it when needed)

PYTHON ?= python3
SEED ?= 0
ENV = car_racing
VENV = .venv
PY = $(CURDIR)/$(VENV)/bin/python
DEMO = demo/seed$(SEED)

.PHONY: setup demo train test bench faults clean

setup: $(VENV)/.complete

# The lock file settles every version that requirements.txt leaves open. The stamp comes last: half a setup is none.
$(VENV)/.complete: requirements.txt requirements.lock
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("needs Python 3.11 to 3.13: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet -r requirements.txt -c requirements.lock
	touch $@

demo: $(VENV)/.complete
	mkdir -p $(DEMO)
	cd $(DEMO) && $(PY) $(CURDIR)/01_generate_data.py $(ENV) --total_episodes 400 --batch_size 100 --seed $(SEED)
	cd $(DEMO) && $(PY) $(CURDIR)/02_train_vae.py --new_model --steps 1000 --seed $(SEED)
	cd $(DEMO) && $(PY) $(CURDIR)/03_generate_rnn_data.py
	cd $(DEMO) && $(PY) $(CURDIR)/04_train_rnn.py --new_model --batch_size 32 --steps 300 --seed $(SEED)
	cd $(DEMO) && $(PY) $(CURDIR)/05_train_controller.py $(ENV) -n 16 -t 4 -e 2 --generations 12 --eval_steps 4 --eval_episode 8 -s $(SEED) --new_model
	cd $(DEMO) && $(PY) $(CURDIR)/report.py $(ENV) --filename controller/$(ENV).cma.2.64.best.json --num_episode 16 --seed $(SEED)
	cd $(DEMO) && $(PY) $(CURDIR)/model.py $(ENV) --filename controller/$(ENV).cma.2.64.best.json --seed $(SEED) --record_video
	@echo
	@echo "The video:    $(DEMO)/videos/$(ENV).cma.2.64.best.seed$(SEED).mp4"
	@echo "The pictures: $(DEMO)/report/reconstructions.png and $(DEMO)/report/learning_curve.png"
	@echo "Next:         make train    # the same at full scale, in this folder; or let this search go on:"
	@echo "              cd $(DEMO) && $(PY) $(CURDIR)/05_train_controller.py $(ENV) -n 16 -t 4 -e 2 --eval_steps 4 --eval_episode 8 -s $(SEED)"

# Running it again goes on where it stopped, which is why nothing here says --new_model once a stage has begun.
train: $(VENV)/.complete
	$(PY) 01_generate_data.py $(ENV) --total_episodes 2000 --start_batch 0 --time_steps 300
	$(PY) 02_train_vae.py $(if $(wildcard vae/state.h5),,--new_model) --N 2000 --epochs 10
	$(PY) 03_generate_rnn_data.py
	$(PY) 04_train_rnn.py $(if $(wildcard rnn/state.h5),,--new_model) --batch_size 100 --steps 4000
	$(PY) 05_train_controller.py $(ENV) --num_worker 16 --num_worker_trial 4 --num_episode 2 --eval_steps 10 --generations 100

test: $(VENV)/.complete
	$(PY) -m pytest

bench: $(VENV)/.complete
	$(PY) -m pip install --disable-pip-version-check --quiet -r benchmarks/requirements.txt
	$(PY) benchmarks/bench.py

faults: $(VENV)/.complete
	$(PY) tests/faults/harness.py --kills 100

clean:
	rm -rf demo data vae/*.h5 vae/*.json vae/log.csv rnn/*.h5 rnn/*.json rnn/log.csv controller/*.json controller/*.npz baselines/*.h5 baselines/*.json baselines/*.npz baselines/*.png log videos report
