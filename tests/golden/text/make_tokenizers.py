# SPDX-License-Identifier: Apache-2.0
"""Writes tokenizers.json (over 100 small tokenizer.json, all kinds of parts and orders), tokenizer_texts.json (200 nasty
texts) and tokenizer_results.json: what the tokenizers library makes of every text with every tokenizer. Vocabularies are tiny
and seeded. Results are one line a
tokenizer: ids of every text, places as begin, end, begin, end ..., and the decoded text with what is put around and special
tokens left out; where ids without those, special tokens kept, decode to another text, both. Places are in characters of the text; "trim_offsets" is off throughout, since
here a place is that of a token's whole text.

    python make_tokenizers.py

Made with python 3.11, tokenizers 0.23.3.
"""
import base64
import json
import pathlib
import random
import struct

import tokenizers
from tokenizers import Tokenizer

assert tokenizers.__version__.startswith("0.23."), tokenizers.__version__
HERE = pathlib.Path(__file__).parent
rng = random.Random(15)

# ---------------------------------------------------------------- texts
PLAIN = [
    "a", " ", "  ", "ab", "Hello world", " Hello", "  two  spaces ", "trailing  ", "\n", "\n\n a\t\tb\r\n", "it's we'd THEY'RE I'LL o'clock don't",
    "123456 1,234.5 x12 ½ Ⅳ ٢٠", "café", "cafe\u0301", "e\u0301\u0301x", "ﬁne ① ２", "日本語のテキスト カタカナ ー x", "🙂👩‍👩‍👧‍👦🇩🇪", "a\u00a0b\u2003c\u3000d\u0085e", "\u200b\ufeff",
    "\x01\x7f", "a\x00b", "Ωμέγα ωμεγα ΣΑΣ", "<s>", "a<s>b", "<s><s>", " <s> b", "a <mask> b", "a<mask>b", "a\u3000<mask>\u00a0b", "word words sword word", "-word-", "WORD Word", "éword wordé", "<unk>", "a<unk>b",
    "İstanbul ẞ ß ſ K", "각 \u1100\u1161\u11a8 한국어", "ÿ\u0344", "\t x \t", "    four", "a" * 40, "'", "''s", "the the the", "▁a ▁", "a▁b", "a_b c-d e.f, g! h? (i) [j] {k}", "##ab ab##", "ab</w>cd", "<0x41>", "<0x0A>x", "Ġa Ċ", "ĠĠ",
    "a|b|c", "http://x.y/z?q=1&r=2", "don't do not can't I'm you've we're it ' s", "e\u0323\u0301 \u0301\u0323e", "\u0301", " \u0301", "q\u0307\u0323", "ậ", "\u1e9b\u0323", "½¾", "x²", "²", "a\u200db\u200cc", "नमस्ते दुनिया",
    "สวัสดี", "مرحبا بالعالم", "שָׁלוֹם", "Привет, мир!", "ÀÉÎÕÜ àéîõü", "ŒœÆæ", "…—–‘’“”«»", "€£¥$+<=>^`|~", "©®™", "\u00ad soft\u00adhyphen", "\u2028\u2029", "\u0e33", "x\ty\nz", "0", "00", "1a2b3", "A1", "a1b", "  a", "a  ",
    "ab ab ab abc", "abcabc", "hug hugs pug bun", "unhappiness", "lower lowest newer wider", "aaa bbb", "\r", "\r\n", "a\r\nb", "a\n", "\na", "a\n\nb", "!!!", "a!", "!a", "...", "a...b", "\u2581\u2581", "Ａｂ", "\ue000", "\U000e0001", "\U0001f9ff", "\U00020000x",
    "ǆ ǅ Ǆ", "ﬀ ﬃ", "™ ℃ Å \u212b", "\u0130 i\u0307", "①②③", "㍿", "ｶﾞ", "か\u3099", "\u0f73", "\ufb1d", "\u0958", "\u2126 \u03a9", "\u1f71", "a\u0315\u0300\u05ae\u0062", "<S> </S>", "x<mask>", "<mask> x", "<mask><mask>", "s<mask>s word",
]
RANGES = [(0x20, 0x7E)] * 5 + [(0x61, 0x64)] * 4 + [(0xA0, 0x17F), (0x300, 0x345), (0x370, 0x3FF), (0x900, 0x94D), (0x1100, 0x1112), (0x2000, 0x206F), (0x4E00, 0x4FFF), (0xFF01, 0xFF5E), (0x1F300, 0x1F64F), (0x9, 0xD), (0xAC00, 0xAC80), (0x3041, 0x3096)]
TEXTS = list(dict.fromkeys(PLAIN))
while len(TEXTS) < 200:
    text = "".join(chr(rng.randint(*rng.choice(RANGES))) for _ in range(rng.randint(1, 24)))
    for cut in ("<mask>", " word ", "<s>"):
        if rng.random() < 0.15:
            at = rng.randint(0, len(text))
            text = text[:at] + cut + text[at:]
    if text not in TEXTS:
        TEXTS.append(text)

