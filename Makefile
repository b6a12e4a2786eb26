# make demo    everything at a small scale, in minutes; leaves its files in demo/
# make train   three rounds of everything, less than two hours, resumable; leaves its files in train/; make -n train shows them
# make more    after make train: a fourth round; leaves its files in train/*/round4
# make dream   after make train: a driver that learns in dreams alone, half an hour; leaves its files in train/*/dream*
# make drive   the driver of pretrained/ in a window; without a display, in a video
# make compare every driver that there is on the same 100 tracks, in one table
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
TRAIN = train/seed$(SEED)
# num_episode.population: tracks a generation and members
DEMO_SEARCH = $(ENV).cma.1.64
EARLY_SEARCH = $(ENV).cma.2.64
LATE_SEARCH = $(ENV).cma.4.64
new = $(if $(wildcard $(TRAIN)/$(1)/state.h5),,--new_model)

.PHONY: setup demo train more dream drive compare test bench faults clean

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
	cd $(DEMO) && $(PY) $(CURDIR)/05_train_controller.py $(ENV) -n 16 -t 4 -e 1 --generations 20 --eval_steps 4 --eval_episode 8 -s $(SEED) --new_model
	cd $(DEMO) && $(PY) $(CURDIR)/report.py all $(ENV) --filename controller/$(DEMO_SEARCH).best.json --num_episode 16 --seed $(SEED)
	cd $(DEMO) && $(PY) $(CURDIR)/model.py $(ENV) --filename controller/$(DEMO_SEARCH).best.json --seed $(SEED) --record_video
	@echo
	@echo "The video:    $(DEMO)/videos/$(DEMO_SEARCH).best.seed$(SEED).mp4"
	@echo "The pictures: $(DEMO)/report/index.html"
	@echo "Next:         make train    # three rounds, at full scale, in train/; or let this search go on:"
	@echo "              cd $(DEMO) && $(PY) $(CURDIR)/05_train_controller.py $(ENV) -n 16 -t 4 -e 1 --eval_steps 4 --eval_episode 8 -s $(SEED)"

# A round that learns on from the one before: data of that one's driver besides, then V, M and C from where they were.
# $(1) is its folder, $(2) the one before, $(3) the search before, $(4) the first new batch, $(5) and $(6) steps of V and M,
# $(7) generations and $(8) seed of the search.
define learn_on
	mkdir -p $(TRAIN)/$(1)
	cd $(TRAIN)/$(1) && test -d data || { rm -rf .data && cp -al $(2)/data .data && mv .data data; }
	cd $(TRAIN)/$(1) && $(PY) $(CURDIR)/01_generate_data.py $(ENV) --total_episodes 1000 --start_batch $(4) --seed $(SEED) --controller $(2)/controller/$(3).best.json
	cd $(TRAIN)/$(1) && $(PY) $(CURDIR)/02_train_vae.py $(call new,$(1)/vae) --init_weights $(2)/vae/weights.h5 --steps $(5) --seed $(SEED)
	cd $(TRAIN)/$(1) && $(PY) $(CURDIR)/03_generate_rnn_data.py
	cd $(TRAIN)/$(1) && $(PY) $(CURDIR)/04_train_rnn.py $(call new,$(1)/rnn) --init_weights $(2)/rnn/weights.h5 --batch_size 64 --steps $(6) --seed $(SEED)
	cd $(TRAIN)/$(1) && $(PY) $(CURDIR)/05_train_controller.py $(ENV) -n 16 -t 4 -e 4 --init_opt $(2)/controller/$(3).es.npz --sigma_init 0.05 --sigma_decay 0.97 --joint_steps 12 --generations $(7) --eval_steps 4 --eval_episode 64 -s $(8)
	cd $(TRAIN)/$(1) && $(PY) $(CURDIR)/model.py $(ENV) --filename controller/$(LATE_SEARCH).best.json --final_mode --seed $(SEED)
endef

