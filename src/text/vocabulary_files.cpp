// SPDX-License-Identifier: Apache-2.0
// Tokenizers from before tokenizer.json: a vocabulary, perhaps with merges, and the rest by the settings' class.
#include <sstream>

#include "src/base/readable.h"
#include "src/text/bpe.h"
#include "src/text/normalizers.h"
#include "src/text/pre_tokenizers.h"
#include "src/text/tokenizer_json.h"
#include "vene/base/error.h"

namespace vene::text {
namespace {

Bpe::Merges read_merges(const std::string& path) {
  Bpe::Merges pairs;
  std::istringstream lines(read_regular_file(path));
  std::string line;
  for (std::int64_t number = 1; std::getline(lines, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line.starts_with("#version")) continue;
    const std::size_t space = line.find(' ');
    if (space == std::string::npos || space == 0 || space + 1 == line.size()) {
      throw IoError(path + ", line " + std::to_string(number) + ": expected two pieces, got '" + shortened(line) + "'");
    }
    pairs.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return pairs;
}

// Special tokens of a class, those that the vocabulary has: found in the text as they stand.
void add_special(PipelineParts& parts, const std::vector<std::string>& contents) {
  for (const std::string& content : contents) {
    if (!parts.model->vocabulary().id(content)) continue;
    AddedToken token;
    token.content = content;
    token.special = true;
    parts.add(std::move(token));
  }
}

}  // namespace

PipelineParts read_vocabulary_and_merges(const std::string& vocabulary, const std::string& merges,
                                         const Settings& settings) {
  const detail::Json json = read_json_file(vocabulary);
  if (!json.is_object()) throw IoError(vocabulary + ": expected an object of pieces and ids");
  detail::Json whole;
  whole["vocab"] = json;
  PipelineParts parts;
  parts.model = std::make_unique<Bpe>(Vocabulary::read(Part(whole, vocabulary, ""), "vocab"), read_merges(merges),
                                      BpeOptions{}, merges);
  parts.kind = "byte-level BPE";
  parts.decoder = byte_level_decoder();
  const bool prefix_space = settings.flag("add_prefix_space").value_or(false);
  const std::string& name = settings.tokenizer_class();
  if (name == "Qwen2Tokenizer") {
    std::vector<std::unique_ptr<Step>> steps;
    steps.push_back(split_isolated(kQwen2Words));
    steps.push_back(byte_level(prefix_space, /*words=*/false));
    parts.normalizer = nfc_normalizer();
    parts.pre_tokenizer = in_order(std::move(steps));
  } else {
    parts.pre_tokenizer = byte_level(prefix_space, /*words=*/true);
  }
  add_special(parts, {settings.named("eos", "<|endoftext|>")});
  const bool roberta = name == "RobertaTokenizer" || name == "BartTokenizer" || name == "LongformerTokenizer";
  if (roberta)
    add_special(parts, {settings.named("bos", "<s>"), settings.named("eos", "</s>"), settings.named("unk", "<unk>"),
                        settings.named("pad", "<pad>"), settings.named("mask", "<mask>")});
  settings.apply(parts);
  settings.put_around(parts);
  if (roberta) {
    const auto cls = parts.id_of(settings.named("cls", "<s>")), sep = parts.id_of(settings.named("sep", "</s>"));
    if (!cls || !sep) throw IoError(vocabulary + ": a RobertaTokenizer's vocabulary without its cls or sep token");
    parts.post_processor = around(cls, sep);
    if (!parts.bos) parts.bos = cls;
    if (!parts.eos) parts.eos = sep;
    parts.ends = settings.ends(parts.eos);
    if (!parts.pad) parts.pad = parts.id_of("<pad>");
  }
  return parts;
}

PipelineParts read_vocabulary_lines(const std::string& path, const Settings& settings) {
  Vocabulary vocabulary;
  std::istringstream lines(read_regular_file(path));
  std::string line;
  for (std::int64_t id = 0; std::getline(lines, line); ++id) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.pop_back();
    vocabulary.add(line, id, path);
  }
  PipelineParts parts;
  const bool esm = settings.tokenizer_class() == "EsmTokenizer";
  if (esm) {
    const std::string unknown = settings.named("unk", "<unk>"), cls = settings.named("cls", "<cls>"),
                      eos = settings.named("eos", "<eos>");
    const auto first = vocabulary.id(cls), last = vocabulary.id(eos);
    if (!first || !last || !vocabulary.id(unknown))
      throw IoError(path + ": an EsmTokenizer's vocabulary without '" + cls + "', '" + eos + "' or '" + unknown + "'");
    std::vector<std::string> pieces;
    vocabulary.each([&](const std::string& piece, std::int64_t) { pieces.push_back(piece); });
    parts.model = word_level(std::move(vocabulary), unknown);
    parts.pre_tokenizer = space_words();
    for (const std::string& piece : pieces) {  // every one is found as it stands, spaces or none
      AddedToken token;
      token.content = piece;
      parts.add(std::move(token));
    }
    add_special(parts, {unknown, cls, eos, settings.named("pad", "<pad>"), settings.named("mask", "<mask>")});
    settings.apply(parts);
    parts.post_processor = around(first, last);
    if (!parts.eos) parts.eos = last;
    parts.ends = settings.ends(parts.eos);
    if (!parts.pad) parts.pad = parts.id_of(settings.named("pad", "<pad>"));
    return parts;
  }
  const std::string unknown = settings.named("unk", "[UNK]"), cls = settings.named("cls", "[CLS]"),
                    sep = settings.named("sep", "[SEP]"), pad = settings.named("pad", "[PAD]");
  const auto first = vocabulary.id(cls), last = vocabulary.id(sep);
  if (!first || !last || !vocabulary.id(unknown)) {
    throw IoError(path + ": a vocabulary without '" + unknown + "', '" + cls + "' or '" + sep +
                  "' is not BERT's; expected that, or \"tokenizer_class\": \"EsmTokenizer\" in tokenizer_config.json");
  }
  const bool lower = settings.flag("do_lower_case").value_or(true);
  parts.model = word_piece(std::move(vocabulary), unknown, "##", 100);
  parts.normalizer = bert_normalizer(/*clean=*/true, settings.flag("tokenize_chinese_chars").value_or(true),
                                     settings.flag("strip_accents").value_or(lower), lower);
  parts.pre_tokenizer = bert_words();
  parts.decoder = word_piece_decoder("##", /*clean=*/true);
  parts.post_processor = around(first, last);
  add_special(parts, {unknown, sep, pad, cls, settings.named("mask", "[MASK]")});
  settings.apply(parts);
  if (!parts.pad) parts.pad = parts.id_of(pad);
  return parts;
}

}  // namespace vene::text
