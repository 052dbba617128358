# SPDX-License-Identifier: Apache-2.0
"""Writes folders.json: the files of small tokenizer folders (vocabularies with and without tokenizer.json, and the settings
around them), and the ids that transformers' tokenizers give for some texts.

    python make_folders.py

Made with python 3.11, transformers 5.24, tokenizers 0.23.3.
"""
import json
import pathlib
import random
import tempfile

import transformers
from transformers import AutoTokenizer

assert transformers.__version__.startswith("5."), transformers.__version__
HERE = pathlib.Path(__file__).parent
rng = random.Random(7)
TEXTS = ["hello world", " hello", "a22 b 333", "<|endoftext|>", "a<|endoftext|>b", "[PAD]x", "<|user|> hi <|bot|>", "<s>hello</s> world", "the <mask> world", "The WORLD's café", "cafe\u0301", "don't", "\nb", "日本 x", "hello, world!", "MKTLLV", "M K <mask> T <unk> Z", "mkt", "<|im_end|>hello <|im_end|> world", "  two  spaces"]


def byte_characters():
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(b) for b in visible] + [chr(256 + i) for i in range(256 - len(visible))]


MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "w"), ("o", "r"), ("Ġw", "or"), ("2", "2"), ("3", "3"), ("t", "h"), ("th", "e"), ("Ġ", "the"), ("Ġ", "hello"), ("l", "d"), ("Ġ", "Ġ")]
VOCAB = {p: i for i, p in enumerate([*byte_characters(), *(a + b for a, b in MERGES), "<|endoftext|>"])}
ROBERTA = {p: i for i, p in enumerate(["<s>", "<pad>", "</s>", "<unk>", *byte_characters(), *(a + b for a, b in MERGES), "<mask>"])}
MERGES_TEXT = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES)
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *("##" + c for c in "abcdefghijklmnopqrstuvwxyz"), *"0123456789.,!'", "hello", "world", "the", "two", "##paces", "日", "Th", "##é"]
ESM = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]


def added(content, **options):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **options}


def tokenizer_json(post=None, pre=None, tokens=("<|endoftext|>",)):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [{"id": VOCAB.get(t, 300), **added(t)} for t in tokens], "normalizer": None, "pre_tokenizer": pre or {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}, "post_processor": post,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": VOCAB, "merges": [list(m) for m in MERGES]}}


END = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
PAIR = {"vocab.json": VOCAB, "merges.txt": MERGES_TEXT}
FOLDERS = {
    "gpt2": {**PAIR, "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", **END}},
    "gpt2 prefix space": {**PAIR, "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, **END}},
    "gpt2 added tokens": {**PAIR, "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", **END}, "special_tokens_map.json": {"pad_token": "[PAD]", **END}, "added_tokens.json": {"[PAD]": len(VOCAB), "<|user|>": len(VOCAB) + 1}},
    "gpt2 added decoder": {**PAIR, "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", **END, "added_tokens_decoder": {str(VOCAB["<|endoftext|>"]): added("<|endoftext|>"), str(len(VOCAB)): added("<mask>", lstrip=True), str(len(VOCAB) + 1): added("<|user|>", special=False, normalized=True)}}},
    "gpt2 bos": {**PAIR, "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", **END, "add_bos_token": True}},
    "qwen2": {**PAIR, "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "pad_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": None, "bos_token": None}},
    "qwen2 chat": {**PAIR, "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "pad_token": "<|endoftext|>", "eos_token": "<|im_end|>", "bos_token": None, "additional_special_tokens": ["<|im_end|>", "<|user|>"], "added_tokens_decoder": {str(VOCAB["<|endoftext|>"]): added("<|endoftext|>"), str(len(VOCAB)): added("<|im_end|>"), str(len(VOCAB) + 1): added("<|user|>")}}},
    "roberta": {"vocab.json": ROBERTA, "merges.txt": MERGES_TEXT, "tokenizer_config.json": {"tokenizer_class": "RobertaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "cls_token": "<s>", "pad_token": "<pad>", "mask_token": "<mask>"}},
    "roberta mask": {"vocab.json": ROBERTA, "merges.txt": MERGES_TEXT, "tokenizer_config.json": {"tokenizer_class": "RobertaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": {"__type": "AddedToken", **added("<mask>", lstrip=True)}}},
    "bert": {"vocab.txt": "\n".join(BERT) + "\n", "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}},
    "bert cased": {"vocab.txt": "\n".join(BERT) + "\n", "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}},
    "bert accents": {"vocab.txt": "\n".join(BERT) + "\n", "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "strip_accents": False, "tokenize_chinese_chars": False, "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}},
    "esm": {"vocab.txt": "\n".join(ESM), "tokenizer_config.json": {"tokenizer_class": "EsmTokenizer", "unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<cls>", "mask_token": "<mask>", "eos_token": "<eos>"}},
    "json": {"tokenizer.json": tokenizer_json(), "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "additional_special_tokens": ["<|user|>", "<|bot|>"], "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}},
    "json alone": {"tokenizer.json": tokenizer_json(), "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}},
    "json gpt2 prefix space": {"tokenizer.json": tokenizer_json(), "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, **END}},
    "json add bos": {"tokenizer.json": tokenizer_json(), "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True, **END}},
    "json add eos only": {"tokenizer.json": tokenizer_json({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [VOCAB["<|endoftext|>"]], "tokens": ["<|endoftext|>"]}}}), "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "add_eos_token": True, **END}},
    "json template": {"tokenizer.json": tokenizer_json({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [VOCAB["<|endoftext|>"]], "tokens": ["<|endoftext|>"]}}}), "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", **END}},
}

made = {}
for name, files in FOLDERS.items():
    with tempfile.TemporaryDirectory() as folder:
        for file, content in files.items():
            (pathlib.Path(folder) / file).write_text(content if isinstance(content, str) else json.dumps(content))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        texts = [{"text": t, "ids": tokenizer.encode(t), "plain": tokenizer.encode(t, add_special_tokens=False)} for t in TEXTS]
        made[name] = {"files": files, "texts": texts, **{n: getattr(tokenizer, f"{n}_token_id") for n in ("bos", "eos", "pad")}}
        print(name, type(tokenizer).__name__)
(HERE / "folders.json").write_text("{\n" + ",\n".join(json.dumps(k) + ":" + json.dumps(v, ensure_ascii=True, separators=(",", ":")) for k, v in made.items()) + "\n}\n")
