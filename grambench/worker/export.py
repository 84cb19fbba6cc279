"""`python -m grambench.worker export RUN TRIAL STEP FOLDER`: a trial's best weights as a model of its own.

The last line of standard output is a refusal as JSON: `message` and `fix`.
"""

import copy
import json
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

import grambench
from grambench.config.exported import EXPORTED_FILE, FILTER_FILE, POOLING_FILE, Exported, TextField
from grambench.config.filters import filter_kind
from grambench.config.networks import Encoder
from grambench.config.spec import Spec
from grambench.config.strategies import row_of
from grambench.config.trial_name import TrialName
from grambench.data.prepared.build import TOKENIZER_FOLDER
from grambench.data.tokenizer import FastTokenizer
from grambench.domains.prepared import Prepared, open_prepared
from grambench.errors import ConfigError, DataError, ExitCode, GrambenchError, MachineError
from grambench.events.state import SETUP
from grambench.exported import CALL_TOKENS
from grambench.fs import sha256_file, write_atomic
from grambench.hub import hub_errors, hub_options
from grambench.models.encoders.buckets import ItemEncoder
from grambench.models.encoders.free import PulledVectors
from grambench.models.encoders.lora import lora_modules, merge_lora
from grambench.models.encoders.sentence import pooling_of
from grambench.models.encoders.side import SideEncoder
from grambench.models.encoders.text import TextEncoder
from grambench.models.encoders.tokens import ItemTokens
from grambench.models.pooling import Pooling
from grambench.training.checkpoint import load_weights, read_manifest
from grambench.training.strategies import factory_of
from grambench.training.strategies.networks import NetworkInputs
from grambench.training.system import Modules
from grambench.worker.adapter import save_adapter
from grambench.worker.integrity import checks_of, require_inputs
from grambench.worker.main import engine_of, prepared_before, quiet_libraries, read_spec, same_data
from grambench.worker.prepare import prepare_data
from grambench.worker.probe import settled

TOLERANCE = 1e-4
"""Largest difference of the vectors of plain transformers from ours, relative to a vector's norm."""
_CHECKED = 16
"""Items of the catalogue that are compared."""
_BASE = ("base_model", "revision")
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def main(arguments: list[str]) -> int:
    """Write the model into an existing folder; the exit code is that of an error."""
    run, name, step, folder = arguments
    quiet_libraries()
    trial = TrialName.parse(name)
    assert trial is not None
    try:
        export(Path(run), trial, int(step), Path(folder))
    except GrambenchError as error:
        return _refused(error)
    except (OSError, SafetensorError) as error:
        return _refused(MachineError(f"The model cannot be written: {error}."))
    except Exception:
        traceback.print_exc()
        return int(ExitCode.BUG)
    return int(ExitCode.OK)


def _refused(error: GrambenchError) -> int:
    sys.stdout.write(f"\n{json.dumps({'message': error.message, 'fix': error.fix})}\n")
    return int(error.exit_code)


def export(run: Path, trial: TrialName, step: int, folder: Path) -> Exported:
    """Write model, tokenizer, pooling, filter and `grambench.json` into `folder`, and load the model again.

    Args:
        run: the run's folder.
        trial: whose best weights are taken.
        step: at which validation has selected them.
        folder: an empty one.

    Raises:
        ConfigError: the strategy has no text encoder.
        DataError: weights, model or data are damaged, missing, or not those of the run.
        MachineError: the model cannot be loaded, or transformers computes other vectors.
    """
    spec = read_spec(run)
    entry = spec.entry(trial)
    _require_step(run / str(trial) / "best", step)
    if row_of(entry.strategy).vocabulary != "encoder":
        raise _no_text_encoder(entry.strategy)
    data = _prepared(spec, run)
    chosen = engine_of(run / SETUP)
    own = (settled(spec, chosen) if chosen is not None else spec).with_own(entry)
    modules = _trained(own, entry.strategy, data, run, trial)
    content = modules.encoder.content if isinstance(modules.encoder, PulledVectors) else modules.encoder
    if isinstance(content, SideEncoder):
        raise ConfigError(
            f"{trial} has a side network on its text encoder, which transformers could not load.",
            "Choose another trial with --trial.",
        )
    if not isinstance(content, TextEncoder):
        raise _no_text_encoder(entry.strategy)
    pooling, fields, base = pooling_of(own.encoder), _fields(own), _base(own.encoder, content)
    plain = _merged(content)
    _write_encoder(plain, pooling, _tokenizer(own.encoder, data), sum(each.limit for each in fields), folder)
    save_adapter(content.backbone, own.encoder, base["base_model"], folder)
    save_file(_plain(modules.filter.state_dict()), folder / FILTER_FILE)
    checked = [folder / "tokenizer.json", *sorted(folder.glob("*.safetensors"))]
    exported = Exported(
        grambench=grambench.__version__,
        run=run.name,
        trial=str(trial),
        strategy=entry.strategy,
        domain=spec.data.domain,
        **base,
        parameters=sum(parameter.numel() for parameter in plain.parameters()),
        width=content.width,
        pooling=pooling,
        pooling_query=own.encoder.pooling_query,
        fields=fields,
        opening_id=data.manifest.tokenizer.cls_id,
        closing_id=data.manifest.tokenizer.sep_id,
        filter_kind=filter_kind(own),
        filter=own.filter,
        free_vectors=isinstance(modules.encoder, PulledVectors),
        files={path.name: sha256_file(path) for path in checked},
    )
    write_atomic(folder / EXPORTED_FILE, exported.model_dump_json(indent=1) + "\n")
    _require_same_vectors(folder, content, data)
    return exported


