# Everything sets up .venv by itself, once. What can be said:
#   make run                        draw faces, train on them, score, segment one
#   make run DATA=CelebAMask-HQ     the same on the data set (a folder or CelebAMask-HQ.zip)
#   make test                       style, types, tests, notebooks
#   make lab                        JupyterLab on notebooks/
#   make bench                      remake the results in benchmarks/, but for long trainings;
#                                   MEDIAPIPE=its python adds the rival (benchmarks/inference_speed.py)
#   make stress                    what takes hours: more damage and interruptions, small faults
#                                   put into the code, other circumstances for the tests
#   make notebooks                  run lessons and solutions, keep their outputs, and remake
#                                   exercises and figures
#   make exercises                  make notebooks/exercises/ from notebooks/solutions/
#   make figures                    remake the pictures in figures/
# PYTHON picks the interpreter, PIP_ARGS goes to pip (the README says when that pays on Linux).

PYTHON ?= python3
PIP_ARGS ?=
MINUTES ?= 4.5
FACES ?= 700
DATA ?=
MEDIAPIPE ?=

BIN := .venv/bin
# Two tests side by side, each on a core of its own.
PARALLEL := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile
INSTALLED := .venv/.installed
TRAIN := $(BIN)/python face_segmentation.py --minutes $(MINUTES) --num-synthetic $(FACES) --split test
# First, or lessons that run side by side would say that they wait for each other.
LESSON_DATA = $(BIN)/python -c "from facesegkit.course.lesson_data import *; lesson_cache(lesson_data())"
PHOTO = $(if $(DATA),figures/astronaut.jpg,data/synthetic/CelebA-HQ-img/55.jpg)

.PHONY: run test stress lab bench figures notebooks exercises clean

run: $(INSTALLED)
	$(TRAIN) $(if $(DATA),--data "$(DATA)")
	$(BIN)/python inference.py --image "$(PHOTO)" --view panel $(if $(DATA),,--aligned)

test: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(LESSON_DATA)
	$(PARALLEL) -m "not alone"
	$(BIN)/pytest -m alone
	$(PARALLEL) -p no:randomly --nbval-lax --nbval-current-env --nbval-cell-timeout 300 \
	    notebooks/*.ipynb notebooks/solutions

stress: $(INSTALLED)
	$(BIN)/python benchmarks/stress.py
	$(BIN)/python -m pip install --quiet mutmut==3.8.1 coverage==7.17.3
	$(BIN)/python benchmarks/line_coverage.py
	$(BIN)/python benchmarks/mutants.py
	$(BIN)/python benchmarks/environments.py

# Photos are uploaded to the explorer in one message each; by default that may have 10 MB.
lab: $(INSTALLED)
	$(BIN)/jupyter lab --notebook-dir notebooks \
	    --ServerApp.tornado_settings='{"websocket_max_message_size": 100000000}'

bench: $(INSTALLED)
	$(BIN)/python benchmarks/model_costs.py
	$(BIN)/python benchmarks/inference_speed.py $(if $(MEDIAPIPE),--mediapipe "$(MEDIAPIPE)")
	$(BIN)/python benchmarks/video_speed.py
	$(BIN)/python benchmarks/synthesis_speed.py
	$(if $(DATA),,$(BIN)/facesegkit synthesize data/synthetic --count $(FACES))
	$(BIN)/python benchmarks/prepare_speed.py --data "$(or $(DATA),data/synthetic)"
	$(if $(DATA),$(BIN)/python benchmarks/any_photo.py --data "$(DATA)" --split test --keep)
	$(if $(DATA),$(BIN)/python benchmarks/any_photo.py --data "$(DATA)" --split test --keep \
	    --model separable-synthetic)
	$(if $(DATA),$(BIN)/python benchmarks/hard_photos.py --data "$(DATA)" --split test --keep)
	$(BIN)/python benchmarks/train_detector.py --card
	$(BIN)/python benchmarks/ship_weights.py --cards
	$(BIN)/python benchmarks/readme_tables.py

notebooks: $(INSTALLED)
	$(LESSON_DATA)
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	    --ExecutePreprocessor.record_timing=False \
	    --ExecutePreprocessor.store_widget_state=False \
	    --Exporter.preprocessors=nbconvert.preprocessors.CoalesceStreamsPreprocessor \
	    notebooks/*.ipynb notebooks/solutions/*.ipynb
	$(MAKE) exercises figures

exercises: $(INSTALLED)
	$(BIN)/python -m facesegkit.course.exercises

figures: $(INSTALLED)
	$(BIN)/python figures/make_figures.py

$(INSTALLED): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

clean:
	rm -rf .venv data/synthetic data/cache evaluation