# ---------------------------------------------------------------- vocabularies
LETTERS = list("abcdefghilmnoprstuwx") + list("ABHTW") + list("0123'.,!-") + ["é", "日", "本", "Ω", "\u0301", "½"]


def byte_characters():
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(b) for b in visible] + [chr(256 + i) for i in range(256 - len(visible))]


def merged(alphabet, words, count, prefix="", suffix=""):
    """A BPE vocabulary: merges of neighbours of seeded words, in a seeded order."""
    vocab, merges = list(dict.fromkeys(alphabet)), []
    cut = [[(prefix if i and prefix else "") + c + (suffix if suffix and i == len(w) - 1 else "") for i, c in enumerate(w)] for w in words]
    for word in cut:
        for piece in word:
            if piece not in vocab:
                vocab.append(piece)
    while len(merges) < count:
        pairs = [(w[i], w[i + 1]) for w in cut for i in range(len(w) - 1)]
        if not pairs:
            break
        pair = rng.choice(pairs)
        made = pair[0] + pair[1][len(prefix) if prefix and pair[1].startswith(prefix) else 0:]
        merges.append(list(pair))
        if made not in vocab:
            vocab.append(made)
        for w in cut:
            i = 0
            while i < len(w) - 1:
                if (w[i], w[i + 1]) == pair:
                    w[i:i + 2] = [made]
                i += 1
    return vocab, merges


WORDS = ["hello", "world", "the", "word", "words", "hugs", "bun", "lower", "newest", "unhappiness", "don't", "ab", "abc", "aaa", "12", "the"]
SPACED = {"Ġ": ["Ġ" + w for w in WORDS[:8]] + WORDS, "▁": ["▁" + w for w in WORDS[:8]] + WORDS + ["▁▁"], " ": [" " + w for w in WORDS[:6]] + WORDS}


def bpe(space="", bytes_too=False, unk=None, extra=(), alphabet=None, fallback=None, prefix="", suffix="", **options):
    letters = byte_characters() if bytes_too else (alphabet if alphabet is not None else LETTERS)
    words = SPACED.get(space, WORDS)
    if fallback:
        extra = [*extra, *(f"<0x{b:02X}>" for b in (range(256) if fallback == "all" else range(0x40, 0xC4)))]
    vocab, merges = merged([*([unk] if unk else []), *letters, *([space] if space else [])], words, 30, prefix, suffix)
    vocab = [*vocab, *(e for e in extra if e not in vocab)]
    return {"type": "BPE", "dropout": None, "unk_token": unk, "continuing_subword_prefix": prefix or None, "end_of_word_suffix": suffix or None, "fuse_unk": False, "byte_fallback": bool(fallback), "ignore_merges": False,
            "vocab": {p: i for i, p in enumerate(vocab)}, "merges": merges, **options}


def unigram(space="▁", unk_id=0, fallback=False, extra=()):
    pieces = ["<unk>", *LETTERS, space, *SPACED["▁"], *extra]
    pieces = list(dict.fromkeys(pieces))
    if fallback:
        pieces += [f"<0x{b:02X}>" for b in range(256)]
    return {"type": "Unigram", "unk_id": unk_id, "vocab": [[p, 0.0 if p == "<unk>" else round(-rng.uniform(1, 9) - 0.0 * len(p), 4)] for p in pieces], "byte_fallback": fallback}


