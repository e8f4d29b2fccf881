"""Every setting of a run, in one place, with its default. The only module that uses pydantic.

Order of precedence: what is passed in (a flag) > ``CURATE_*`` in the environment > ``curate.toml`` > the default here.
A nested setting in the environment has a double underscore: ``CURATE_SELECT__BUDGET=0.2``. Unknown keys are errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from curate.schemas.errors import UsageError, did_you_mean


class Section(BaseModel):
    """Base of the sections of ``curate.toml``: frozen, and no key that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class IngestSettings(Section):
    """How the corpus is read."""

    format: str | None = None
    """Shape of the rows (alpaca, sharegpt, messages, …); detected where it is not given."""
    map: dict[str, str] = Field(default_factory=dict)
    """Role to column, for files whose columns nobody could guess: ``{"response": "answer"}``."""
    licence: str | None = None
    """Licence of the rows, carried through to exports."""
    part_rows: int = Field(4096, ge=1)
    """Rows per Parquet part, the unit of resuming; later stages keep the same parts."""


class EmbedSettings(Section):
    """How prompts become vectors."""

    encoder: str = "minilm"
    """``minilm`` (shipped by the extra "encoder"), a local sentence-transformers folder, or a hub name."""
    encoder_dtype: Literal["float32", "bfloat16"] = "float32"
    """What the encoder computes in. bfloat16 is twice as fast where the processor has it, at cosines above 0.999."""
    device: str = "auto"


class ClusterSettings(Section):
    """How vectors become clusters (METHODS: PASER §3.1)."""

    n_clusters: int | None = Field(None, ge=1)
    """Number of clusters; found by held-out modularity where it is not given."""
    n_neighbours: int = Field(15, ge=1)
    bandwidth: Literal["self-tuning", "median"] = "self-tuning"
    n_terms: int = Field(8, ge=1)
    """Terms that describe each cluster."""
    refit: bool = False
    """Cluster a grown corpus anew, where otherwise its new rows would join the earlier clusters."""


class ScoreSettings(Section):
    """How the models judge the corpus."""

    max_length: int = Field(512, ge=2)
    """Tokens kept of each conversation, capped by the models' context; the same for recovery."""
    template: Literal["auto", "chat", "plain"] = "auto"
    """The tokenizer's chat template where it has one (auto), that or nothing (chat), or the plain one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    workers: int | None = Field(None, ge=1)
    """Processes that share the parts, each with models of its own; one per CUDA device, or one on a CPU, by default."""
    probe_lr: float = Field(1e-4, gt=0)
    """Step size η of DON and NOD; the learning rate of the recovery to come."""
    batch_tokens: int | None = Field(None, ge=1)
    """Tokens of one forward pass, padding included; 4,096 on a CPU and 32,768 elsewhere where it is not given."""
    layers: Literal["output", "all"] = "output"
    """Layers that DON and NOD are summed over; all linear ones cost a backward pass."""
    ifd: bool = False
    """Also compute ``ifd``, which needs a second pass."""
    sequential: bool = False
    """One model in memory at a time: the original's states are kept in the warehouse's cache. Changes no number."""
    teacher_cache: str = Field("exact", pattern=r"^(exact|topk=[1-9][0-9]*)$")
    """What ``sequential`` and a teacher of ``recover`` keep of the original: ``exact`` (states), or ``topk=256``, which
    makes cds and the teacher's divergence lower bounds."""


class SelectSettings(Section):
    """Which rows are kept."""

    method: str = "paser"
    budget: str = "0.1"
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of the method itself, for example ``consistency`` of paser or ``weights`` of donod."""
    pin: tuple[str, ...] = ()
    """Example ids that are kept whatever the method says; they count towards the budget."""
    exclude: tuple[str, ...] = ()
    """Example ids that are never kept."""
    near_duplicates: tuple[Literal["lexical", "semantic"], ...] = ()
    """Kinds of near-duplicates of which only one row may be kept; exact ones are merged in any case."""
    lexical_threshold: float = Field(0.8, gt=0, le=1)
    """Jaccard index of the word trigrams from which two rows are near-duplicates."""
    semantic_threshold: float = Field(0.95, gt=0, le=1)
    """Cosine of the prompts' embeddings from which two rows of a cluster are near-duplicates."""
    decontaminate: tuple[str, ...] = ()
    """Evaluation files whose questions no kept row may hold."""


