# `make run` and `make test` set up what they need; README.md has the rest.

# Python 3.11 to 3.13: TensorFlow has no wheels for others. PYTHON=... names one.
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
IN_VENV := .venv/bin/python -m
LINT := $(IN_VENV) ruff check . && $(IN_VENV) ruff format --check --quiet . && .venv/bin/lint-imports --no-logo --no-cache
export DATA OUT
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))
export JUPYTER_PREFER_ENV_PATH := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test check lab app librispeech lock backends clean changed

# DATA: a folder with trs.pkl and tes.pkl, a corpus, or its table. CORPUS=librispeech: that one, fetched where it
# is missing. OUT: where results go. P: parameters, such as P="-p seed 1".
ifdef CORPUS
ifneq ($(CORPUS),librispeech)
$(error CORPUS=$(CORPUS) cannot be fetched; expected CORPUS=librispeech, or DATA=... with a folder)
endif
run: librispeech
override DATA := data/librispeech
endif
run: .venv/.helpers
	@$(IN_VENV) helpers.batch $${OUT:+--out "$$OUT"} $${DATA:+--data "$$DATA"} $(P)

# Everything: style, layers, tests, and all notebooks compared with their stored outputs.
test: .venv/.helpers
	@$(LINT)
	@$(IN_VENV) pytest --nbval -n 2 --dist loadfile --no-loadscope-reorder $(P)

# The same without what takes more than a few seconds, notebooks included.
check: .venv/.helpers
	@$(LINT)
	@$(IN_VENV) pytest tests -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder -q $(P)

librispeech: .venv/.helpers
	@$(IN_VENV) helpers.data.convert.librispeech

# Enrol, verify and search in the browser, on this machine alone; P="--port 8000" and others by P="--help".
app: .venv/.helpers
	@$(IN_VENV) helpers.app $${DATA:+--data "$$DATA"} $(P)

lab: .venv/.helpers
	@$(IN_VENV) jupyter lab notebooks

# One set of versions for every Python and system; needs uv.
lock:
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	  --no-header --quiet --output-file requirements.txt

# The tests marked `backend` under Keras's other backends, in an environment that borrows .venv's packages.
backends: .venv/.helpers .venv-backends/.stamp
	@for backend in jax torch; do echo "KERAS_BACKEND=$$backend"; \
	  KERAS_BACKEND=$$backend .venv-backends/bin/python -m pytest -m backend tests -n 2 --dist loadfile || exit 1; done

clean:
	rm -rf .venv .venv-backends *.egg-info .pytest_cache .ruff_cache

# The stamp holds the folder, as a virtual environment does not survive being moved, and the lock's checksum.
READY := $(CURDIR) $(shell cksum < requirements.txt)
ifneq ($(shell (.venv/bin/python -c pass && cat .venv/.stamp) 2>/dev/null),$(READY))
.venv/.stamp: changed
endif

.venv/.stamp:
	@rm -f $@
	@found=; bare=; for python in $(PYTHONS); do \
	  "$$python" -c '$(FITS)' 2>/dev/null || continue; \
	  "$$python" -c 'import ensurepip, venv' 2>/dev/null && found="$$python" && break; \
	  bare="$$python"; \
	done; \
	if [ -z "$$found" ] && [ -n "$$bare" ]; then \
	  echo "$$bare cannot make virtual environments: install its venv package (python3-venv)" >&2; exit 1; \
	elif [ -z "$$found" ]; then \
	  echo "No Python 3.11, 3.12 or 3.13 as $(PYTHONS): install one or name it, make PYTHON=..." >&2; exit 1; \
	fi; \
	echo "Setting up .venv with $$("$$found" --version): 3 GB, a few minutes" && \
	"$$found" -m venv --clear .venv
	@$(IN_VENV) pip install --quiet --require-hashes -r requirements.txt
	@echo '$(READY)' > $@

.venv/.helpers: .venv/.stamp pyproject.toml
	@$(IN_VENV) pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv-backends/.stamp: .venv/.stamp
	@echo "Setting up .venv-backends: JAX and PyTorch beside .venv's packages"
	@.venv/bin/python -m venv --clear .venv-backends
	@borrowed=$$(.venv/bin/python -c 'import site; print(site.getsitepackages()[0])') && \
	echo "import site; site.addsitedir(r'$$borrowed')" > \
	  "$$(.venv-backends/bin/python -c 'import site; print(site.getsitepackages()[0])')/borrowed.pth"
	@.venv-backends/bin/python -m pip install --quiet jax==0.10.2 torch==2.13.0
	@touch $@