def wordpiece(**options):
    pieces = ["[UNK]", "[CLS]", "[SEP]", *LETTERS, *("##" + c for c in LETTERS), *WORDS, *("##" + w for w in ["s", "er", "est", "ness", "llo", "ord"]), "hel", "un", "##happi", "!", "日"]
    return {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {p: i for i, p in enumerate(dict.fromkeys(pieces))}, **options}


def wordlevel(words=(), unk="<unk>"):
    pieces = ["<unk>", *WORDS, "a", "b", "c", " ", ".", ",", "!", "'", "s", "Hello", "日本語", "1", "12", "½", *words]
    return {"type": "WordLevel", "vocab": {p: i for i, p in enumerate(dict.fromkeys(pieces))}, "unk_token": unk}


# ---------------------------------------------------------------- parts
def token(content, **options):
    return {"id": 0, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **options}


def byte_level(space=False, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": False, "use_regex": regex}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def metaspace(scheme="always", cut=True, replacement="▁"):
    return {"type": "Metaspace", "replacement": replacement, "prepend_scheme": scheme, "split": cut}


def many(kind, *parts):
    key = {"n": "normalizers", "p": "pretokenizers", "d": "decoders", "o": "processors"}[kind]
    return {"type": "Sequence", key: list(parts)}


def n(kind, **options):
    return {"type": kind, **options}


def replace(pattern, content, kind="String"):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def strip(left, right):
    return {"type": "Strip", "strip_left": left, "strip_right": right}


def bert(**options):
    return {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True, **options}


def charsmap(pairs):
    """A SentencePiece table of replacements: a darts-clone double array whose units are laid out one block a node."""
    nodes, texts = [{}], b""
    for old, new in sorted(pairs.items()):
        at = 0
        for byte in old.encode():
            at = nodes[at].setdefault(byte, len(nodes)) if byte in nodes[at] else nodes[at].setdefault(byte, (nodes.append({}), len(nodes) - 1)[1])
        nodes[at]["value"] = len(texts)
        texts += new.encode() + b"\0"
    place, units = {0: 0}, {}
    block = 256  # children of node k lie at block k: base ^ byte
    for k, node in enumerate(nodes):
        base = (k + 1) * block
        at = place[k]
        offset = at ^ base
        unit = units.get(at, 0) | (offset << 10 if offset < 1 << 21 else (offset >> 8) << 10 | 1 << 9)
        if "value" in node:
            unit |= 1 << 8
            units[base] = node["value"] | 1 << 31
        units[at] = unit
        for byte, child in node.items():
            if byte != "value":
                place[child] = base ^ byte
                units[base ^ byte] = byte
    trie = b"".join(struct.pack("<I", units.get(i, 0)) for i in range(max(units) + 1))
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + texts).decode()


PRECOMPILED = {"type": "Precompiled", "precompiled_charsmap": charsmap({"ﬁ": "fi", "①": "1", "\u3000": " ", "é": "e\u0301", "e\u0301": "é", "\u200b": "", "２": "2", "Ａ": "A", "\t": " ", "\u00a0": " "})}


def template(*single, **ids):
    pieces = [{"Sequence": {"id": "A", "type_id": 0}} if p == "$A" else {"SpecialToken": {"id": p, "type_id": 0}} for p in single]
    named = {p: {"id": p, "ids": ids.get(f"t{i}", [i]), "tokens": [p] * len(ids.get(f"t{i}", [i]))} for i, p in enumerate(dict.fromkeys(x for x in single if x != "$A"))}
    return {"type": "TemplateProcessing", "single": pieces, "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": named}


