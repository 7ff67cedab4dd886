# Everything works on a fresh machine with Python >= 3.10, git and make.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := -m pytest -n 2 --dist loadfile
# Lines that the tests run in their own process; what nnU-Net's commands run is not counted.
COVERAGE := --cov --cov-report=
SHOW_COVERAGE := $(BIN)/coverage report --format=total | sed 's/.*/TOTAL coverage: & % of the lines/'
# nnU-Net takes all cores: threads that spin while they wait would take them from the other worker's tests.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test test-all test-matrix test-oldest test-newest lint docs bench bench-gpu bench-all bench-learning bench-pretraining bench-scanner bench-training-for-scanners bench-lifelong bench-segment

# PyTorch comes with its CUDA libraries, about 6 GB; it runs on a CPU as well.
.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

demo: .venv/installed
	$(BIN)/nnUNetv2_factorizer_demo

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# The manual as a site, in site/. A dead link, a dead anchor and a stale docstring are errors.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test: lint docs
	$(BIN)/python $(PYTEST) $(COVERAGE)
	@$(SHOW_COVERAGE)

test-all: lint docs
	$(BIN)/python $(PYTEST) $(COVERAGE) -m ''
	@$(SHOW_COVERAGE)

# What drives nnU-Net, with the oldest and the newest nnU-Net of the supported range: an environment of 6 GB each.
test-matrix: test-oldest test-newest
test-oldest: NNUNET := nnunetv2==2.8
test-newest: NNUNET := nnunetv2>=2.8,<3
test-oldest test-newest: test-%:
	test -x .venv-matrix/$*/bin/python || $(PYTHON) -m venv .venv-matrix/$*
	.venv-matrix/$*/bin/python -m pip install --quiet --upgrade --editable '.[test]' '$(NNUNET)'
	.venv-matrix/$*/bin/python $(PYTEST) tests/end_to_end tests/models tests/conformance tests/planning tests/training tests/pretraining

# Time and memory beside nnU-Net's U-Net: a quarter of an hour on two cores.
bench: .venv/installed
	$(BIN)/python -m benchmarks.cost -o cost.json

# What only a GPU can tell, in ten minutes on one: the section "On a GPU" of benchmarks/REPORT.md.
bench-gpu: .venv/installed
	$(BIN)/python -m benchmarks.gpu -o gpu.jsonl
	$(BIN)/python -m benchmarks.gpu report gpu.jsonl

# The learning benchmark: days on two cores, resumed where it was interrupted; what is in the repository is not trained again.
# The environment variables of nnU-Net must be set. A second and a third data set, and the controls, come last.
LEARNING := $(BIN)/python -m benchmarks.learning
TRAININGS := benchmarks/learning/trainings
bench-learning: .venv/installed
	$(LEARNING) run -o $(TRAININGS) --fold 0 --method nnU-Net "Conv + AdamW" "Swin + AdamW" "Swin + Muon"
	$(LEARNING) run -o $(TRAININGS) --fold 0 1 2 3 4 --method "nnU-Net + Muon" "Hybrid + Muon" "Hybrid without NMF + Muon" nnU-Net
	$(LEARNING) run -o $(TRAININGS) --seed 1 2 --method "nnU-Net + Muon" "Hybrid + Muon" "Hybrid without NMF + Muon"
	$(LEARNING) run -o $(TRAININGS) --iterations 1000 --fold 0 1 2 --method "nnU-Net + Muon" "Hybrid + Muon" \
	    "Hybrid without NMF + Muon" nnU-Net
	$(LEARNING) run -o $(TRAININGS) --data nuclei phantom --method nnU-Net "nnU-Net + Muon" "Hybrid + Muon" \
	    "Hybrid without NMF + Muon"
	$(LEARNING) run -o $(TRAININGS) --method "nnU-Net + AdamW" "Hybrid + AdamW" "nnU-Net + AvaGrad" "nnU-Net + SGD 0.1" \
	    ResEnc-M "ResEnc-M + Muon"
	$(LEARNING) table -o $(TRAININGS)

# Pre-training: some hours on two cores, resumed like the other. The environment variables of nnU-Net must be set.
bench-pretraining: .venv/installed
	$(BIN)/python -m benchmarks.pretraining run -o benchmarks/pretraining/runs
	$(BIN)/python -m benchmarks.pretraining table -o benchmarks/pretraining/runs

# A new scanner: the tables of docs/new_scanner.md, a day on two cores, resumed like the others.
SCANNER := $(BIN)/python -m benchmarks.scanner
ADAPTATIONS := benchmarks/scanner/adaptations
bench-scanner: .venv/installed
	$(LEARNING) run -o results/scanner_A --fold 0 --method "nnU-Net + Muon" "nnU-Net DA5 + Muon" "Hybrid + Muon"
	$(SCANNER) loss --method "nnU-Net + Muon" "nnU-Net DA5 + Muon"
	$(SCANNER) notice --method "nnU-Net + Muon" "Hybrid + Muon"
	$(SCANNER) style -o results/style
	$(SCANNER) adapt -o $(ADAPTATIONS)
	$(SCANNER) adapt -o $(ADAPTATIONS) --cases 1 8
	$(SCANNER) adapted -o $(ADAPTATIONS)

# Trainings for other scanners: the tables of docs/train_for_scanners.md, resumed like the others.
TRAINING_FOR_SCANNERS := benchmarks/training_for_scanners
bench-training-for-scanners: .venv/installed
	$(BIN)/python -m benchmarks.training_for_scanners run -o $(TRAINING_FOR_SCANNERS)/runs
	$(BIN)/python -m benchmarks.training_for_scanners table -o $(TRAINING_FOR_SCANNERS)/runs

# A pool of models over five stages, eight arms: resumed like the others.
bench-lifelong: .venv/installed
	$(BIN)/python -m benchmarks.lifelong run -o benchmarks/lifelong/runs
	$(BIN)/python -m benchmarks.lifelong table -o benchmarks/lifelong/runs

# Segmentation of single images without labels: the tables and pictures of docs/segment.md, resumed like the others.
SEGMENTS := benchmarks/segment/runs
bench-segment: .venv/installed
	$(BIN)/python -m benchmarks.segment run -o $(SEGMENTS)
	$(BIN)/python -m benchmarks.segment table -o $(SEGMENTS)
	$(BIN)/python -m benchmarks.segment figure -o $(SEGMENTS)

# The other tables of benchmarks/REPORT.md: hours on a CPU, see there for the environment they need.
bench-all: bench
	$(BIN)/python -m benchmarks.training_step
	$(BIN)/python -m benchmarks.choices
	$(BIN)/python -m benchmarks.hippocampus train -o results/hippocampus
	$(BIN)/python -m benchmarks.hippocampus table -o results/hippocampus
	$(BIN)/python -m benchmarks.search train -o results/search
	$(BIN)/python -m benchmarks.search table -o results/search