def _write_encoder(
    encoder: TextEncoder, pooling: Pooling, tokenizer: "_Tokenizer", limit: int, folder: Path
) -> None:
    tokenizer.save(limit, folder)
    _whole_model(encoder, tokenizer).save_pretrained(folder)
    if pooling == "attention":
        save_file(_plain(encoder.pool.state_dict()), folder / POOLING_FILE)
    else:
        _save_modules(pooling, encoder.width, limit, folder)


def _merged(encoder: TextEncoder) -> TextEncoder:
    """The encoder itself, or a copy in which LoRA's updates are part of the weights."""
    if not lora_modules(encoder):
        return encoder
    plain = copy.deepcopy(encoder)
    merge_lora(plain.backbone)
    return plain


def _base(spec: Encoder, encoder: TextEncoder) -> dict[str, Any]:
    """Name and commit on the hub; a folder of this machine is not named."""
    on_hub = spec.model is not None and not Path(spec.model).expanduser().is_dir()
    return {"base_model": spec.model, "revision": encoder.revision} if on_hub else dict.fromkeys(_BASE)


def _no_text_encoder(strategy: str) -> ConfigError:
    return ConfigError(
        f"{strategy} has no text encoder that transformers could load.", "Choose another trial with --trial."
    )


def _require_step(best: Path, step: int) -> None:
    """
    Raises:
        DataError: there are no weights, they are damaged, or they are those of another validation.
    """
    found = read_manifest(best).get("step")
    if found != step:
        raise DataError(
            f"{best} has the weights of step {found}, but validation selected those of step {step}.",
            "Run the trial again.",
        )


def _prepared(spec: Spec, run: Path) -> Prepared:
    """The run's prepared data, prepared again if the cache has lost it."""
    before = prepared_before(run / SETUP)
    try:
        return open_prepared(Path(before["encoder"].folder))
    except (DataError, KeyError):
        return open_prepared(same_data(prepare_data(spec, lambda _: None), before.get("encoder")))


def _trained(spec: Spec, strategy: str, data: Prepared, run: Path, trial: TrialName) -> Modules:
    torch.manual_seed(trial.seed)
    inputs = NetworkInputs(spec, data, autocast=False, bucket_tokens=CALL_TOKENS)
    modules = Modules(*factory_of(row_of(strategy)).networks(inputs))
    require_inputs(spec, "encoder", checks_of(run / SETUP))
    best = run / str(trial) / "best"
    try:
        modules.load_state_dict(load_weights(best))
    except RuntimeError as error:
        words = f"The weights of {best} do not fit the model that run.json describes."
        raise DataError(words, "Start a new run.") from error
    modules.train(False)
    return modules


def _fields(spec: Spec) -> tuple[TextField, ...]:
    """The text fields of an item, in order; an exercise only has a title."""
    names = ("title", "abstract", "body") if spec.data.domain == "news" else ("title",)
    limits = {name: getattr(spec.data.fields, name) for name in names}
    return tuple(TextField(name=name, limit=limit) for name, limit in limits.items() if limit)


@dataclass(frozen=True, slots=True)
class _Tokenizer:
    """The run's tokenizer."""

    backend: Any
    """Of the `tokenizers` library."""
    names: dict[str, str]
    """Such as `cls_token` -> `[CLS]`."""

    def save(self, limit: int, folder: Path) -> None:
        """Save it such that transformers makes the items of training: at most `limit` tokens.

        An item is `[CLS] text [SEP]`, without the first where the model has no such token; special tokens in
        a text are text, padding is on the right, and nothing has a token type.
        """
        from tokenizers.processors import TemplateProcessing
        from transformers import PreTrainedTokenizerFast

        opening, closing = self.names.get("cls_token"), self.names["sep_token"]
        single = [*([f"{opening}:0"] if opening else []), "$A:0", f"{closing}:0"]
        self.backend.post_processor = TemplateProcessing(
            single=single,
            pair=[*single, "$B:0", f"{closing}:0"],
            special_tokens=[(t, self.backend.token_to_id(t)) for t in {opening, closing} if t],
        )
        PreTrainedTokenizerFast(
            tokenizer_object=self.backend,
            model_max_length=limit,
            padding_side="right",
            truncation_side="right",
            model_input_names=["input_ids", "attention_mask"],
            split_special_tokens=True,
            clean_up_tokenization_spaces=False,
            **self.names,
        ).save_pretrained(folder)
        written = json.loads((folder / "tokenizer_config.json").read_bytes())
        written["tokenizer_class"] = "PreTrainedTokenizerFast"  # the name that transformers 4 knows as well
        (folder / "tokenizer_config.json").write_text(json.dumps(written, indent=1) + "\n")


