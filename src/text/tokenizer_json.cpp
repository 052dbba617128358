// SPDX-License-Identifier: Apache-2.0
#include "src/text/tokenizer_json.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "src/base/json_problem.h"
#include "vene/base/error.h"
#include "vene/io/files.h"

namespace vene::text {
namespace {

using Json = nlohmann::json;

Json read_json(const std::string& path) {
  constexpr int kDeepest = 64;
  try {
    return Json::parse(io::read_file(path), [&](int depth, Json::parse_event_t, Json&) {
      if (depth > kDeepest) throw IoError(path + ": JSON nested deeper than " + std::to_string(kDeepest));
      return true;
    });
  } catch (const Json::exception& error) {
    throw IoError(path + ": " + json_problem(error.what()));
  }
}

class Reader {
 public:
  Reader(const Json& root, const std::string& path) : root_(root), path_(path) {}

  [[noreturn]] void fail(const std::string& what) const { throw IoError(path_ + ": " + what); }

  const Json& member(const Json& object, const char* key, const std::string& of) const {
    if (!object.is_object() || !object.contains(key)) fail(of + ": '" + key + "' is missing");
    return object[key];
  }
  std::string type(const Json& object, const std::string& of) const {
    const Json& type = member(object, "type", of);
    if (!type.is_string()) fail(of + ": its type is not a text");
    return type.get<std::string>();
  }
  bool flag(const Json& object, const char* key, bool otherwise) const {
    if (!object.contains(key) || object[key].is_null()) return otherwise;
    if (!object[key].is_boolean()) fail(std::string("'") + key + "': expected true or false");
    return object[key].get<bool>();
  }
  // The parts of a Sequence, or the one part itself.
  std::vector<Json> parts(const char* key, const char* list) const {
    std::vector<Json> all;
    if (root_.contains(key) && !root_[key].is_null()) unfold(root_[key], key, list, 0, all);
    return all;
  }

  std::shared_ptr<const Bpe> bpe() const {
    const Json& model = member(root_, "model", "tokenizer");
    const std::string kind = model.is_object() && model.contains("type") ? type(model, "model") : "BPE";
    if (kind != "BPE") fail("model of type '" + kind + "' is not supported; expected BPE");
    const Json& vocabulary = member(model, "vocab", "model");
    const Json& merges = member(model, "merges", "model");
    if (!vocabulary.is_object() || !merges.is_array()) fail("model: expected an object 'vocab' and a list 'merges'");
    std::unordered_map<std::string, std::int64_t> ids;
    for (const auto& [piece, id] : vocabulary.items()) {
      if (!id.is_number_integer()) fail("model.vocab: the id of '" + piece + "' is not an integer");
      ids.emplace(piece, id.get<std::int64_t>());
    }
    Bpe::Merges pairs;
    for (const Json& merge : merges) {
      if (merge.is_string()) {
        const std::string text = merge.get<std::string>();
        const std::size_t space = text.find(' ', 1);
        if (space == std::string::npos) fail("model.merges: '" + text + "' is not two pieces");
        pairs.emplace_back(text.substr(0, space), text.substr(space + 1));
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        pairs.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      } else {
        fail("model.merges: expected \"a b\" or [\"a\", \"b\"]");
      }
    }
    return std::make_shared<Bpe>(std::move(ids), pairs, flag(model, "ignore_merges", false), path_);
  }

  void words(ByteLevelParts& tokenizer) const {
    for (const Json& part : parts("pre_tokenizer", "pretokenizers")) {
      const std::string kind = type(part, "pre_tokenizer");
      WordStep step;
      if (kind == "ByteLevel") {
        tokenizer.prefix_space = tokenizer.prefix_space || flag(part, "add_prefix_space", false);
        if (!flag(part, "use_regex", true)) continue;
        step.pattern = std::make_shared<Pattern>(kGpt2Words, path_);
      } else if (kind == "Split") {
        const Json& pattern = member(part, "pattern", "Split");
        const std::string behavior =
            member(part, "behavior", "Split").is_string() ? part["behavior"].get<std::string>() : "?";
        const bool invert = flag(part, "invert", false);
        if (pattern.contains("Regex") && pattern["Regex"].is_string()) {
          step.pattern = std::make_shared<Pattern>(pattern["Regex"].get<std::string>(), path_ + ", pre_tokenizer");
        } else if (pattern.contains("String") && pattern["String"].is_string()) {
          std::string literal;
          for (char c : pattern["String"].get<std::string>()) literal += std::string("\\") + c;
          step.pattern = std::make_shared<Pattern>(literal, path_ + ", pre_tokenizer");
        } else {
          fail("pre_tokenizer Split: expected a pattern of Regex or String");
        }
        if (behavior == "Removed") {
          (invert ? step.matches_only : step.drop_matches) = true;
        } else if (behavior != "Isolated") {
          fail("pre_tokenizer Split: behavior '" + behavior + "' is not supported; expected Isolated or Removed");
        }
      } else if (kind == "Digits") {
        step.kind = WordStep::Kind::kDigits;
        step.single_digits = flag(part, "individual_digits", false);
      } else {
        fail("pre_tokenizer type '" + kind + "' is not supported");
      }
      tokenizer.words.push_back(std::move(step));
    }
  }

  void normal_forms(ByteLevelParts& tokenizer) const {
    for (const Json& part : parts("normalizer", "normalizers")) {
      const std::string kind = type(part, "normalizer");
      if (kind != "NFC" && kind != "NFKC" && kind != "NFD" && kind != "NFKD")
        fail("normalizer type '" + kind + "' is not supported");
      tokenizer.normal_forms.push_back(kind);
    }
  }

