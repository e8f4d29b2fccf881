"""Inspects model folders: lists the files of a model, and explains why a folder cannot be used.

Reads file names and small JSON files, never weights. The network is used only for hub names.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from pathlib import Path

from curate.engines.models.archives import check_inflated
from curate.engines.models.configuration import check_sizes
from curate.engines.models.json_files import read_object
from curate.engines.models.tokenizer_files import has_tokenizer, tokenizer_files
from curate.engines.models.weight_files import INDEX, ORIGIN, SHAPES, SINGLE, read_header, shards, weight_files
from curate.schemas.errors import InputError, first_line

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
HUB_PREFIX = "hub:"

WEIGHTS = (SINGLE, INDEX)
GENERATION = "generation_config.json"
GGUF_MAGIC = b"GGUF"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
SLICEGPT_KEYS = {"embedding_dimensions", "attention_input_dimensions"}

HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt", "*.py"]


def resolve_model(name: str) -> Path:
    """Return the local folder of a model given as a folder or as a hub name.

    A hub name is ``owner/name`` or ``owner/name@revision`` where no such path exists and ``owner`` is not a local
    folder either, or anything after ``hub:``. The model is taken from the local cache or downloaded;
    ``HF_HUB_OFFLINE`` restricts it to the cache.

    Raises
    ------
    InputError
        If there is no such folder, or the hub does not provide the model.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise InputError(_file_message(path))
    hub = name.removeprefix(HUB_PREFIX)
    # A relative path such as runs/model has the form of a hub name; an existing parent folder marks a path.
    looks_local = not name.startswith(HUB_PREFIX) and (not HUB_NAME.fullmatch(name) or Path(name).parent.exists())
    if looks_local:
        raise InputError(f"there is no model folder {name!r}; give a Hugging Face folder, owner/name or hub:name")
    return _download(hub)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=HUB_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = first_line(error)
        raise InputError(
            f"model {name!r} is neither a local folder nor available from the model hub ({reason}); "
            "check the name, or download it and give its folder"
        ) from error
    if not any(folder.glob("*.safetensors")):
        # A repository may hold dozens of GGUF files, each of gigabytes: which one is for its user to say.
        raise InputError(
            f"model {name!r} has no safetensors on the model hub; download its .gguf file, or its folder with the .bin "
            "weights, and give the path, which is converted once"
        )
    return folder


def model_files(name: str) -> list[Path]:
    """Return the files that define a model: configuration, weights, tokenizer, adapter and its base.

    Parameters
    ----------
    name : str
        Folder or hub name.

    Returns
    -------
    list of Path
        Sorted within each folder; a base model's files follow its adapter's.

    Raises
    ------
    InputError
        If the folder cannot be used; the message says why and what to do.
    """
    folder = resolve_model(name)
    if is_adapter(folder):
        own = [folder / ADAPTER_CONFIG, folder / ADAPTER_WEIGHTS, *tokenizer_files(folder)]
        return sorted(own) + model_files(adapter_base(folder))
    check_folder(folder)
    weights = weight_files(folder) if (folder / SINGLE).is_file() else [folder / INDEX, *shards(folder / INDEX)]
    # With trust_remote_code these files decide what the model computes.
    remote_code = sorted(folder.glob("*.py"))
    about_weights = [folder / name for name in (SHAPES, ORIGIN) if (folder / name).is_file()]
    return sorted([folder / "config.json", *weights, *tokenizer_files(folder), *remote_code, *about_weights])


def generation_files(name: str) -> list[Path]:
    """Return the files that decide what a model generates: those of `model_files`, and its generation settings.

    End tokens and penalties are in a file of their own, which likelihoods and training do not depend on.
    """
    settings = generation_settings(name)
    return model_files(name) + ([] if settings is None else [settings])


def generation_settings(name: str) -> Path | None:
    """Return the file of a model's generation settings, or of its adapter's base; None if there is none."""
    base = resolve_model(name)
    while is_adapter(base):
        base = resolve_model(adapter_base(base))
    settings = base / GENERATION
    return settings if settings.is_file() else None


def tokenizer_folder(folder: Path) -> Path | None:
    """Return `folder`, or the base of the adapter in it, whichever has a tokenizer; None if neither has."""
    if has_tokenizer(folder):
        return folder
    return tokenizer_folder(resolve_model(adapter_base(folder))) if is_adapter(folder) else None


def is_adapter(folder: Path) -> bool:
    """Return whether `folder` holds a PEFT adapter rather than a model.

    Raises
    ------
    InputError
        If the adapter has no safetensors weights, or these are damaged.
    """
    if not (folder / ADAPTER_CONFIG).is_file():
        return False
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise InputError(f"adapter folder {str(folder)!r} has no {ADAPTER_WEIGHTS}; save the adapter as safetensors")
    read_header(folder / ADAPTER_WEIGHTS)
    return True