def _tokenizer(spec: Encoder, data: Prepared) -> _Tokenizer:
    """
    Raises:
        DataError: it is not the one that the run was prepared with.
    """
    info = data.manifest.tokenizer
    if spec.model is None:
        from tokenizers import Tokenizer

        backend = Tokenizer.from_file(str(data.folder / TOKENIZER_FOLDER / "tokenizer.json"))
        names = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    else:
        from transformers import AutoTokenizer

        with hub_errors(spec.model, "encoder.model"):
            options = hub_options(spec.model, spec.revision)
            wrapped = AutoTokenizer.from_pretrained(spec.model, use_fast=True, **options)
        backend = wrapped.backend_tokenizer
        found = {name: getattr(wrapped, name, None) for name in _SPECIAL}
        names = {name: str(token) for name, token in found.items() if token is not None}
    if FastTokenizer(backend, info.cls_id, info.sep_id).fingerprint != info.fingerprint:
        raise DataError(
            "The tokenizer is not the one that the run was prepared with.",
            "Put the old files back, or start a new run.",
        )
    closing = str(backend.id_to_token(info.sep_id))
    names = {"pad_token": closing, **names, "sep_token": closing}
    if info.cls_id is not None:
        names["cls_token"] = str(backend.id_to_token(info.cls_id))
    return _Tokenizer(backend, names)


def _whole_model(encoder: TextEncoder, tokenizer: _Tokenizer) -> Any:
    """The transformer as `AutoModel` builds it; a pooler, which nothing has trained, is all zeros."""
    from transformers import AutoModel

    backbone: Any = encoder.backbone
    model = AutoModel.from_config(backbone.config)
    if type(model) is not type(backbone):
        raise ConfigError(
            f"The encoder is one half of an encoder-decoder ({backbone.config.model_type}), which AutoModel"
            " loads with a decoder only.",
            "Export a trial of another encoder.",
        )
    absent = set(model.load_state_dict(backbone.state_dict(), strict=False).missing_keys)
    if any(not name.startswith("pooler.") for name in absent):
        raise MachineError(f"transformers has {len(absent)} weights in this model that were not trained.")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in absent:
                parameter.zero_()
        if encoder.blank_padding:  # neighbours of padding see zeros, as in training
            padding = tokenizer.backend.token_to_id(tokenizer.names["pad_token"])
            model.get_input_embeddings().weight[padding] = 0
    return model


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}


def _save_modules(pooling: str, width: int, limit: int, folder: Path) -> None:
    """What sentence-transformers reads: a transformer, and a pooling without weights."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    rows = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
        for number, (path, name) in enumerate(modules)
    ]
    modes = {"cls": "cls_token", "mean": "mean_tokens", "last": "lasttoken"}
    flags = {f"pooling_mode_{flag}": name == pooling for name, flag in modes.items()}
    documents = {
        "modules.json": rows,
        "sentence_bert_config.json": {"max_seq_length": limit, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": width, **flags},
    }
    (folder / "1_Pooling").mkdir()
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=1) + "\n")


def _require_same_vectors(folder: Path, encoder: TextEncoder, data: Prepared) -> None:
    """Load the folder as a user would, and compare the vectors of some items of the catalogue.

    Raises:
        MachineError: they differ, or weights are missing.
    """
    from transformers import AutoModel, AutoTokenizer

    model, loading = AutoModel.from_pretrained(folder, output_loading_info=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    items = np.arange(min(_CHECKED, len(data.token_offsets) - 1))
    tokens = ItemTokens(data.tokens, data.token_offsets, torch.device("cpu"))
    ids = [data.tokens[slice(*data.token_offsets[item : item + 2])].tolist() for item in items]
    padded = tokenizer.pad({"input_ids": ids}, return_tensors="pt")
    with torch.no_grad():
        states_NLD = model.eval()(**padded).last_hidden_state
        theirs_ND = encoder.pool(states_NLD, padded["attention_mask"].bool())
        ours_ND = ItemEncoder(encoder, tokens, CALL_TOKENS)(items)
    differences_N = (theirs_ND - ours_ND).norm(dim=1) / ours_ND.norm(dim=1).clamp(min=1e-12)
    if loading["missing_keys"] or loading["unexpected_keys"] or not float(differences_N.max()) <= TOLERANCE:
        raise MachineError(
            "transformers loads other vectors from the exported model: the largest relative difference is"
            f" {float(differences_N.max()):.1e}.",
            "Check that its config.json and its tokenizer name the same padding token.",
        )
