"""Models on a Hugging Face hub: `hf:USER/MODEL` is fetched as data (safetensors and JSON) and checked when opened; nothing of it runs."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path

from gerund.core import progress
from gerund.core.errors import ModelError, UsageError, first_line, needs

HUB_PREFIX = "hf:"
MODEL_NAME = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?")
GRAPHS = [f"{name}{suffix}" for name in ("backbone", "backbone-int8", "head") for suffix in (".xml", ".bin")]
MODEL_FILES = ["config.json", "*.safetensors", *GRAPHS, "README.md"]
"""All that a model folder may hold; whatever else is in a repository is neither sent nor fetched."""
HUB_TIMEOUT = 5.0
"""Seconds to wait for the hub to answer at all; its client would try for most of a minute."""


def is_remote(model: str | Path) -> bool:
    return str(model).startswith(HUB_PREFIX)


def fetch_model(model: str) -> Path:
    """The folder on this machine with a hub's `hf:USER/MODEL[@REVISION]`; without a connection, the one fetched before.

    The hub is the one in $HF_ENDPOINT, a private model needs $HF_TOKEN. Raises UsageError for a name that is none, ModelError when
    the model cannot be had.
    """
    repository, revision = repository_and_revision(model)
    with needs("huggingface_hub", "hub", f"{model} lies on a hub"):
        from huggingface_hub import constants, snapshot_download, utils
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if progress.is_quiet():
        utils.disable_progress_bars()
    offline = not reachable()
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=MODEL_FILES, local_files_only=offline))
    except RevisionNotFoundError:
        raise ModelError(f"{model}: the model has no revision {revision or 'main'}") from None
    except RepositoryNotFoundError:
        raise ModelError(
            f"{model}: no such model at {constants.ENDPOINT}, or a private one; check the name, or set HF_TOKEN"
        ) from None
    except HfHubHTTPError as error:
        raise ModelError(f"{model}: {constants.ENDPOINT} answers {first_line(error)}") from None
    except Exception as error:  # the client's transport has errors of its own, others in every version
        if offline:
            raise ModelError(
                f"{model}: not on this machine, and {constants.ENDPOINT} cannot be reached; connect once, or copy the model folder here"
            ) from None
        raise ModelError(f"{model}: not fetched whole ({first_line(error)}); try again, what has arrived is kept") from None


def send(folder: Path, repository: str, *, private: bool) -> str:
    """Put a model folder into a repository, made if needed; returns its address. Raises UsageError or ModelError when it is refused."""
    if MODEL_NAME.fullmatch(repository) is None or "@" in repository:
        raise UsageError(f"{repository}: write USER/MODEL")
    with needs("huggingface_hub", "hub", f"{repository} is to lie on a hub"):
        from huggingface_hub import HfApi, constants, get_token
        from huggingface_hub.errors import HfHubHTTPError

    if get_token() is None:
        raise UsageError(f"no token for {constants.ENDPOINT}; set HF_TOKEN to one that may write, or run: hf auth login")
    if not reachable():
        raise ModelError(f"{constants.ENDPOINT} cannot be reached; {folder} was not sent")
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, allow_patterns=MODEL_FILES, commit_message="Upload a gerund model"
        )
    except HfHubHTTPError as error:
        raise ModelError(f"{repository}: {constants.ENDPOINT} refuses it ({first_line(error)})") from None
    except Exception as error:  # as above
        raise ModelError(f"{repository}: not sent whole ({first_line(error)}); try again") from None
    return f"{constants.ENDPOINT}/{repository}"


def repository_and_revision(model: str) -> tuple[str, str | None]:
    """The repository and revision in `hf:USER/MODEL[@REVISION]`."""
    match = MODEL_NAME.fullmatch(model.removeprefix(HUB_PREFIX))
    if match is None:
        raise UsageError(f"{model}: write hf:USER/MODEL, or hf:USER/MODEL@REVISION")
    return match["repository"], match["revision"]


def reachable() -> bool:
    """Whether the hub answers at all, whatever it says."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=HUB_TIMEOUT).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