LLAMA = many("d", replace("▁", " "), n("ByteFallback"), n("Fuse"), {"type": "Strip", "content": " ", "start": 1, "stop": 0})
SPECIAL = [token("<s>", special=True), token("<mask>", lstrip=True, rstrip=True, special=True), token("word", single_word=True)]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT4O = "|".join([r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?", r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?", r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
FILES = {}


def file(name, model, pre=None, normalizer=None, decoder=None, post=None, added=SPECIAL):
    assert name not in FILES, name
    FILES[name] = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer, "pre_tokenizer": pre, "post_processor": post, "decoder": decoder, "model": model}


BYTES = bpe("Ġ", True, extra=["<s>"])
PLAINBPE = bpe(unk="<unk>")
META = bpe("▁", unk="<unk>", extra=["<s>"])
UNI = unigram()
PIECE = wordpiece()
LEVEL = wordlevel()
DB, DM = byte_level(), {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
DW = {"type": "WordPiece", "prefix": "##", "cleanup": True}

# byte-level, and orders around it
for name, pre in {
    "bytes": byte_level(), "bytes-prefix": byte_level(True), "bytes-no-regex": byte_level(False, False), "bytes-prefix-no-regex": byte_level(True, False),
    "digits-bytes": many("p", n("Digits", individual_digits=True), byte_level()), "digit-runs-bytes-prefix": many("p", n("Digits", individual_digits=False), byte_level(True)),
    "bytes-digits": many("p", byte_level(), n("Digits", individual_digits=True)), "falcon": many("p", n("Punctuation", behavior="Contiguous"), byte_level(), n("Digits", individual_digits=False), split("[0-9][0-9][0-9]")),
    "bytes-split-g": many("p", byte_level(False, False), split("Ġ", "MergedWithNext", kind="String")), "bytes-split-space": many("p", byte_level(False, False), split(" ", "Removed", kind="String")),
    "llama3": many("p", split(LLAMA3), byte_level(False, False)), "qwen2": many("p", split(QWEN2), byte_level(False, False)), "gpt4o": many("p", split(GPT4O), byte_level(False, False)), "split-gpt2": many("p", split(GPT2), byte_level(False, False)),
    "gpt2-removed-inverted": many("p", split(GPT2, "Removed", True), byte_level(False, False)), "split-bytes-prefix": many("p", split(r"\s+", "Isolated"), byte_level(True)),
    "space-split-bytes": many("p", n("WhitespaceSplit"), byte_level(True)), "punctuation-bytes": many("p", n("Punctuation", behavior="Isolated"), byte_level()),
    "bytes-bytes": many("p", byte_level(), byte_level(False, False)), "scripts-bytes": many("p", n("UnicodeScripts"), byte_level()), "deepseek": many("p", split(r"[\r\n]", "Isolated"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(r"[一-龥ࠀ-一가-퟿]+"), n("Digits", individual_digits=True), byte_level(False, False)),
}.items():
    file(name, BYTES, pre, None, DB, byte_level() if "prefix" in name else None)
for form in ("NFC", "NFD", "NFKC", "NFKD"):
    file("bytes-" + form, BYTES, byte_level(), n(form), DB)
    file("plain-" + form, PLAINBPE, n("Whitespace"), n(form), None)
file("bytes-lower-normalized", BYTES, byte_level(), n("Lowercase"), DB, added=[token("WORD", normalized=True), token("<S>", normalized=True, special=True), token("Word", single_word=True, normalized=True, lstrip=True)])
file("bytes-normalizer", BYTES, split(r"Ġ?[^Ġ]+"), n("ByteLevel"), DB)
file("bytes-unk", bpe("Ġ", False, unk="<unk>", alphabet=[c for c in byte_characters() if c.isascii()] + ["Ġ", "©"]), byte_level(), None, DB)
file("bytes-fuse-unk", bpe("Ġ", False, unk="<unk>", alphabet=[c for c in byte_characters() if c.isascii()] + ["Ġ"], fuse_unk=True), byte_level(), None, DB)
file("bytes-ignore-merges", {**bpe("Ġ", True, extra=["<s>", "Hello", "Ġworld", "don"]), "ignore_merges": True}, byte_level(), None, DB)

# the five behaviours, either way round, of both kinds of pattern
for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
    for invert in (False, True):
        file(f"split-{behavior}-{invert}", PLAINBPE, split(r"[aeiou\s]", behavior, invert))
    file(f"string-{behavior}", PLAINBPE, split("a", behavior, False, "String"))
    file(f"punctuation-{behavior}", PLAINBPE, n("Punctuation", behavior=behavior))
file("string-inverted", PLAINBPE, split("ab", "Removed", True, "String"))
file("string-regex-letters", PLAINBPE, split(r"\s+(?!\S)|\s+", "Isolated", False, "String"))
file("string-empty", PLAINBPE, split("", "Isolated", False, "String"))
file("regex-empty-matches", PLAINBPE, split("a*", "Isolated"))
file("regex-empty-merged", PLAINBPE, split("b?", "MergedWithPrevious"))

# Oniguruma's own meanings
for name, expression in {
    "hex": r"\h+", "not-hex": r"\H+", "dollar": r"$", "dollar-word": r"\w+$", "caret": r"^.", "dot": r".", "dot-m": r"(?m:.)+", "dot-m-off": r"(?m-m:.)+", "posix": r"[[:alpha:]]+|[[:digit:]]", "posix-punct": r"[[:punct:]]", "posix-not": r"[[:^space:]]+",
    "posix-word": r"[[:word:]]+", "posix-graph": r"[[:graph:]]+", "posix-print": r"[[:print:]]+", "posix-cntrl": r"[[:cntrl:]]", "posix-blank": r"[[:blank:]]+", "posix-xdigit": r"[[:xdigit:]]+", "posix-upper": r"[[:upper:]]|[[:lower:]]+", "posix-ascii": r"[[:ascii:]]+", "alnum": r"\p{Alnum}+", "p-punct": r"\p{Punct}",
    "word": r"\w+", "not-word": r"\W+", "boundary": r"\b", "not-boundary": r"a\B", "digit": r"\d+", "space": r"\s", "possessive": r"a++|[^a\s]++", "possessive-interval": r"(?:ab){1,2}+", "lazy": r"a+?b*?", "interval-open": r"a{,2}", "interval-literal": r"a{x}|\{", "interval-optional": r"[a-d]{2}?",
    "intersection": r"[a-z&&[^aeiou]]+", "bracket-first": r"[]a]+", "class-dash": r"[a\-c-]+|[\w-]", "class-hex": r"[\h&&[^0-9]]+", "p-negated": r"\p{^L}+", "p-upper": r"\P{Lu}+", "scripts": r"\p{Han}+|\p{Hiragana}+|\p{Greek}+", "ignore-case": r"(?i)hello|ω", "ignore-case-inside": r"(?i:THE) |w", "extended": "(?x) a b  # ab\n | c",
    "lookbehind": r"(?<=a)b|(?<!a)c", "lookahead": r"a(?=b)|\s(?!\s)", "atomic": r"(?>a+)b?", "reference": r"(.)\1", "named": r"(?<x>[a-z])\k<x>", "not-newline": r"\N+", "any": r"\O+", "newlines": r"\R", "string-ends": r"\A.|.\z", "string-end-newline": r"a\Z|b\z", "code": r"\x{61}|\u0062|\t|\x63", "braces": r"a}|\]|b]", "alternatives-flag": r"a(?i)b|c",
}.items():
    file("onig-" + name, PLAINBPE, split(expression, "Isolated"), added=[])

# plain BPE's options
file("bpe-bare", PLAINBPE)
file("bpe-prefix", bpe(unk="<unk>", prefix="##"), n("Whitespace"), None, DW)
file("bpe-suffix", bpe(unk="<unk>", suffix="</w>"), n("BertPreTokenizer"), n("Lowercase"), {"type": "BPEDecoder", "suffix": "</w>"})
file("bpe-clip", bpe(unk="<unk>", suffix="</w>"), split(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", "Removed", True), many("n", n("NFC"), replace(r"\s+", " ", "Regex"), n("Lowercase")), {"type": "BPEDecoder", "suffix": "</w>"}, {"type": "RobertaProcessing", "sep": ["<s>", 3], "cls": ["<unk>", 0], "trim_offsets": False, "add_prefix_space": False})
file("bpe-no-unk", {**bpe(), "unk_token": None}, n("Whitespace"))
file("bpe-fallback", {**bpe("▁", unk="<unk>", fallback="all"), "fuse_unk": True}, None, many("n", n("Prepend", prepend="▁"), replace(" ", "▁")), LLAMA, template("<s>", "$A"))
file("bpe-fallback-some", {**bpe("▁", unk="<unk>", fallback="some"), "fuse_unk": True}, metaspace("first", False), None, LLAMA)
file("bpe-fallback-some-apart", bpe("▁", unk="<unk>", fallback="some"), metaspace("first", False), None, LLAMA)
file("bpe-gemma", {**bpe("▁", unk="<unk>", fallback="all"), "fuse_unk": True}, split(" ", "MergedWithPrevious", kind="String"), replace(" ", "▁"), many("d", replace("▁", " "), n("ByteFallback"), n("Fuse")), template("<s>", "$A", "<s>"))

# Metaspace
for scheme in ("always", "first", "never"):
    for cut in (True, False):
        file(f"meta-{scheme}-{cut}", META, metaspace(scheme, cut), None, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut})
file("meta-old", META, {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}, None, {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True})
file("meta-underscore", PLAINBPE, metaspace("always", True, "_"), None, {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True})
file("space-meta", META, many("p", n("WhitespaceSplit"), metaspace("first")), None, DM)
file("space-meta-always", UNI, many("p", n("WhitespaceSplit"), metaspace("always")), None, DM)
file("meta-digits", META, many("p", metaspace("always"), n("Digits", individual_digits=True)), None, DM)
file("digits-meta", META, many("p", n("Digits", individual_digits=True), metaspace("first", False)), n("NFKC"), DM)

# Unigram
file("unigram", UNI, metaspace("always"), None, DM)
file("unigram-bare", unigram(fallback=True), None, None, many("d", n("ByteFallback"), replace("▁", " "), n("Fuse")))
file("unigram-fallback", unigram(fallback=True), metaspace("first", False), n("Nmt"), many("d", n("ByteFallback"), DM))
file("unigram-precompiled", UNI, metaspace("always"), PRECOMPILED, DM, template("$A", "<s>"))
file("unigram-t5", UNI, metaspace("always"), many("n", PRECOMPILED, strip(False, True), replace(" {2,}", "▁", "Regex")), DM)
file("unigram-albert", UNI, many("p", n("UnicodeScripts"), metaspace("always")), many("n", replace("``", '"'), n("NFKD"), n("StripAccents"), n("Lowercase"), PRECOMPILED), DM, template("<s>", "$A", "<s>"))

# WordPiece, WordLevel
file("bert", PIECE, n("BertPreTokenizer"), bert(), DW, {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]}, [token("[UNK]", special=True), token("[CLS]", special=True), token("[SEP]", special=True), token("<mask>", special=True, lstrip=True)])
file("bert-cased", PIECE, n("BertPreTokenizer"), bert(lowercase=False), DW, template("[UNK]", "[CLS]", "$A", "[SEP]"))
file("bert-accents", PIECE, n("BertPreTokenizer"), bert(lowercase=True, strip_accents=False, handle_chinese_chars=False), {**DW, "cleanup": False})
file("bert-raw", PIECE, n("BertPreTokenizer"), bert(clean_text=False, lowercase=False, strip_accents=True), DW)
file("wordpiece-short", wordpiece(max_input_chars_per_word=4), n("Whitespace"), n("StripAccents"), DW)
file("wordpiece-no-pre", PIECE, None, strip(True, True), DW)
file("wordpiece-punctuation", PIECE, many("p", n("WhitespaceSplit"), n("Punctuation", behavior="MergedWithPrevious")), n("Nmt"), DW)
file("wordlevel", LEVEL, n("Whitespace"))
file("wordlevel-split", LEVEL, n("WhitespaceSplit"), n("Lowercase"))
file("wordlevel-delimiter", wordlevel(["http:", "x.y"]), n("CharDelimiterSplit", delimiter="/"))
file("wordlevel-pipe-ctc", wordlevel(["|"]), split("", "Isolated", kind="String"), None, {"type": "CTC", "pad_token": "<unk>", "word_delimiter_token": " ", "cleanup": True})
file("wordlevel-ctc-raw", LEVEL, split("", "Isolated", kind="String"), None, {"type": "CTC", "pad_token": "a", "word_delimiter_token": "|", "cleanup": False})
file("wordlevel-scripts", LEVEL, n("UnicodeScripts"))
file("wordlevel-fixed", LEVEL, n("FixedLength", length=2))

# normalizers by themselves and in sequences
for name, normalizer in {
    "lower": n("Lowercase"), "accents": many("n", n("NFD"), n("StripAccents")), "accents-alone": n("StripAccents"), "strip-left": strip(True, False), "strip-right": strip(False, True), "strip": strip(True, True), "strip-none": strip(False, False), "nmt": n("Nmt"), "prepend": n("Prepend", prepend="ab"),
    "replace": replace("a", "xyz"), "replace-longer": replace("the", "a"), "replace-none": replace(" ", ""), "replace-regex": replace(r"\s+", " ", "Regex"), "replace-regex-empty": replace(r"b*", "-", "Regex"), "precompiled": PRECOMPILED, "bert": bert(), "lower-nfd-nfc": many("n", n("Lowercase"), n("NFD"), n("NFC")),
    "nfkc-replace-lower": many("n", n("NFKC"), replace("fi", "FI"), n("Lowercase"), strip(True, True)), "prepend-nfd": many("n", n("Prepend", prepend="é"), n("NFD")), "nmt-nfkc": many("n", n("Nmt"), n("NFKC"), replace(" {2,}", " ", "Regex")), "empty": many("n"),
}.items():
    file("normal-" + name, PLAINBPE, n("WhitespaceSplit") if len(name) % 2 else None, normalizer, added=[*SPECIAL, token("Hello", normalized=True)])

# decoders and post-processors in odd company
file("decoder-strip-replace", META, metaspace("always"), None, many("d", {"type": "Strip", "content": "▁", "start": 1, "stop": 1}, replace("[aeiou]", "*", "Regex"), {"type": "Metaspace", "replacement": "b", "prepend_scheme": "never", "split": True}))
file("decoder-fuse-bytes", BYTES, byte_level(), None, many("d", n("Fuse"), DB))
file("processors", BYTES, byte_level(), None, DB, many("o", byte_level(), template("<s>", "$A", "$A", "<s>", t0=[5, 6]), {"type": "BertProcessing", "sep": ["x", 7], "cls": ["y", 8]}))
file("roberta", BYTES, byte_level(True), None, DB, {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": False, "add_prefix_space": True}, [token("<s>", special=True), token("<mask>", lstrip=True, special=True)])
file("added-many", BYTES, byte_level(), n("NFC"), DB, None, [token("ab"), token("abc", rstrip=True), token("a", single_word=True), token(" ", single_word=True), token("é", normalized=True), token("\u0301x"), token("  "), token("</w>", special=True, lstrip=True), token("日本", rstrip=True, lstrip=True)])

file("processors-roberta", BYTES, byte_level(), None, DB, many("o", template("$A", "<s>"), {"type": "RobertaProcessing", "sep": ["x", 7], "cls": ["y", 8], "trim_offsets": False, "add_prefix_space": False}))
file("processors-template-bytes", BYTES, byte_level(), None, DB, many("o", template("<s>", "$A", "<s>"), byte_level()))
file("processors-two-templates", BYTES, byte_level(), None, DB, many("o", template("<s>", "$A"), template("x", "$A")))

# ---------------------------------------------------------------- results
(HERE / "tokenizers.json").write_text("{\n" + ",\n".join(json.dumps(k) + ":" + json.dumps(v, ensure_ascii=True, separators=(",", ":")) for k, v in FILES.items()) + "\n}\n")
(HERE / "tokenizer_texts.json").write_text(json.dumps(TEXTS, ensure_ascii=True, indent=0) + "\n")


def decode(tokenizer, ids, skip):
    try:
        return tokenizer.decode(ids, skip_special_tokens=skip)
    except BaseException:  # the library ends in a panic: nothing to compare with
        return None


lines = []
for name, made in FILES.items():
    tokenizer = Tokenizer.from_str(json.dumps(made))
    ids, places, decoded = [], [], []
    for text in TEXTS:
        encoded = tokenizer.encode(text)
        plain = tokenizer.encode(text, add_special_tokens=False)
        ids.append(encoded.ids)
        places.append([x for pair in encoded.offsets for x in pair])
        both = [decode(tokenizer, encoded.ids, True), decode(tokenizer, plain.ids, False)]
        decoded.append(both[0] if both[0] == both[1] else both)
    lines.append(json.dumps(name) + ":" + json.dumps({"ids": ids, "places": places, "decoded": decoded}, ensure_ascii=True, separators=(",", ":")))
(HERE / "tokenizer_results.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
print(len(FILES), "files,", len(TEXTS), "texts")
