"""Settings of a run by section of ``curate.toml``, with defaults, ranges, help texts and flags.

`curate.schemas.settings` resolves them. Needs pydantic only, so that the command line prints its help without loading
more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from curate.schemas.defaults import BATCH_TOKENS, by_device, default_of
from curate.schemas.fields import MANY, Section, setting
from curate.schemas.recovery import RecoveryRequest
from curate.schemas.recovery_section import RecoverSettings

MAX_LENGTH: int = default_of(RecoveryRequest, "max_length")


class IngestSettings(Section):
    """Settings of reading the corpus."""

    format: str | None = setting(None, "Shape of the rows (alpaca, sharegpt, messages, …).", shown="detected")
    map: dict[str, str] = setting(dict, "role=column, as in response=answer; repeatable.", syntax="pairs")
    licence: str | None = setting(None, "Licence of the rows, carried through to exports.")
    part_rows: int = setting(4096, "Rows per Parquet part, the unit of resuming.", ge=1, le=MANY)


class EmbedSettings(Section):
    """Settings of embedding prompts."""

    encoder: str = setting("minilm", "minilm, a sentence-transformers folder, or a hub name.")
    encoder_dtype: Literal["float32", "bfloat16"] = setting("float32", "Number format of the encoder, or bfloat16.")
    device: str = setting("auto", "Device of the encoder.")


class ClusterSettings(Section):
    """Settings of clustering (PASER, arXiv 2502.12594 §3.1)."""

    n_clusters: int | None = setting(
        None, "Number of clusters; by default chosen from the corpus.", "--clusters", ge=1, le=MANY
    )
    n_neighbours: int = setting(15, "Neighbours of each row in the graph.", ge=1, le=10_000)
    bandwidth: Literal["self-tuning", "median"] = setting("self-tuning", "Bandwidth of the affinity.")
    n_terms: int = setting(8, "Terms that describe each cluster.", ge=1, le=1000)
    refit: bool = setting(False, "Cluster a grown corpus again instead of assigning its new rows.")


class ScoreSettings(Section):
    """Settings of scoring."""

    max_length: int = setting(
        MAX_LENGTH, "Tokens kept of a conversation, capped by the models' context; also for recovery.", ge=2, le=MANY
    )
    template: Literal["auto", "chat", "plain"] = setting(
        default_of(RecoveryRequest, "template"), "Layout of a conversation: auto, chat or plain."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        default_of(RecoveryRequest, "dtype"), "Number format: auto, float32, bfloat16 or float16."
    )
    device: str = setting(
        default_of(RecoveryRequest, "device"), "auto, cpu, cuda, cuda:1; a pair may have two: cuda:0,cuda:1."
    )
    workers: int | None = setting(
        None, "Processes that share the parts.", shown="one per GPU with auto or cuda; 1 on a CPU", ge=1, le=1024
    )
    probe_lr: float = setting(1e-4, "Step size of DON and NOD; the learning rate of the recovery to come.", gt=0)
    batch_tokens: int | None = setting(
        None, "Tokens of one forward pass, padding included.", shown=by_device(BATCH_TOKENS), ge=1, le=MANY
    )
    layers: Literal["output", "all"] = setting(
        "output", "Layers that DON and NOD are summed over: output or all; all costs a backward pass."
    )
    ifd: bool = setting(False, "Also compute ifd, in a second pass.")
    sketch: bool = setting(
        False, "Also store gradient sketches and mean states of the rows, which coverage and rds read (8 KB a row)."
    )
    sequential: bool = setting(
        False, "One model in memory at a time; the original's states are cached. Changes no number."
    )
    teacher_cache: str = setting(
        "exact",
        "Predictions kept of the original: exact, or topk=256 (cds and the teacher's loss become lower bounds).",
        pattern=r"^(exact|topk=[1-9][0-9]*)$",
    )


class SelectSettings(Section):
    """Settings of a selection."""

    method: str = setting("uniform", "Selection method; docs/methods.md.", "--method", "-m")
    budget: str = setting("0.1", "0.1, 10%, 5000 (rows) or 2M-tokens.", "--budget", "-b")
    options: dict[str, Any] = setting(dict, "Settings of the method itself.")
    pin: tuple[str, ...] = setting(
        (), "Example id, or @file of ids, to keep whatever its score; repeatable.", syntax="ids"
    )
    exclude: tuple[str, ...] = setting((), "Example id, or @file of ids, never to keep; repeatable.", syntax="ids")
    near_duplicates: tuple[Literal["lexical", "semantic"], ...] = setting(
        (), "Keep one row of each group of near-duplicates: lexical or semantic; repeatable.", syntax="repeated"
    )
    lexical_threshold: float = setting(
        0.8, "Jaccard index of word trigrams from which two rows are near-duplicates.", gt=0, le=1
    )
    semantic_threshold: float = setting(
        0.95, "Cosine of the embeddings from which two rows of a cluster are near-duplicates.", gt=0, le=1
    )
    decontaminate: tuple[str, ...] = setting(
        (), "Evaluation file whose questions no kept row may contain; repeatable.", syntax="repeated"
    )


class SampleSettings(Section):
    """Settings of targets drawn from a model (docs/targets.md)."""

    model: str = setting("original", "Model that answers: original, compressed, a folder or a hub name.", "--from")
    best_of: int = setting(8, "Most samples of a row; drawing stops at the first that is accepted.", ge=1, le=10_000)
    accept: Literal["reference", "agreement", "likelihood", "selfeval"] = setting(
        "reference",
        "What is accepted: an answer equal to the corpus's (reference), one that most samples give (agreement); where "
        "the corpus's answer is long, a likely one (likelihood) or one that a fitted self-evaluation takes (selfeval).",
    )  # fmt: skip
    threshold: Annotated[str, BeforeValidator(str)] = setting(
        "auto",
        "Share of samples that must agree (auto: 0.75), or least score of likelihood and selfeval (auto: 90 % right).",
        pattern=r"^(auto|1|1\.0*|0?\.[0-9]*[1-9][0-9]*)$",
    )  # fmt: skip
    temperature: float = setting(0.7, "Temperature of the second and later samples.", gt=0, le=100)
    max_new_tokens: int = setting(256, "Longest answer, in tokens; one that is cut off is not accepted.", ge=1, le=MANY)
    prune_at: int | None = setting(
        None, "Tokens after which the less likely half-drawn samples of a wave stop.", shown="never", ge=1, le=MANY
    )
    prune_keep: float | None = setting(
        None, "With --prune-at: share of a row's half-drawn samples that go on; at least one.", shown="0.5", gt=0, lt=1
    )
    part_items: int = setting(256, "Rows per part, the unit of resuming.", ge=1, le=MANY)


class CompressSettings(Section):
    """Settings of the compression methods that remove layers or channels (docs/compression.md)."""

    by: Literal["influence", "change", "leave-one-out", "greedy", "contiguous"] = setting(
        "influence", "Which layers blocks removes: by influence, change, leave-one-out, greedy or contiguous."
    )
    path: str | None = setting(
        None, "blocks: the layers that stay, as 0-7,9-29, instead of --sparsity; needs no --corpus."
    )
    experts_by: Literal["usage", "weight", "random"] = setting(
        "usage", "Which experts go: the least used, those that add least (weight), or random ones."
    )
    order: Literal["wanda", "energy", "magnitude", "ridge", "random"] = setting(
        "wanda", "Importance of channels for width and sort: wanda, energy, magnitude, ridge or random."
    )
    multiple: int = setting(8, "The channels kept are a multiple of it; 64 or 128 suits GPU kernels.", ge=1, le=65_536)
    compensate: bool = setting(False, "width: fit the weights out of the kept channels to the output of all.")
    bits: int = setting(8, "quantise: bits of a weight; 8 is the only choice.", ge=8, le=8)


class DiagnoseSettings(Section):
    """Settings of a diagnosis (docs/diagnosis.md)."""

    rows: int = setting(32, "Rows of --corpus to measure on, drawn at random.", ge=1, le=MANY)
    by: Literal["corpus", "cluster"] = setting(
        "corpus", "Measure --rows of the whole --corpus together (corpus), or of each of its clusters (cluster)."
    )
    leave_one_out: bool = setting(
        False, "Also measure the loss without each layer: half a forward pass for each of them."
    )
    prompts: Path | None = setting(None, "File of wordings, one on each line, put before every question.", shown="ours")
    keep: float = setting(1.0, "Share of the wordings kept, those with the most influence; at least two.", gt=0, le=1)
    simulations: int = setting(100, "Paths that are tried for an item, the whole model included.", ge=1, le=MANY)
    held_out: float = setting(0.5, "Share of the items that no path is searched for, to apply paths to.", gt=0, lt=1)
    length: int = setting(1, "Longest sequence of kept wordings that a greedy search joins.", ge=1, le=8)


class EvaluateSettings(Section):
    """Settings of an evaluation (docs/evaluation.md)."""

    tasks: tuple[str, ...] = setting(
        (), "FILE or kind:FILE; repeatable; docs/evaluation.md.", "--tasks", "-t", syntax="repeated"
    )
    limit: int | None = setting(
        None, "Items of each task, and windows of a text, from its beginning.", shown="all", ge=1, le=MANY
    )
    max_new_tokens: int = setting(64, "Longest generated answer, in tokens.", ge=1, le=1_000_000)
    option_layout: Literal["conversation", "cloze", "letter", "continuation"] = setting(
        "conversation", "Layout of choice tasks: conversation, or as lm-eval has it cloze, letter or continuation."
    )
    normalise: Literal["none", "bytes", "unconditional"] = setting(
        "none", "Likelihood that options are compared by: none (as it is), bytes (per byte) or unconditional."
    )
    judge: str | None = setting(
        None, "Model, folder or hub name, that grades the answers of judged tasks.", shown="none"
    )
    metric: Literal["score", "token_accuracy"] = setting(
        "score", "Metric of retention: score or token_accuracy, which suits long answers."
    )
    by: Literal["group", "cluster"] = setting(
        "group", "Group items by group (from the task) or cluster (of the nearest row of --corpus)."
    )
    decontaminate: bool = setting(
        True, "Also evaluate items that are in the corpus.", "--no-decontaminate", syntax="off"
    )
    part_items: int = setting(512, "Items per part, the unit of resuming.", ge=1, le=MANY)


class CompareSettings(Section):
    """A comparison of selection methods: methods × budgets × seeds, each trained and evaluated alike.

    Training is that of ``recover``; its ``epochs`` are passes over the budget's share of the corpus's tokens.
    """

    methods: tuple[str, ...] = setting(
        ("paser", "donod", "anchored"),
        "Methods, with options after colons: paser,paser:rank=random. The first is the primary one.",
        syntax="commas",
        min_length=1,
    )
    budgets: tuple[str, ...] = setting(("0.1",), "Budgets, separated by commas.", syntax="commas", min_length=1)
    recipes: tuple[str, ...] = setting(
        (), "Losses to train every cell with: ce (the given answers), kl (the original), kl=0.5 (half of each).",
        syntax="commas", shown="that of recover",
    )  # fmt: skip
    seeds: int = setting(5, "Number of seeds of every method and budget.", ge=1, le=10_000)
    own_epochs: bool = setting(False, "Also train on everything for as many epochs, at a higher cost.")


class RunSettings(Section):
    """All settings of a run: those outside sections, and the sections."""

    warehouse: Path = setting(Path("warehouse"), "Folder of all artefacts.", "--warehouse", "-w")
    corpus: tuple[str, ...] = setting(
        (), "File, folder or hub:name of instructions; repeatable.", "--corpus", "-c", syntax="repeated", shown="demo"
    )
    original: str | None = setting(None, "The model before compression: a folder or a hub name.")
    compressed: str | None = setting(None, "The compressed model, or the model to train.", "--compressed", "--model")
    seed: int = setting(0, "Seed of everything random.", ge=0, le=2**32 - 1)
    threads: int | None = setting(None, "CPU threads of the numerical libraries.", shown="all cores", ge=1, le=4096)
    lock_timeout: float = setting(3600.0, "Seconds to wait for another run's lock.", ge=0)
    verify: bool = setting(True, "Read parts without checking their checksums.", "--no-verify", syntax="off")
    shared: bool = setting(False, "Create the warehouse's files with the umask's permissions instead of 0600.")
    allow_files: bool = setting(False, "Let SQL read files outside the warehouse.")
    engine: Literal["local", "ray"] = setting("local", "Where models run: local, or ray, the cluster at RAY_ADDRESS.")
    cpus_per_worker: int | None = setting(
        None, "CPUs of a worker on a Ray cluster.", shown="all of its node, or its GPU's share", ge=1, le=4096
    )
    ship_models: bool = setting(False, "Copy the models to every Ray node once; otherwise each has them already.")
    trust_remote_code: bool = setting(False, "Run code that comes with a model.")
    trust_pickle: bool = setting(False, "Load a pickled model, which can run any code, and convert it.")
    ingest: IngestSettings = Field(default_factory=IngestSettings)
    embed: EmbedSettings = Field(default_factory=EmbedSettings)
    cluster: ClusterSettings = Field(default_factory=ClusterSettings)
    score: ScoreSettings = Field(default_factory=ScoreSettings)
    select: SelectSettings = Field(default_factory=SelectSettings)
    recover: RecoverSettings = Field(default_factory=RecoverSettings)
    sample: SampleSettings = Field(default_factory=SampleSettings)
    compress: CompressSettings = Field(default_factory=CompressSettings)
    diagnose: DiagnoseSettings = Field(default_factory=DiagnoseSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    compare: CompareSettings = Field(default_factory=CompareSettings)
