"""Resolves names of devices and dtypes, and assigns devices to worker processes."""

from __future__ import annotations

import torch

from curate.schemas.errors import UsageError, did_you_mean

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def resolve_device(name: str) -> torch.device:
    """Return the device with a name.

    Parameters
    ----------
    name : str
        ``"auto"`` (the first CUDA device, else the CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or any other device
        string of torch.

    Raises
    ------
    UsageError
        If torch does not know the name, or the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r} is not known; give auto, cpu, cuda or cuda:1") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device {name!r} is not on this machine, which has {torch.cuda.device_count()} CUDA devices; "
            "give --device auto or cpu"
        )
    return device


def training_device_count(name: str) -> int:
    """Return how many devices train: all CUDA devices of the machine for ``"auto"`` and ``"cuda"``, else one."""
    all_devices = name in ("auto", "cuda")
    return max(1, torch.cuda.device_count()) if all_devices else 1


def pair_devices(name: str) -> tuple[torch.device, torch.device]:
    """Return the devices of the original and of the compressed model: one name, or two separated by a comma.

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
    # The same element twice if there is one name.
    return resolve_device(names[0].strip()), resolve_device(names[-1].strip())


def worker_devices(name: str, workers: int | None) -> list[str]:
    """Return the device of each worker process that scores parts.

    Parameters
    ----------
    name : str
        As `pair_devices`. ``"auto"`` and ``"cuda"`` give each worker a CUDA device of its own; a CPU is shared; a
        numbered device, or a pair of devices, serves one worker.
    workers : int or None
        Number of workers, ≥ 1; None for one per CUDA device with ``"auto"`` or ``"cuda"``, and one otherwise.

    Raises
    ------
    UsageError
        As `pair_devices`; also if there are fewer devices than workers.
    """
    device, _ = pair_devices(name)
    unnumbered = name.strip() in ("auto", "cuda", "cpu")
    if unnumbered and device.type == "cuda":
        count = torch.cuda.device_count()
        if workers is not None and workers > count:
            raise UsageError(f"{workers} workers need a CUDA device each and there are {count}; give --workers {count}")
        return [f"cuda:{index}" for index in range(workers or count)]
    if not unnumbered and workers is not None and workers > 1:
        raise UsageError(f"device {name!r} serves one worker, not {workers}; give --workers 1, or --device auto")
    return [str(device) if unnumbered else name] * (workers or 1)


def cpu_threads() -> int:
    """Return how many CPU threads torch uses by default."""
    return int(torch.get_num_threads())


def device_names() -> list[str]:
    """Return descriptions of the machine's devices: CPU threads, and each CUDA device with its memory."""
    names = [f"cpu ({torch.get_num_threads()} threads)"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        names.append(f"cuda:{index} ({properties.name}, {properties.total_memory / 2**30:.0f} GiB)")
    return names


def dtype_bytes(name: str, device: torch.device) -> int | None:
    """Return the bytes per element of the dtype `name` on `device`, None for the stored dtype."""
    dtype = resolve_dtype(name, device)
    return None if dtype is None else dtype.itemsize


def resolve_dtype(name: str, device: torch.device) -> torch.dtype | None:
    """Return the dtype `name` on `device`, None to keep the stored one.

    ``"auto"`` is float32 on a CPU, where bfloat16 is several times slower, and the stored dtype elsewhere.

    Raises
    ------
    UsageError
        For an unknown name.
    """
    if name == "auto":
        return torch.float32 if device.type == "cpu" else None
    if name not in DTYPES:
        raise UsageError(f"dtype {name!r} is not known{did_you_mean(name, ['auto', *DTYPES])}")
    return DTYPES[name]
