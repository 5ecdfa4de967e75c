# Every target sets up .venv first, once. `make help` lists the targets.
# PYTHON is the interpreter for .venv; PIP_ARGS is passed to pip.

PYTHON ?= python3
PIP_ARGS ?=
MINUTES ?= 4.5
FACES ?= 700
# CelebAMask-HQ, a folder or CelebAMask-HQ.zip; synthetic faces if empty.
DATA ?=
# A folder of photos with marked faces, for `make bench`; see benchmarks/real_photos.py.
PHOTOS ?=
# A folder of portraits, for `make bench`; see benchmarks/small_faces.py.
PORTRAITS ?=
# Python of an environment with MediaPipe, for `make bench`; see benchmarks/inference_speed.py.
MEDIAPIPE ?=
# Port and more options of Voilà, for `make app`.
PORT ?= 8866
APP_ARGS ?=

BIN := .venv/bin
# Two test processes, one core each.
PARALLEL := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile
INSTALLED := .venv/.installed
TRAIN := $(BIN)/python face_segmentation.py --minutes $(MINUTES) --num-synthetic $(FACES) --split test
# Made first, because lessons that run in parallel would print that they wait for each other.
LESSON_DATA = $(BIN)/python -c "from facesegkit.course import lesson_data as d, my_parser; \
    d.lesson_data(annotator='careless'); d.lesson_cache(d.lesson_data()); my_parser.unseen_faces()"
PHOTO = $(if $(DATA),figures/astronaut.jpg,data/synthetic/CelebA-HQ-img/55.jpg)

.PHONY: help run test stress lab app book bench notebooks exercises figures clean

help: ## print this list
	@echo "Usage: make TARGET [DATA=CelebAMask-HQ]"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1 \2/p' Makefile | \
	    while read -r target about; do printf '  %-10s %s\n' "$$target" "$$about"; done

run: $(INSTALLED) ## train on synthetic faces (or on DATA), evaluate, and segment a photo
	$(TRAIN) $(if $(DATA),--data "$(DATA)")
	$(BIN)/python inference.py --image "$(PHOTO)" --view panel $(if $(DATA),,--aligned)

test: $(INSTALLED) ## check style and types, run all tests and notebooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(LESSON_DATA)
	$(PARALLEL) -m "not alone"
	$(BIN)/pytest -m alone
	$(PARALLEL) -p no:randomly --nbval-lax --nbval-current-env --nbval-cell-timeout 300 \
	    notebooks/*.ipynb notebooks/solutions

stress: $(INSTALLED) ## run stress tests, coverage, mutation tests and other environments (hours)
	$(BIN)/python benchmarks/stress.py
	$(BIN)/python benchmarks/model_fuzz.py --minutes 10 --keep
	$(BIN)/python -m pip install --quiet mutmut==3.8.1 coverage==7.17.3
	$(BIN)/python benchmarks/line_coverage.py
	$(BIN)/python benchmarks/mutants.py
	$(BIN)/python benchmarks/environments.py

# It serves the whole project, because lessons link to files outside of notebooks/.
lab: $(INSTALLED) ## start the course in JupyterLab
	$(BIN)/jupyter lab --notebook-dir . --preferred-dir notebooks

# docs/deploy.md explains the limits. The explorer sends photos in pieces of 1 MB.
app: $(INSTALLED) ## start the explorer alone, as a web page (PORT=8866)
	$(BIN)/voila facesegkit/course/explorer/app.ipynb --port $(PORT) $(APP_ARGS) \
	    --Voila.tornado_settings='{"websocket_max_message_size": 4000000}' \
	    --MappingKernelManager.cull_idle_timeout=900 \
	    --MappingKernelManager.cull_interval=60

book: $(INSTALLED) ## build the course and docs as a web site, in build/book
	$(BIN)/python docs/book/build.py

bench: $(INSTALLED) ## repeat the benchmarks, except long training runs
	$(BIN)/python benchmarks/model_costs.py
	$(BIN)/python benchmarks/inference_speed.py $(if $(MEDIAPIPE),--mediapipe "$(MEDIAPIPE)")
	$(BIN)/python benchmarks/video_speed.py
	$(BIN)/python benchmarks/batch_speed.py --keep
	$(BIN)/python benchmarks/worst_case.py
	$(BIN)/python benchmarks/crowds.py
	$(BIN)/python benchmarks/synthesis_speed.py
	$(BIN)/python benchmarks/explorer_memory.py --keep
	$(if $(DATA),,$(BIN)/facesegkit synthesize data/synthetic --count $(FACES))
	$(BIN)/python benchmarks/prepare_speed.py --data "$(or $(DATA),data/synthetic)"
	$(if $(DATA),$(BIN)/python benchmarks/any_photo.py --data "$(DATA)" --split test --keep)
	$(if $(DATA),$(BIN)/python benchmarks/any_photo.py --data "$(DATA)" --split test --keep \
	    --model separable-synthetic)
	$(if $(DATA),$(BIN)/python benchmarks/hard_photos.py --data "$(DATA)" --split test --keep)
	$(if $(PHOTOS),$(BIN)/python benchmarks/calibration.py --photos "$(PHOTOS)" --keep)
	$(if $(PHOTOS),$(BIN)/python benchmarks/real_photos.py --photos "$(PHOTOS)" --keep)
	$(if $(PORTRAITS),$(BIN)/python benchmarks/small_faces.py --portraits "$(PORTRAITS)" --keep)
	$(BIN)/python benchmarks/train_detector.py --cards
	$(if $(DATA),$(BIN)/python benchmarks/conditions.py --data "$(DATA)" --keep)
	$(BIN)/python benchmarks/model_cards.py --cards
	$(BIN)/python benchmarks/readme_tables.py

notebooks: $(INSTALLED) ## run lessons and solutions, and save their outputs
	$(LESSON_DATA)
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	    --ExecutePreprocessor.record_timing=False \
	    --ExecutePreprocessor.store_widget_state=False \
	    --Exporter.preprocessors=nbconvert.preprocessors.CoalesceStreamsPreprocessor \
	    notebooks/*.ipynb notebooks/solutions/*.ipynb
	$(MAKE) exercises figures

exercises: $(INSTALLED) ## generate notebooks/exercises/ from notebooks/solutions/
	$(BIN)/python notebooks/solutions/make_exercises.py

figures: $(INSTALLED) ## generate the images in figures/
	$(BIN)/python figures/make_figures.py
	$(BIN)/python figures/make_logo.py

$(INSTALLED): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

clean: ## remove .venv, synthetic faces, caches and the evaluation
	rm -rf .venv data/synthetic data/cache evaluation
