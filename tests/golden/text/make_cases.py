# SPDX-License-Identifier: Apache-2.0
"""Writes three small tokenizer.json (a folder each) and cases.json: what the tokenizers library makes of nasty and random
texts with them and with assets/landmarks-gpt2. Offsets are in characters.

    python make_cases.py

Made with python 3.11, tokenizers 0.23.
"""
import json
import pathlib
import random

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

assert tokenizers.__version__.startswith("0.23."), tokenizers.__version__
HERE = pathlib.Path(__file__).parent
ASSET = HERE.parents[2] / "assets" / "landmarks-gpt2"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CORPUS = ["The Space Needle is in downtown Seattle, and the Colosseum is in central Rome.", "café naïve résumé Ωμέγα",
          "She said: it's what we'd do, isn't it? They're here in 2024, 12345 times."] * 40
TEXTS = [
    "", " ", "  ", "a", "Hello world", " Hello", "  two  spaces ", "trailing  ", "\n", "\n\n a\t\tb\r\n", "it's we'd THEY'RE I'LL o'clock", "123456 1,234.5 x12",
    "café", "cafe\u0301", "e\u0301\u0301x", "ﬁne ① ２", "日本語のテキスト", "🙂👩‍👩‍👧‍👦🇩🇪", "a\u00a0b\u2003c\u3000d\u0085e", "\u200b\ufeff", "\x00\x01\x7f", "Ωμέγα ωμεγα",
    "<|endoftext|>", "a<|endoftext|>b", "<|endoftext|><|endoftext|>", "a <strip> b", "a<strip>b", "word words sword word", "-word-", "<|end|", "<|begin|>x<|end|>", "né\u0301e fix ﬁx",
    "Å \u212b A\u030a", "각 \u1100\u1161\u11a8", "ÿ\u0344", "\t x \t", "    four", "a" * 300, "'", "''s", "the the the",
]
rng = random.Random(5)
RANGES = [(0x20, 0x7E), (0x20, 0x7E), (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x3FF), (0x900, 0x97F), (0x1100, 0x11FF), (0x2000, 0x206F), (0x4E00, 0x4FFF), (0xFF00, 0xFFEF), (0x1F300, 0x1F64F), (0x9, 0xD)]
for _ in range(60):
    TEXTS.append("".join(chr(rng.randint(*rng.choice(RANGES))) for _ in range(rng.randint(1, 24))))


def trained(pre_tokenizer, normalizer, **options):
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer, tokenizer.normalizer, tokenizer.decoder = pre_tokenizer, normalizer, decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=340, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    return tokenizer


def added():
    tokenizer = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.NFC())
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.add_tokens([AddedToken("<strip>", lstrip=True, rstrip=True, normalized=False), AddedToken("word", single_word=True, normalized=False), AddedToken("née", normalized=True)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def template():
    split = pre_tokenizers.Split(Regex(LLAMA3), behavior="isolated")
    tokenizer = trained(pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), None, ignore_merges=True)
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>"])
    begin, end = tokenizer.token_to_id("<|begin|>"), tokenizer.token_to_id("<|end|>")
    template = processors.TemplateProcessing(single="<|begin|> $A <|end|>", special_tokens=[("<|begin|>", begin), ("<|end|>", end)])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


def digits():
    tokenizer = trained(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), normalizers.NFKC())
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def landmarks():
    tokenizer = Tokenizer(models.BPE.from_file(str(ASSET / "vocab.json"), str(ASSET / "merges.txt")))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


cases = []
for name, tokenizer in {"added": added(), "template": template(), "digits": digits(), "landmarks": landmarks()}.items():
    if name != "landmarks":
        (HERE / name).mkdir(exist_ok=True)
        (HERE / name / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")
    for text in TEXTS:
        encoded = tokenizer.encode(text)
        cases.append({"tokenizer": name, "text": text, "ids": encoded.ids, "plain": tokenizer.encode(text, add_special_tokens=False).ids, "offsets": encoded.offsets,
                      "decoded": tokenizer.decode(encoded.ids), "whole": tokenizer.decode(encoded.ids, skip_special_tokens=False)})
(HERE / "cases.json").write_text("[\n" + ",\n".join(json.dumps(case, ensure_ascii=True, separators=(",", ":")) for case in cases) + "\n]\n")