class RecoverSettings(Section):
    """How a compressed model is trained back (METHODS: PERP, LoRA); what is not given is the method's own default.

    Template, length, number format and device are those of ``score``.
    """

    method: str = "auto"
    """auto (by what was done to the model), lora, mask_lora, scale_lora, perp or full."""
    learning_rate: float | None = Field(None, gt=0)
    epochs: float | None = Field(None, ge=0)
    batch: int | None = Field(None, ge=1)
    """Rows of one optimiser step."""
    schedule: str = "cosine"
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    rank: int = Field(8, ge=1)
    alpha: float = Field(16.0, gt=0)
    dropout: float = Field(0.05, ge=0, lt=1)
    parts: tuple[str, ...] = ("biases", "norms", "head")
    """What perp trains."""
    merge: bool = True
    """Write a merged model; without, the adapter alone."""
    reconstruct: bool = False
    """First bring each layer near the original's output; with ``epochs = 0`` that is all."""
    teacher: Literal["none", "original"] = "none"
    """Also learn the original model's predictions on the response."""
    teacher_weight: float = Field(0.5, gt=0, le=1)
    """Share of that divergence in the loss, with a teacher."""
    batch_tokens: int | None = Field(None, ge=1)
    """Tokens of one forward pass; 4,096 on a CPU and 16,384 elsewhere where it is not given."""
    processes: int | None = Field(None, ge=1)
    """Processes that share every step; one for each CUDA device, or one on a CPU, where it is not given."""
    gradient_checkpointing: bool = False
    checkpoint_steps: int = Field(50, ge=1)
    heldout: str | None = None
    """File of rows whose perplexity is measured before and after; rows that were not selected where it is not given."""


class EvaluateSettings(Section):
    """What a model is asked (METHODS §6)."""

    tasks: tuple[str, ...] = ()
    """``FILE`` or ``kind:FILE`` (`curate.storage.inputs.task_files`); the demo's held-out rows on the demo."""
    limit: int | None = Field(None, ge=1)
    """Items of each task, from its beginning; all where it is not given."""
    max_new_tokens: int = Field(64, ge=1)
    """Longest answer that is generated, in tokens."""
    judge: str | None = None
    """Model that reads the answers of ``judged`` tasks, folder or hub name; no task is judged without one."""
    metric: Literal["score", "token_accuracy"] = "score"
    """What retention is a ratio of; token accuracy suits long answers, which no model gives word for word."""
    by: Literal["group", "cluster"] = "group"
    """What held-out rows are grouped by: what their task says, or the corpus's clusters (that of the nearest row)."""
    decontaminate: bool = True
    """Leave out items whose prompt stands in the corpus, and, in a comparison, rows of the pool that are asked."""
    part_items: int = Field(512, ge=1)
    """Items per part, the unit of resuming."""


class CompareSettings(Section):
    """A trial of selection methods: methods × budgets × seeds, each trained and evaluated alike (METHODS §6).

    Training is that of ``recover``; its ``epochs`` are passes over the budget's share of the corpus's tokens.
    """

    methods: tuple[str, ...] = Field(("paser", "donod", "anchored"), min_length=1)
    """``method`` or ``method:option=value:…``; uniform, length-matched and full are always added."""
    budgets: tuple[str, ...] = Field(("0.1",), min_length=1)
    """Shares of the corpus, rows or tokens. The first method at the first budget is the primary comparison."""
    seeds: int = Field(5, ge=1)
    """A seed varies the draw, the start of the clustering, the adapter and the order of the rows."""
    own_epochs: bool = False
    """Also train on the full corpus for as many passes of its own, with the cost that has."""


class Settings(BaseSettings):
    """All settings of a run, resolved."""

    model_config = SettingsConfigDict(
        env_prefix="CURATE_", env_nested_delimiter="__", extra="forbid", frozen=True, toml_file="curate.toml"
    )

    warehouse: Path = Path("warehouse")
    corpus: tuple[str, ...] = ()
    """Files, folders or hub names; the built-in demo where none is given."""
    original: str | None = None
    """The model before compression: a local folder or a hub name."""
    compressed: str | None = None
    """The model after compression, or the single model that is about to be trained."""
    seed: int = Field(0, ge=0)
    threads: int | None = Field(None, ge=1)
    """CPU threads of the numerical libraries; all cores where it is not given."""
    lock_timeout: float = Field(3600.0, ge=0)
    """Seconds to wait for another run that is building the same artefact."""
    trust_remote_code: bool = False
    trust_pickle: bool = False
    """Open a model that is a pickle, which can run any code; it is converted in a process of its own."""
    ingest: IngestSettings = IngestSettings()
    embed: EmbedSettings = EmbedSettings()
    cluster: ClusterSettings = ClusterSettings()
    score: ScoreSettings = ScoreSettings()
    select: SelectSettings = SelectSettings()
    recover: RecoverSettings = RecoverSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    compare: CompareSettings = CompareSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put flags before the environment, and that before ``curate.toml``."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def resolve(flags: dict[str, Any]) -> Settings:
    """Return the settings of a run from its flags, the environment and ``curate.toml``.

    Parameters
    ----------
    flags : dict
        What was passed explicitly, nested by section; ``None`` values must have been dropped.

    Raises
    ------
    UsageError
        If a key is unknown (with the nearest known one) or a value is out of range; also if the file is not TOML.
    """
    import tomllib

    try:
        return Settings(**flags)
    except ValidationError as error:
        raise UsageError(_explain(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"curate.toml is not valid TOML: {error}") from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    path = [str(step) for step in first["loc"]]
    name = ".".join(path)
    if first["type"] == "extra_forbidden":
        section: Any = Settings
        for step in path[:-1]:
            section = section.model_fields[step].annotation
        return f"unknown setting {name!r}{did_you_mean(path[-1], list(section.model_fields))}"
    return f"setting {name!r} is {first['input']!r}: {first['msg'].lower()}"