# Rounds, as the paper proposes: a small one on random driving; then V, M and C learn anew, from its driver too; then all three
# learn on, from the second driver too, which goes where the first has hardly been: fast.
# Running it again goes on where it stopped, which is why nothing here says --new_model once a stage has begun.
train: $(VENV)/.complete
	mkdir -p $(TRAIN)/round1 $(TRAIN)/round2
	cd $(TRAIN)/round1 && $(PY) $(CURDIR)/01_generate_data.py $(ENV) --total_episodes 400 --batch_size 100 --seed $(SEED)
	cd $(TRAIN)/round1 && $(PY) $(CURDIR)/02_train_vae.py $(call new,round1/vae) --steps 1000 --seed $(SEED)
	cd $(TRAIN)/round1 && $(PY) $(CURDIR)/03_generate_rnn_data.py
	cd $(TRAIN)/round1 && $(PY) $(CURDIR)/04_train_rnn.py $(call new,round1/rnn) --batch_size 32 --steps 300 --seed $(SEED)
	cd $(TRAIN)/round1 && $(PY) $(CURDIR)/05_train_controller.py $(ENV) -n 16 -t 4 -e 2 --generations 12 --eval_steps 4 --eval_episode 16 -s $(SEED)
	cd $(TRAIN)/round2 && $(PY) $(CURDIR)/01_generate_data.py $(ENV) --total_episodes 1000 --seed $(SEED)
	cd $(TRAIN)/round2 && $(PY) $(CURDIR)/01_generate_data.py $(ENV) --total_episodes 1000 --start_batch 5 --seed $(SEED) --controller ../round1/controller/$(EARLY_SEARCH).best.json
	cd $(TRAIN)/round2 && $(PY) $(CURDIR)/02_train_vae.py $(call new,round2/vae) --steps 4000 --seed $(SEED)
	cd $(TRAIN)/round2 && $(PY) $(CURDIR)/03_generate_rnn_data.py
	cd $(TRAIN)/round2 && $(PY) $(CURDIR)/04_train_rnn.py $(call new,round2/rnn) --batch_size 64 --steps 1000 --seed $(SEED)
	cd $(TRAIN)/round2 && $(PY) $(CURDIR)/05_train_controller.py $(ENV) -n 16 -t 4 -e 2 --generations 24 --eval_steps 4 --eval_episode 64 -s $(SEED)
	$(call learn_on,.,round2,$(EARLY_SEARCH),10,1500,600,36,$(SEED))

# The search of the fourth round has a seed of its own: other tracks than those of the third.
more: $(VENV)/.complete
	$(call learn_on,round4,..,$(LATE_SEARCH),15,2500,800,12,$(SEED)4)

# One round of dreams after the other, from V and M of the second round on. A dream's driver is fast where M has never been,
# so every round shows M what really comes of it: 200 episodes of the best driver so far and 200 of the last one, which had
# learned to fool the dream.
# $(1) is the round, $(2) the folder before it, $(3) and $(4) the numbers of its two batches.
dream_driver = controller/$(ENV)_dream.cma.2.64.$(1).json
dream_search = cd $(TRAIN)/$(1) && $(PY) $(CURDIR)/05_train_controller.py $(ENV) -n 16 -t 4 -e 2 --dream_mode --generations 10 --eval_steps 1 -s $(SEED)
define dream_round
	mkdir -p $(TRAIN)/dream$(1)
	cd $(TRAIN)/dream$(1) && test -d data || { rm -rf vae .data && cp -al ../$(2)/vae . && cp -al ../$(2)/data .data && mv .data data; }
	cd $(TRAIN)/dream$(1) && $(PY) $(CURDIR)/01_generate_data.py $(ENV) --start_batch $(3) --seed $(SEED) --controller ../$(2)/$(call dream_driver,best)
	cd $(TRAIN)/dream$(1) && $(PY) $(CURDIR)/01_generate_data.py $(ENV) --start_batch $(4) --seed $(SEED) --controller ../$(2)/$(call dream_driver,current)
	cd $(TRAIN)/dream$(1) && $(PY) $(CURDIR)/03_generate_rnn_data.py
	cd $(TRAIN)/dream$(1) && $(PY) $(CURDIR)/04_train_rnn.py $(call new,dream$(1)/rnn) --init_weights ../$(2)/rnn/weights.h5 --batch_size 64 --steps 200 --seed $(SEED)
	$(call dream_search,dream$(1))
endef

dream: $(VENV)/.complete
	$(call dream_search,round2)
	$(call dream_round,1,round2,10,11)
	$(call dream_round,2,dream1,12,13)
	cd $(TRAIN)/dream2 && $(PY) $(CURDIR)/model.py $(ENV) --filename $(call dream_driver,best) --final_mode --seed $(SEED)
	cd $(TRAIN)/dream2 && $(PY) $(CURDIR)/model.py $(ENV) --filename $(call dream_driver,dream_best) --final_mode --seed $(SEED)

test: $(VENV)/.complete
	$(PY) -m pytest -n 2 --dist loadfile

bench: $(VENV)/.complete
	$(PY) -m pip install --disable-pip-version-check --quiet -r benchmarks/requirements.txt
	$(PY) benchmarks/bench.py

drive: $(VENV)/.complete
	$(PY) model.py $(ENV) --filename $(wildcard pretrained/controller/*.best.json) --seed $(SEED) $(if $(DISPLAY),--render_mode,--record_video)

compare: $(VENV)/.complete
	$(PY) studies/compare.py --folder $(TRAIN) --seed $(SEED)

faults: $(VENV)/.complete
	$(PY) tests/faults/harness.py --kills 100

clean:
	rm -rf demo data vae/*.h5 vae/*.json vae/log.csv rnn/*.h5 rnn/*.json rnn/log.csv controller/*.json controller/*.npz baselines/*.h5 baselines/*.json baselines/*.npz baselines/*.png log videos report