def adapter_base(folder: Path) -> str:
    """Return the base model that the adapter in `folder` was trained on, as its configuration names it.

    Raises
    ------
    InputError
        If it names none, or the adapters below it form a cycle.
    """
    base = _named_base(folder)
    # Every walk from an adapter to its base comes through here, so that none can go round in circles.
    chain, below = [folder], Path(base).expanduser()
    while below.is_dir() and is_adapter(below):
        chain.append(below)
        if below.resolve() in {other.resolve() for other in chain[:-1]}:
            cycle = " → ".join(repr(str(other)) for other in chain)
            raise InputError(
                f"adapter folder {str(folder)!r} has no model below it, its bases form a cycle ({cycle}); "
                f"set base_model_name_or_path in {ADAPTER_CONFIG} to the model that it was trained on"
            )
        below = Path(_named_base(below)).expanduser()
    return base


def _named_base(folder: Path) -> str:
    base = read_object(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not base or not isinstance(base, str):
        raise InputError(
            f"adapter folder {str(folder)!r} does not name its base model; "
            f"set base_model_name_or_path in its {ADAPTER_CONFIG}"
        )
    return base


def check_folder(folder: Path) -> None:
    """Check that `folder` holds a causal language model in safetensors.

    Raises
    ------
    InputError
        Naming what it holds instead: a SliceGPT model, pickled weights, a pickled module, or no weights; or the file
        that is damaged, or claims more than the weight files hold.
    """
    if (folder / "config.json").is_file() and any((folder / name).is_file() for name in WEIGHTS):
        check_sizes(folder)
        return
    if _is_slicegpt(folder):
        raise InputError(
            f"model folder {str(folder)!r} holds a SliceGPT model, whose layers no stock model class can load; "
            "give a model compressed by another method, for example curate compress"
        )
    pickles = _pickles(folder)
    if pickles:
        raise InputError(_pickle_message(pickles[0]))
    missing = "config.json" if any((folder / name).is_file() for name in WEIGHTS) else "weights (model.safetensors)"
    raise InputError(f"model folder {str(folder)!r} has no {missing}; give the folder that save_pretrained wrote")


def _is_slicegpt(folder: Path) -> bool:
    """Return whether a JSON file lists the sliced widths of each layer, as SliceGPT writes next to its pickle."""
    return any(SLICEGPT_KEYS <= _keys(path) for path in sorted(folder.glob("*.json")))


def _keys(path: Path) -> set[str]:
    try:
        return set(read_object(path))
    except InputError:  # a folder without weights is rejected anyway, for what it lacks
        return set()


def _pickles(folder: Path) -> list[Path]:
    return sorted(path for pattern in PICKLES for path in folder.glob(pattern))


def _pickle_message(path: Path) -> str:
    check_inflated(path)
    what = "is a whole pickled module, as LLM-Pruner writes them" if _holds_module(path) else "is a pickle"
    return (
        f"model file {str(path)!r} {what}: opening it can run any code; add --trust-pickle if you trust its source, "
        "or save the model as safetensors with save_pretrained(DIR) and give DIR"
    )


def _file_message(path: Path) -> str:
    """Return what a file is that was given as a model, and what to give instead."""
    if is_pickle(path):
        return _pickle_message(path)
    name = f"model file {str(path)!r}"
    if path.suffix == ".safetensors":
        return f"{name} holds weights only; give its folder, {str(path.parent)!r}, with config.json and the tokenizer"
    if _begins_with(path, GGUF_MAGIC):
        return f"{name} is a GGUF file; give it to a command, which converts it once, under a name that ends in .gguf"
    return f"{name} is no model; give a Hugging Face folder, a .gguf file, owner/name or hub:name"


def is_pickle(path: Path) -> bool:
    """Return whether a file is a pickle by its content: a zip with one, as torch writes it, or a bare one."""
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        # The opcode PROTO, with which every pickle since protocol 2 begins.
        return _begins_with(path, b"\x80")


def _begins_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False


def find_pickle(path: Path) -> Path | None:
    """Return the pickle that `path` is, or the only one in a folder without safetensors; None otherwise."""
    if path.is_file():
        return path if is_pickle(path) else None
    if not path.is_dir() or any((path / name).is_file() for name in WEIGHTS):
        return None
    pickles = _pickles(path)
    return pickles[0] if len(pickles) == 1 else None


def _holds_module(path: Path) -> bool:
    """Return whether a torch pickle refers to model classes. Only the opcodes are read; nothing is executed."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            opcodes = list(pickletools.genops(archive.read(member)))
    except (zipfile.BadZipFile, StopIteration, ValueError, OSError):
        return False
    names = [str(value) for opcode, value, _ in opcodes if opcode.name in {"GLOBAL", "SHORT_BINUNICODE", "BINUNICODE"}]
    return any(name.startswith(("transformers.", "torch.nn.modules", "LLMPruner", "peft.")) for name in names)
