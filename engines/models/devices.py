"""Where a model runs and in which number format. Knows nothing of models."""

from __future__ import annotations

import torch

from curate.schemas.errors import UsageError, did_you_mean

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def resolve_device(name: str) -> torch.device:
    """Return the device that `name` means.

    Parameters
    ----------
    name : str
        ``"auto"`` (the first CUDA device, else the CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or any other device
        string of torch.

    Raises
    ------
    UsageError
        When torch does not know the name, or the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r} is not one; give auto, cpu, cuda or cuda:1") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device {name!r} is not on this machine, which has {torch.cuda.device_count()} CUDA devices; "
            "give --device auto or cpu"
        )
    return device


def training_device_count(name: str) -> int:
    """Return how many devices train where `name` was asked for: every CUDA device of this machine for a bare name."""
    bare = name in ("auto", "cuda")
    return max(1, torch.cuda.device_count()) if bare else 1


def pair_devices(name: str) -> tuple[torch.device, torch.device]:
    """Return the devices of the original and of the compressed model: the same, or two parted by a comma.

    Raises
    ------
    UsageError
        As `resolve_device`, for each; also for more than two.
    """
    names = name.split(",")
    if len(names) > 2:
        raise UsageError(
            f"device {name!r} names {len(names)} devices; give one, or the original's and the compressed's"
        )
    return resolve_device(names[0].strip()), resolve_device(names[-1].strip())


def worker_devices(name: str, workers: int | None) -> list[str]:
    """Return the device of each process that scores parts.

    Parameters
    ----------
    name : str
        As `pair_devices`. ``"auto"`` and ``"cuda"`` leave the choice of the CUDA devices to the workers, one each; the
        CPU is shared; a device with a number, or a pair of them, is one worker's.
    workers : int or None
        How many, ≥ 1; None for every CUDA device where the choice is free, and one elsewhere.

    Raises
    ------
    UsageError
        As `pair_devices`; also when there are fewer devices than workers.
    """
    place, _ = pair_devices(name)
    free = name.strip() in ("auto", "cuda", "cpu")
    if free and place.type == "cuda":
        here = torch.cuda.device_count()
        if workers is not None and workers > here:
            raise UsageError(f"{workers} workers need a CUDA device each and there are {here}; give --workers {here}")
        return [f"cuda:{index}" for index in range(workers or here)]
    if not free and workers is not None and workers > 1:
        raise UsageError(f"device {name!r} is one worker's and there are to be {workers}; give --workers 1, or auto")
    return [str(place) if free else name] * (workers or 1)


def threads() -> int:
    """Return how many CPU threads torch uses unless told otherwise."""
    return int(torch.get_num_threads())


def device_names() -> list[str]:
    """Return what this machine has: its CPU threads and each CUDA device with its memory."""
    found = [f"cpu ({torch.get_num_threads()} threads)"]
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        found.append(f"cuda:{index} ({facts.name}, {facts.total_memory / 2**30:.0f} GiB)")
    return found


def dtype_bytes(name: str, device: torch.device) -> int | None:
    """Return the bytes of one number of the format that `name` means on `device`, None for "as stored"."""
    found = resolve_dtype(name, device)
    return None if found is None else found.itemsize


def resolve_dtype(name: str, device: torch.device) -> torch.dtype | None:
    """Return the number format that `name` means on `device`, None for "as the weights are stored".

    ``"auto"`` is float32 on a CPU, where bfloat16 is several times slower, and the stored format elsewhere.
    """
    if name == "auto":
        return torch.float32 if device.type == "cpu" else None
    if name not in DTYPES:
        raise UsageError(f"dtype {name!r} is not known{did_you_mean(name, ['auto', *DTYPES])}")
    return DTYPES[name]