  void added(ByteLevelParts& tokenizer) const {
    if (!root_.contains("added_tokens") || root_["added_tokens"].is_null()) return;
    if (!root_["added_tokens"].is_array()) fail("added_tokens: expected a list");
    for (const Json& entry : root_["added_tokens"]) {
      AddedToken token;
      const Json& id = member(entry, "id", "added_tokens");
      const Json& content = member(entry, "content", "added_tokens");
      if (!id.is_number_integer() || !content.is_string() || id.get<std::int64_t>() < 0 ||
          id.get<std::int64_t>() > (std::int64_t{1} << 24)) {
        fail("added_tokens: expected an integer id and a text");
      }
      token.id = id.get<std::int64_t>();
      token.content = content.get<std::string>();
      token.special = flag(entry, "special", false);
      token.left_strip = flag(entry, "lstrip", false);
      token.right_strip = flag(entry, "rstrip", false);
      token.single_word = flag(entry, "single_word", false);
      token.normalized = flag(entry, "normalized", !token.special);
      tokenizer.added.push_back(std::move(token));
    }
  }

  void around(ByteLevelParts& tokenizer) const {
    for (const Json& part : parts("post_processor", "processors")) {
      const std::string kind = type(part, "post_processor");
      if (kind == "ByteLevel") continue;
      if (kind != "TemplateProcessing") fail("post_processor type '" + kind + "' is not supported");
      bool before = true;
      for (const Json& piece : member(part, "single", "TemplateProcessing")) {
        if (piece.contains("Sequence")) {
          before = false;
          continue;
        }
        const Json& name = member(member(piece, "SpecialToken", "TemplateProcessing"), "id", "SpecialToken");
        const Json& special = member(part, "special_tokens", "TemplateProcessing");
        if (!name.is_string() || !special.contains(name.get<std::string>()))
          fail("post_processor: a special token of its template is not defined");
        for (const Json& id : member(special[name.get<std::string>()], "ids", "special_tokens")) {
          if (!id.is_number_integer()) fail("post_processor: ids of special tokens must be integers");
          (before ? tokenizer.front : tokenizer.behind).push_back(id.get<std::int64_t>());
        }
      }
    }
  }

  bool byte_level() const {
    for (const Json& part : parts("pre_tokenizer", "pretokenizers")) {
      if (type(part, "pre_tokenizer") == "ByteLevel") return true;
    }
    return false;
  }

 private:
  void unfold(const Json& part, const std::string& of, const char* list, int depth, std::vector<Json>& all) const {
    if (depth > 8) fail(of + ": sequences nested too deep");
    if (type(part, of) != "Sequence") {
      all.push_back(part);
      return;
    }
    const Json& members = member(part, list, of);
    if (!members.is_array()) fail(of + ": expected a list '" + list + "'");
    for (const Json& entry : members) unfold(entry, of, list, depth + 1, all);
  }

  const Json& root_;
  const std::string& path_;
};

}  // namespace

std::unique_ptr<ByteLevelTokenizer> read_tokenizer_json(const std::string& path) {
  const Json root = read_json(path);
  if (!root.is_object()) throw IoError(path + ": expected a JSON object");
  try {
    const Reader reader(root, path);
    if (!reader.byte_level()) return nullptr;
    ByteLevelParts parts;
    parts.bpe = reader.bpe();
    reader.normal_forms(parts);
    reader.words(parts);
    reader.added(parts);
    reader.around(parts);
    return std::make_unique<ByteLevelTokenizer>(std::move(parts));
  } catch (const Json::exception& error) {
    throw IoError(path + ": " + error.what());
  }
}

std::unique_ptr<ByteLevelTokenizer> read_vocabulary_and_merges(const std::string& vocabulary,
                                                               const std::string& merges) {
  const Json json = read_json(vocabulary);
  if (!json.is_object()) throw IoError(vocabulary + ": expected an object of pieces and ids");
  std::unordered_map<std::string, std::int64_t> ids;
  for (const auto& [piece, id] : json.items()) {
    if (!id.is_number_integer()) throw IoError(vocabulary + ": the id of '" + piece + "' is not an integer");
    ids.emplace(piece, id.get<std::int64_t>());
  }
  Bpe::Merges pairs;
  std::istringstream lines(io::read_file(merges));
  std::string line;
  for (std::int64_t number = 1; std::getline(lines, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    const std::size_t space = line.find(' ');
    if (space == std::string::npos || space == 0 || space + 1 == line.size()) {
      throw IoError(merges + ", line " + std::to_string(number) + ": expected two pieces, got '" + line.substr(0, 60) +
                    "'");
    }
    pairs.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  ByteLevelParts parts;
  // "<|endoftext|>" and the like are in the vocabulary, and are found in the text as they stand.
  for (const auto& [piece, id] : ids) {
    if (piece.size() > 4 && piece.starts_with("<|") && piece.ends_with("|>"))
      parts.added.push_back({id, piece, true, false, false, false, false});
  }
  parts.bpe = std::make_shared<Bpe>(std::move(ids), pairs, false, merges);
  WordStep step;
  step.pattern = std::make_shared<Pattern>(kGpt2Words, merges);
  parts.words.push_back(std::move(step));
  return std::make_unique<ByteLevelTokenizer>(std::move(parts));
}

}  // namespace vene::text
